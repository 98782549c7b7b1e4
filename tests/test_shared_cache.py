"""One cache for several users: what another user does not share is computed, and new folders can be shared."""

import os
import shutil
import stat
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

from cdir_nb import cache, paths
from cdir_nb.data import open_folder
from cdir_nb.data.world import load_world
from cdir_nb.encoders.cache import EmbeddingStore
from cdir_nb.methods.checkpoints import load_checkpoint, save_checkpoint
from cdir_nb.methods.stored import stored_embedders

REMEDY = "belongs to another user: share it with a common group and umask 002, or set CDIR_CACHE"
NOBODY = 65534
ROWS = torch.arange(8.0).reshape(2, 4)
KINDS = {"embeddings", "decoded", "world", "trainings", "explorer"}


@pytest.fixture
def home(monkeypatch):
    """A folder that every user may enter, with an empty cache that every user may write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "cache").mkdir()
    (folder / "cache").chmod(0o1777)
    (folder / "mine" / "photo" / "dog").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "mine" / "photo" / "dog" / "1.png")
    monkeypatch.setenv("CDIR_CACHE", str(folder / "cache"))
    before = os.umask(0o022)
    yield folder
    os.umask(before)
    if os.getuid() == 0:
        os.seteuid(0)
    for path in (folder / "cache").rglob("*"):  # parents come first
        path.chmod(0o700)
    shutil.rmtree(folder)


def become_another_user(home: Path, mode: int) -> None:
    """Give everything in the cache this mode; leave the account of root, which may read and write everything."""
    for path in sorted((home / "cache").rglob("*"), reverse=True):
        path.chmod(mode)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


def use(home: Path, digests: str = "ab") -> list[str]:
    """Use each kind of file in the cache; the messages of all warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store = EmbeddingStore({"model": "m"}, 4)
        missing = store.missing(digests)
        store.add([digests[i] for i in missing], ROWS[missing])
        assert torch.equal(store.complete(digests, lambda rows: ROWS[rows]), ROWS)
        images = open_folder(home / "mine", progress=False)
        assert len(images) == 1 and len(load_world(1, classes=["dog"])) == 6
        checkpoint = home / "cache" / "trainings" / "m" / "1.pt"
        state = load_checkpoint(checkpoint, {"seed": "0"}, torch.device("cpu"))
        assert state in (None, {"epoch": 1})
        save_checkpoint(checkpoint, {"seed": "0"}, {"epoch": 1}, {"method": "m"})
        assert stored_embedders(images) == []
        paths.write_to_cache(home / "cache" / "explorer" / "1.txt", lambda file: file.write_text(""))
        assert {entry.kind for entry in cache.entries()} <= KINDS
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("mode", [0o000, 0o311, 0o444])
def test_what_another_user_hides_is_computed_with_one_warning(home, mode):
    assert use(home) == []
    assert {path.name for path in (home / "cache").iterdir()} == KINDS
    files = sorted(path for path in (home / "cache").rglob("*") if path.is_file())
    become_another_user(home, mode)
    (message,) = use(home)
    assert REMEDY in message and str(home / "cache") in message
    if os.getuid() == 0:
        os.seteuid(0)
        assert all(path.is_file() for path in files), "files of another user were removed"


def test_what_another_user_shares_is_read_without_a_word(home):
    use(home)
    become_another_user(home, 0o555)
    store = EmbeddingStore({"model": "m"}, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.missing("ab") == [] and len(load_world(1, classes=["dog"])) == 6
        assert load_checkpoint(home / "cache/trainings/m/1.pt", {"seed": "0"}, torch.device("cpu")) == {"epoch": 1}
    with pytest.warns(UserWarning, match=REMEDY):
        store.add(["c"], ROWS[:1])


@pytest.mark.parametrize("umask", [0o077, 0o022])
def test_folders_of_a_cache_that_a_group_writes_can_be_written_by_the_group(home, umask):
    (home / "cache").chmod(0o2770)
    os.umask(umask)
    assert use(home) == []
    folders = [path for path in (home / "cache").rglob("*") if path.is_dir()]
    assert len(folders) > len(KINDS)
    for folder in folders:
        mode = folder.stat().st_mode
        assert mode & stat.S_IRWXG == stat.S_IRWXG and mode & stat.S_ISGID and not mode & stat.S_IWOTH, folder


def test_folders_of_a_private_cache_stay_private(home):
    (home / "cache").chmod(0o700)
    os.umask(0o077)
    use(home)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (home / "cache").rglob("*") if path.is_dir())
