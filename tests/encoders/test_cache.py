"""Stored rows of embeddings: read back exactly, damaged files, a full disk, and many writers."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from cdir_nb.encoders.cache import EmbeddingStore

PARTS = {"model": "m", "weights": "w"}


@pytest.fixture
def store(fresh_cache) -> EmbeddingStore:
    return EmbeddingStore(PARTS, 4)


def names(count: int, start: int = 0) -> list[str]:
    return [f"digest{i}" for i in range(start, start + count)]


def test_rows_come_back_bit_for_bit_in_any_order(store):
    rows = torch.randn(6, 4)
    store.add(names(4), rows[:4])
    store.add(names(2, start=4), rows[4:])
    table, found = EmbeddingStore(PARTS, 4).read(["digest5", "digest0", "unknown", "digest3"])
    assert found.tolist() == [True, True, False, True]
    assert torch.equal(table[found], rows[[5, 0, 3]]) and not table[2].any()


DAMAGES = {
    "cut": lambda content: content[:-5],
    "one bit changed": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "empty": lambda content: b"",
    "garbage": lambda content: b"x" * 200,
    "renamed": None,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_ignored_and_replaced(store, damage):
    rows = torch.randn(3, 4)
    store.add(names(3), rows)
    store.add(names(2, start=3), torch.ones(2, 4))
    file = next(f for f in store.folder.glob("*.safetensors") if b"digest0" in f.read_bytes())
    if damage == "renamed":
        file.rename(file.with_name("0" * 24 + ".safetensors"))
    else:
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.warns(UserWarning, match="is damaged"):
        table, found = store.read(names(5))
    assert found.tolist() == [False] * 3 + [True] * 2
    store.add(names(3), rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is gone, not ignored again and again
        assert torch.equal(store.read(names(3))[0], rows)


def test_a_half_written_shard_is_not_seen(store):
    store.add(names(2), torch.ones(2, 4))
    half = store.folder / ".abc-temporary.safetensors"
    half.write_bytes(b"half")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.read(names(2))[1].all()
    assert half.exists()  # another process may be writing it


def test_a_full_disk_costs_the_cache_only(store, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cdir_nb.encoders.cache.save_file", full)
    with pytest.warns(UserWarning, match="No space left on device.*set CDIR_CACHE"):
        store.add(names(1), torch.ones(1, 4))
    assert not list(store.folder.glob("*.safetensors"))


def test_many_writers_at_once(store):
    rows = torch.randn(40, 4)

    def write(start: int) -> None:
        for i in range(start, start + 20):
            store.add(names(2, start=i), rows[i : i + 2])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, (0, 5, 15)))
    table, found = store.read(names(36))
    assert found.all() and torch.equal(table, rows[:36])
