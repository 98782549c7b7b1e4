"""The vectors of a trained method, stored in the cache, are an embedder that the explorer shows."""

from dataclasses import dataclass, replace

import pytest
import torch

from cdir_nb.errors import CdirError
from cdir_nb.explorer import Explorer, Question
from cdir_nb.methods import Embedder, VanillaClip
from cdir_nb.methods.stored import EncoderName, store, stored_embedders


@dataclass(frozen=True)
class Turned(Embedder):
    """Vanilla CLIP with reversed vectors, so that stored vectors differ from those of vanilla CLIP."""

    encoder: object
    sign: float = 1.0
    name: str = "Turned"
    train_set: str = "nothing"
    directions: tuple | None = None

    def embed(self, images, *, progress=True):
        return self.sign * VanillaClip(self.encoder).embed(images).flip(1)


def test_stored_vectors_are_those_of_the_method_for_any_subset(collection):
    method = Turned(collection.encoder)
    for _ in range(2):  # the second replaces the first
        store(method, collection.images)
    (stored,) = stored_embedders(collection.images)
    subset = collection.images.take([7, 2])
    assert torch.equal(stored.embed(subset), method.embed(subset))
    assert (stored.name, stored.train_set, stored.similarity, stored.directions) == (
        "Turned",
        "nothing",
        "cosine",
        None,
    )
    with pytest.raises(CdirError, match="Turned.* drawing"):
        stored.embed(replace(collection.images.take([0]), keys=("drawing",), digests=("new",)))
    elsewhere = replace(collection.images, digests=tuple(f"other {digest}" for digest in collection.images.digests))
    assert stored_embedders(elsewhere) == []


def test_steps_become_a_slider(collection):
    for step in (0, 1, 2):
        store(Turned(collection.encoder, 1.0 - step, name="Trained"), collection.images, step=step)
    explorer = Explorer(collection)
    slider = explorer.methods["Trained"].slider
    assert (slider.name, slider.values, slider.start) == ("epoch", (0, 1, 2), 2)
    question = Question("Trained", "photo", "sketch", "photo/tree/1.png", "all images")
    start = explorer.ask(replace(question, value=0)).scores
    assert explorer.ask(question).scores == pytest.approx(start)  # both vectors change sign: the cosine stays


def test_a_method_of_one_direction_serves_that_direction(collection):
    store(Turned(collection.encoder, name="One way", directions=(("photo", "sketch"),)), collection.images)
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


def test_a_method_on_another_encoder_is_shown_with_its_name(collection, monkeypatch):
    method = Turned(collection.encoder, name="Elsewhere")
    vectors = method.embed(collection.images)
    monkeypatch.setattr(Turned, "embed", lambda *_, **__: vectors)
    store(replace(method, encoder=EncoderName("mobilenet-v2 fp32 [0123]")), collection.images)
    assert "Elsewhere (mobilenet-v2)" in Explorer(collection).methods


def test_a_damaged_file_is_left_out_with_a_warning(collection):
    path = store(Turned(collection.encoder, name="Broken"), collection.images)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.warns(UserWarning, match=path.name):
        names = [embedder.name for embedder in stored_embedders(collection.images)]
    path.unlink()
    assert "Broken" not in names
