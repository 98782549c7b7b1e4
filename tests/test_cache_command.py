"""`cdir cache`: what is listed, what is outdated, and that nothing else is removed."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cdir_nb import cache
from cdir_nb.cli import app
from cdir_nb.data import open_folder
from cdir_nb.encoders import load_encoder
from cdir_nb.paths import PART, process_label
from cdir_nb.sources import library_versions, provenance

MODULE = "cdir_nb.methods.ucdir.losses"
NOW = provenance(MODULE)
OTHER_TORCH = {**NOW, "libraries": {**NOW["libraries"], "torch": "0.1"}}


def training(folder: Path, name: str, stated: dict | None, size: int = 1000) -> list[Path]:
    """A checkpoint, and beside it what it states."""
    file = folder / "trainings" / "UCDIR" / f"{name}.pt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)
    if stated is None:
        return [file]
    file.with_suffix(".json").write_text(json.dumps({"method": "UCDIR", **stated}))
    return [file, file.with_suffix(".json")]


def cdir(*words: str):
    return CliRunner().invoke(app, ["cache", *words])


@pytest.mark.parametrize(
    "stated,reason",
    [
        (NOW, ""),
        (OTHER_TORCH, "torch 0.1"),
        ({**NOW, "libraries": {k: v for k, v in NOW["libraries"].items() if k != "numpy"}}, "numpy"),
        ({**NOW, "libraries": library_versions("umap-learn")}, ""),
        ({**NOW, "code": "0" * 16}, "other code"),
        ({**NOW, "modules": ["cdir_nb.methods.removed"]}, "other code"),
        ({"method": "UCDIR"}, cache.EARLIER),
        ({**NOW, "modules": 3}, cache.EARLIER),
        (None, cache.EARLIER),
    ],
)
def test_why_a_training_cannot_be_read(fresh_cache, stated, reason):
    training(fresh_cache, "a" * 16, stated)
    (entry,) = cache.entries()
    assert (entry.kind, entry.name) == ("trainings", "UCDIR")
    assert reason in entry.outdated and bool(reason) == bool(entry.outdated)


def test_a_method_of_the_user_that_is_not_here_is_not_called_outdated(fresh_cache):
    training(fresh_cache, "a" * 16, {**NOW, "modules": ["my_method"]})
    (entry,) = cache.entries()
    assert not entry.outdated and "my_method" in entry.note


def test_prune_removes_what_is_outdated_and_nothing_else(fresh_cache):
    stays = training(fresh_cache, "1" * 16, NOW)
    goes = training(fresh_cache, "2" * 16, OTHER_TORCH) + training(fresh_cache, "3" * 16, None)
    (fresh_cache / "clair").mkdir()
    foreign = fresh_cache / "clair" / "my-weights.pt"
    for folder in ("maps", "explorer/pages/x", "world", "decoded"):
        (fresh_cache / folder).mkdir(parents=True)
    stays += [foreign, fresh_cache / "maps" / f"{'5' * 16}.pt", fresh_cache / "explorer" / "kept.safetensors"]
    stays += [fresh_cache / "explorer/pages/x/11.ipynb", fresh_cache / "fetched.json", fresh_cache / "decoded/a.txt"]
    mine = fresh_cache / "maps" / f"{PART}-{process_label()}a.pt"  # of a process that still runs
    ended = fresh_cache / "maps" / f"{PART}-{process_label().replace(str(os.getpid()), '99999999')}b.pt"
    goes += [ended, fresh_cache / "world" / "150-per-class-seed-0-0123456789.npy"]
    for file in [*stays[2:], mine, *goes[3:]]:
        file.write_bytes(b"x" * 10)
    listed = cdir()
    assert listed.exit_code == 0 and all(file.exists() for file in [*stays, mine, *goes])
    pruned = cdir("--prune")
    assert "removing 4 entries" in pruned.stdout
    assert all(file.exists() for file in [*stays, mine]) and not any(file.exists() for file in goes)
    assert "can read all entries" in cdir("--prune").stdout


def test_embeddings_are_listed_by_encoder_and_become_outdated(fresh_cache, tmp_path, monkeypatch):
    for domain in ("photo", "sketch"):
        (tmp_path / "images" / domain / "dog").mkdir(parents=True)
        pixels = np.full((64, 64, 3), len(domain), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / domain / "dog" / "1.png")
    encoder = load_encoder("tiny-clip", device="cpu")
    encoder.embed_images(open_folder(tmp_path / "images", progress=False), progress=False)
    (entry,) = [entry for entry in cache.entries() if entry.kind == "embeddings"]
    assert (entry.name, entry.outdated, len(entry.files)) == ("tiny-clip", "", 2)
    assert entry.size == sum(file.stat().st_size for file in encoder.store().folder.iterdir())
    assert abs(entry.last_use - time.time()) < 60
    monkeypatch.setattr(cache, "_digest", lambda modules: "other")
    assert "other code" in cdir("--prune").stdout
    assert not encoder.store().folder.exists()


def test_the_table_sums_entries_of_one_kind_and_state():
    of = [("trainings", "UCDIR"), ("trainings", "UCDIR"), ("maps", "b")]
    _, one, other = cache.table([cache.Entry(kind, name, ()) for kind, name in of])
    assert one.split()[:3] == ["trainings", "UCDIR", "2"] and other.split()[:3] == ["maps", "b", "1"]


def test_an_empty_cache(fresh_cache):
    assert cdir().exit_code == 0 and cache.entries() == []


def test_help_has_an_example():
    assert "Example: cdir cache --prune" in cdir("--help").stdout
