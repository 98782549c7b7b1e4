"""A trained method's vectors come back from the cache as an embedder that the explorer shows."""

import warnings
from dataclasses import dataclass, replace

import pytest
import torch

from cdir_nb.errors import CdirError
from cdir_nb.explorer import Explorer, Question
from cdir_nb.methods import Embedder, VanillaClip
from cdir_nb.methods.stored import find_stored, store, stored_embedders


@dataclass(frozen=True)
class Turned(Embedder):
    """Vanilla CLIP with its vectors reversed: after keeping, known to be neither recomputed nor vanilla."""

    encoder: object
    sign: float = 1.0
    name: str = "Turned"
    train_set: str = "nothing"

    def embed(self, images, *, progress=True):
        return self.sign * VanillaClip(self.encoder).embed(images).flip(1)


class KeptElsewhere(Embedder):
    """The same vectors under another encoder's name."""

    def __init__(self, encoder, method):
        self.encoder, self.name, self.train_set, self.embed = encoder, method.name, method.train_set, method.embed


def test_vectors_come_back_for_any_subset(collection):
    method = Turned(collection.encoder)
    store(method, collection.images)
    (found,) = stored_embedders(collection.images)
    some = collection.images.take([7, 2])
    assert torch.equal(found.embed(some), method.embed(some))
    assert (found.name, found.train_set, found.similarity, found.directions) == ("Turned", "nothing", "cosine", None)
    assert store(method, collection.images) and len(stored_embedders(collection.images)) == 1


def test_steps_become_a_slider(collection):
    for step in (0, 1, 2):
        store(Turned(collection.encoder, 1.0 - step, name="Trained"), collection.images, step=step)
    explorer = Explorer(collection)
    slider = explorer.methods["Trained"].slider
    assert (slider.name, slider.values, slider.start) == ("epoch", (0, 1, 2), 2)
    ask = Question("Trained", "photo", "sketch", "photo/tree/1.png", "all images")
    first = explorer.ask(replace(ask, value=0)).scores
    assert explorer.ask(ask).scores == pytest.approx(first)  # both vectors change sign: the cosine stays


def test_a_kept_method_is_found_by_name_after_its_last_step(collection):
    for step in (0, 3):
        store(Turned(collection.encoder, name="Found"), collection.images, step=step)
    assert find_stored("Found", collection.images).step == 3
    with pytest.raises(CdirError, match="Lost is not stored.*Found"):
        find_stored("Lost", collection.images)


def test_a_method_of_one_pair_serves_that_pair(collection):
    @dataclass(frozen=True)
    class OneWay(Turned):
        directions: tuple = (("photo", "sketch"),)

    store(OneWay(collection.encoder, name="One way"), collection.images)
    method = Explorer(collection).methods["One way"]
    assert method.serves(("photo", "sketch")) and not method.serves(("sketch", "photo"))


def test_a_method_serves_only_directions_that_it_has_vectors_of(collection):
    c = collection
    rows = [*c.query_rows("photo"), *c.gallery_rows("sketch", next(iter(c.galleries)))]
    store(Turned(c.encoder, name="Part"), c.images.take(sorted(set(rows))))
    method = Explorer(c).methods["Part"]
    assert method.serves(("photo", "sketch")) and not method.serves(("photo", "drawing"))
    store(Turned(c.encoder, name="Scrap"), c.images.take([0]))
    assert "Scrap" not in Explorer(c).methods


def test_a_picture_without_a_vector_is_named(collection):
    store(Turned(collection.encoder), collection.images)
    found = next(one for one in stored_embedders(collection.images) if one.name == "Turned")
    with pytest.raises(CdirError, match="Turned.* drawing"):
        found.embed(replace(collection.images.take([0]), keys=("drawing",), digests=("new",)))


def test_other_images_have_methods_of_their_own(collection):
    store(Turned(collection.encoder), collection.images)
    elsewhere = replace(collection.images, digests=tuple(f"other {digest}" for digest in collection.images.digests))
    assert stored_embedders(elsewhere) == []


def test_a_method_on_another_encoder_is_shown_with_its_name(collection):
    @dataclass(frozen=True)
    class Other:
        identity: str = "mobilenet-v2 fp32 [0123]"

    method = Turned(collection.encoder, name="Elsewhere")
    store(KeptElsewhere(Other(), method), collection.images)
    assert "Elsewhere (mobilenet-v2)" in Explorer(collection).methods


def test_a_damaged_file_is_left_out_with_a_warning(collection):
    path = store(Turned(collection.encoder, name="Broken"), collection.images)
    path.write_bytes(path.read_bytes()[:40])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        names = [one.name for one in stored_embedders(collection.images)]
    path.unlink()
    assert "Broken" not in names and any(path.name in str(warning.message) for warning in said)
