"""Where files go: atomic writes, a cache that may be missing, and what a killed process leaves behind."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from cdir_nb import paths
from cdir_nb.data import open_folder
from cdir_nb.data.world import load_world
from cdir_nb.errors import CdirError


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """A cache that cannot be created, because its parent is a file (root may write anywhere else)."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CDIR_CACHE", str(tmp_path / "file" / "cache"))


@pytest.mark.medium
def test_images_open_without_a_cache_with_one_warning(no_cache, tmp_path):
    for label in ("dog", "cat"):
        (tmp_path / "mine" / "photo" / label).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "mine" / "photo" / label / "1.png")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            assert len(open_folder(tmp_path / "mine", progress=False)) == 2
            assert len(load_world(images_per_class=1)) == 240
    assert len(caught) == 1 and "set CDIR_CACHE" in str(caught[0].message)


def test_a_full_disk_costs_the_cache_only(fresh_cache, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths.os, "replace", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        assert len(load_world(images_per_class=1)) == 240
    assert not [path for path in fresh_cache.rglob("*") if path.is_file()]


def test_a_damaged_list_of_decoded_files_is_made_again(fresh_cache, tmp_path):
    (tmp_path / "mine" / "photo" / "dog").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "mine" / "photo" / "dog" / "1.png")
    open_folder(tmp_path / "mine", progress=False)
    (memory,) = (fresh_cache / "decoded").iterdir()
    whole = memory.read_bytes()
    for damaged in (b"\xff\xfe\xff", b"[]", whole[:-5], whole.replace(b'"looks"', b'"other"')):
        memory.write_bytes(damaged)
        assert len(open_folder(tmp_path / "mine", progress=False)) == 1 and memory.read_bytes() == whole


def test_only_leftovers_of_ended_processes_are_removed(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from cdir_nb.paths import atomic_write\n"
        "with atomic_write(Path(sys.argv[1]) / 'deep' / 'a.npy') as part: part.write_text('x'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (leftover,) = (tmp_path / "deep").iterdir()
    assert leftover.name.startswith(".part-") and leftover.suffix == ".npy"
    for name in (f".part-{paths.process_label()}x.npy", f".part-other_host-{os.getpid() + 10**7}-x.npy", "whole.npy"):
        (tmp_path / "deep" / name).touch()
    paths.remove_temporary_files(tmp_path)
    assert not leftover.exists() and len(list((tmp_path / "deep").iterdir())) == 3


def test_an_unknown_user_is_named():
    with pytest.raises(CdirError, match="~nouser/images: there is no such user"):
        paths.expanded("~nouser/images")


def test_a_message_stays_on_one_printable_line():
    assert str(CdirError("a\nb\x1b[31m \udcff é")) == r"a\nb\x1b[31m \udcff é"


@pytest.mark.parametrize(("home", "cache"), [("home", "cache"), ("file/home", "cache"), ("file/home", "file/cache")])
def test_libraries_write_where_they_can(tmp_path, home, cache):
    """Into their own folders, else into our cache, else into a temporary folder."""
    (tmp_path / "file").touch()
    for folder in ("home", "cache", "temporary"):
        (tmp_path / folder).mkdir()
    names = {"HOME": home, "XDG_CACHE_HOME": f"{home}/.cache", "XDG_CONFIG_HOME": f"{home}/.config"}
    names |= {"CDIR_CACHE": cache, "TMPDIR": "temporary"}
    code = (
        "import os; from pathlib import Path; from cdir_nb.paths import set_library_caches; set_library_caches()\n"
        "for name in ('NUMBA_CACHE_DIR', 'MPLCONFIGDIR'):\n"
        "    folder = os.environ.get(name); print(folder)\n"
        "    if folder: Path(folder).mkdir(); assert Path(folder).parent.stat().st_mode & 0o077 == 0\n"
    )
    environment = os.environ | {name: str(tmp_path / path) for name, path in names.items()}
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    folders = done.stdout.split()
    if home == "home":
        assert folders == ["None", "None"]
    else:
        parent = tmp_path / ("cache" if cache == "cache" else "temporary")
        assert all(folder.startswith(str(parent)) for folder in folders) and len(set(folders)) == 2
    chosen = environment | {"NUMBA_CACHE_DIR": "mine"}
    done = subprocess.run([sys.executable, "-c", code], env=chosen, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith("mine")


def test_projection_sets_the_folder_of_numba_before_it_imports_it(monkeypatch):
    from cdir_nb import analysis

    called = []
    monkeypatch.setattr(analysis, "set_library_caches", lambda: called.append("umap" in sys.modules) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        analysis.project(np.eye(20), "umap")
    assert called
