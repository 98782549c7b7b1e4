"""A gallery's files: rows come back, damage is one line that names the file."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from cdir_nb.errors import CdirError
from cdir_nb.retrieval import ShardedGallery, rank_shards, shards, write_gallery

ROWS = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)


@pytest.fixture
def gallery(tmp_path):
    return write_gallery(tmp_path / "g", np.split(ROWS, [7, 8, 40]))


def test_rows_come_back_bit_for_bit(gallery):
    again = pickle.loads(pickle.dumps(ShardedGallery.open(gallery.folder)))
    assert len(again) == 60 and again.dim == 5 and again.starts.tolist() == [0, 7, 8, 40, 60]
    for wanted in ([0], [59], [6, 7, 8], [0, 1, 7, 39, 40, 59], range(60), []):
        wanted = np.array(wanted, dtype=int)
        assert np.array_equal(again.rows(wanted).numpy(), ROWS[wanted])
    assert np.allclose(again.mean, ROWS.mean(0, dtype=np.float64), rtol=1e-14)


def test_parts_may_be_tensors_of_any_type_from_a_generator(tmp_path):
    parts = (torch.from_numpy(ROWS[start : start + 20]).double().requires_grad_() for start in (0, 20, 40))
    assert np.array_equal(write_gallery(tmp_path, parts).rows(np.arange(60)).numpy(), ROWS)


def test_only_the_part_of_a_file_around_the_rows_is_read(gallery, monkeypatch):
    taken, whole = [], ShardedGallery._slice
    monkeypatch.setattr(ShardedGallery, "_slice", lambda *a: taken.append(a[2:]) or whole(*a))
    gallery.rows(np.array([10, 12, 45]))
    assert taken == [(2, 5), (5, 6)]


def damage_index(change):
    def damage(folder):
        index = json.loads((folder / "gallery.json").read_text())
        change(index)
        (folder / "gallery.json").write_text(json.dumps(index))

    return damage


def flip_a_bit(folder):
    path = folder / "00002.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


AT_OPENING = [
    (lambda f: (f / "00001.safetensors").unlink(), "00001.safetensors is missing or damaged"),
    (lambda f: (f / "00001.safetensors").write_bytes(b""), "00001.safetensors is missing or damaged"),
    (lambda f: (f / "00001.safetensors").write_bytes(b"x" * 300), "00001.safetensors is missing or damaged"),
    (
        lambda f: save_file({"embeddings": ROWS[:9]}, f / "00003.safetensors"),
        "00003.safetensors is missing or damaged (F32 of shape [9, 5], gallery.json says (20, 5))",
    ),
    (lambda f: save_file({"embeddings": ROWS.astype("f8")}, f / "00003.safetensors"), "00003.safetensors is missing"),
    (lambda f: save_file({"other": ROWS}, f / "00003.safetensors"), "00003.safetensors is missing or damaged"),
    (lambda f: (f / "gallery.json").unlink(), "has no gallery.json: write_gallery writes a gallery"),
    (lambda f: (f / "gallery.json").write_text("{"), "gallery.json is damaged"),
    (lambda f: (f / "gallery.json").write_bytes(b"\xff"), "gallery.json is damaged"),
    (lambda f: (f / "gallery.json").write_text("[]"), "gallery.json is damaged"),
    (damage_index(lambda index: index.update(shards=[])), "gallery.json is damaged"),
    (damage_index(lambda index: index["shards"][0].pop("rows")), "gallery.json is damaged"),
    (damage_index(lambda index: index["shards"][0].update(rows="x")), "gallery.json is damaged"),
    (damage_index(lambda index: index["shards"][1].update(sums=[1.0])), "gallery.json is damaged"),
]


@pytest.mark.parametrize("damage, message", AT_OPENING)
def test_damage_is_found_when_the_gallery_is_opened(gallery, damage, message):
    damage(gallery.folder)
    with pytest.raises(CdirError) as error:
        ShardedGallery.open(gallery.folder)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_changed_bit_is_found_before_anything_is_ranked(gallery):
    flip_a_bit(gallery.folder)
    with pytest.raises(CdirError, match=r"00002\.safetensors is missing or damaged \(its content is not what was"):
        rank_shards(ROWS[:2], ShardedGallery.open(gallery.folder), k=3)


def test_a_shard_that_vanishes_later_is_named(gallery):
    (gallery.folder / "00000.safetensors").unlink()
    with pytest.raises(CdirError, match=r"00000\.safetensors is missing"):
        rank_shards(ROWS[:2], gallery, k=3)


@pytest.mark.parametrize(
    "parts, message",
    [
        ([], "a gallery without rows"),
        ([ROWS, ROWS[:0]], "part 1 of the gallery is empty"),
        ([ROWS, ROWS[:, :3]], "part 1 has 3 columns, part 0 has 5"),
        ([ROWS, ROWS * np.nan], "row 0 (and 59 more) of part 1 of the gallery has NaN"),
        ([["a"]], "part 0 of the gallery is not an array of numbers"),
    ],
)
def test_bad_parts_leave_no_gallery(tmp_path, parts, message):
    with pytest.raises(CdirError) as error:
        write_gallery(tmp_path, iter(parts))
    assert message in str(error.value) and not (tmp_path / "gallery.json").exists()
    assert len(write_gallery(tmp_path, [ROWS])) == 60  # what was left does not disturb the next call


def test_a_gallery_is_not_written_over(gallery):
    with pytest.raises(CdirError, match="has a gallery already: remove it, or give another folder"):
        write_gallery(gallery.folder, [ROWS])


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "save_file", full)
    with pytest.raises(CdirError, match="cannot be written .No space left on device.: free disk space"):
        write_gallery(tmp_path, [ROWS])
    assert list(tmp_path.iterdir()) == []


def test_a_row_of_zeros_is_named_with_its_file(tmp_path):
    gallery = write_gallery(tmp_path, [ROWS, np.zeros((2, 5))])
    with pytest.raises(CdirError, match=r"row 0 \(and 1 more\) of .*00001\.safetensors is a zero vector"):
        rank_shards(ROWS[:2], gallery)
    assert rank_shards(ROWS[:2], gallery, similarity="euclidean").n_gallery == 62
