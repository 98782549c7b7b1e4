"""Class vectors from files and from a text tower."""

import numpy as np
import pytest
import torch
from small_clip import make_encoder

from cdir_nb.data import load_card, load_protocol, open_dataset
from cdir_nb.encoders import load_encoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet.semantics import class_semantics, read_semantics, text_semantics

NAMES, VECTORS = ["alarm_clock", "cat", "teddy-bear"], np.arange(1, 10, dtype=np.float32).reshape(3, 3)


def write(path, **content):
    np.savez(path / "words.npz", **content)
    return path / "words.npz"


def test_rows_come_in_the_order_asked_for_and_spelling_does_not_matter(tmp_path):
    found = read_semantics(write(tmp_path, names=NAMES, vectors=VECTORS))
    assert found.of(["cat", "Alarm Clock", "teddy_bear"]).tolist() == VECTORS[[1, 0, 2]].tolist()
    assert found.of(["cat"], unit=True).norm().item() == pytest.approx(1)
    assert found.origin.startswith("words.npz [")
    other = read_semantics(write(tmp_path, names=NAMES, vectors=VECTORS + 1))
    assert other.origin != found.origin  # records of other vectors have another digest


def test_every_missing_class_is_listed(tmp_path):
    semantics = read_semantics(write(tmp_path, names=NAMES, vectors=VECTORS))
    with pytest.raises(CdirError, match="words.npz .* dog, horse"):
        semantics.of(["dog", "cat", "horse"])


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ({"names": NAMES}, "vectors"),
        ({"names": NAMES, "vectors": VECTORS[:2]}, r"\(2, 3\)"),
        ({"names": NAMES, "vectors": VECTORS.astype(str)}, "<U"),
        ({"names": [1, 2, 3], "vectors": VECTORS}, "int64"),
        ({"names": ["cat", "cat", "dog"], "vectors": VECTORS}, "for cat:"),
        ({"names": NAMES, "vectors": VECTORS * [[1], [np.nan], [0]]}, "of cat, teddy-bear"),
        ({"names": np.array(NAMES, dtype=object), "vectors": VECTORS}, "pickle"),
    ],
)
def test_bad_files(tmp_path, content, value):
    with pytest.raises(CdirError, match=value) as caught:
        read_semantics(write(tmp_path, **content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.npz", "array.npy", "text.npz", "truncated.npz"])
def test_files_that_cannot_be_read(tmp_path, name):
    np.save(tmp_path / "array.npy", VECTORS)
    (tmp_path / "text.npz").write_text("cat 1 2 3")
    np.savez(tmp_path / "truncated.npz", names=NAMES, vectors=VECTORS)
    (tmp_path / "truncated.npz").write_bytes((tmp_path / "truncated.npz").read_bytes()[:200])
    with pytest.raises(CdirError, match=name):
        read_semantics(tmp_path / name)


def test_the_published_vectors_cover_their_classes(shared):
    for file, dataset in (("sketchy125_glove300", "sketchy_extended"), ("domainnet345_w2v300", "domainnet_cleaned")):
        card = load_card(dataset)
        assert read_semantics(shared / f"semantics/{file}.npz").of(card.classes).shape == (len(card.classes), 300)


def test_texts_are_centred_unit_vectors_of_a_text_tower():
    encoder, words = make_encoder(), {"cat": "cat", "Alarm_Clock": "alarm clock", "dog": "dog"}
    found = text_semantics(encoder, list(words), words)
    raw = torch.nn.functional.normalize(encoder.embed_texts(["a cat", "a alarm clock", "a dog"]), dim=1)
    torch.testing.assert_close(found.of(["dog", "cat"]), (raw - raw.mean(0))[[2, 0]])
    assert encoder.identity in found.origin


def test_a_source_is_a_file_or_the_name_of_a_clip(tmp_path):
    task, device = load_protocol("world-ucdr-sketch", open_dataset("world")), torch.device("cpu")
    card, encoder = load_card("world"), load_encoder("tiny-clip", device=device)
    expected = text_semantics(encoder, task.seen, {label: card.display(label) for label in task.seen})
    found = class_semantics("tiny-clip", task, device)
    assert found.origin == expected.origin and torch.equal(found.of(task.seen), expected.of(task.seen))
    assert len(found.classes) == len(task.seen)  # none of an unseen class
    assert class_semantics(str(write(tmp_path, names=NAMES, vectors=VECTORS)), task, device).classes == tuple(NAMES)
    with pytest.raises(CdirError, match="semantics"):
        class_semantics("", task, device)
    with pytest.raises(CdirError, match="mobilenet-v2"):
        class_semantics("mobilenet-v2", task, device)
