"""All paths of the package, independent of the current working directory."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # the checkout, or site-packages if installed from the wheel
IN_CHECKOUT = (ROOT / "pyproject.toml").is_file() and (ROOT / "data_manifest").is_dir()
_TOP = ROOT if IN_CHECKOUT else PACKAGE  # the wheel has the next two folders inside the package
MANIFEST = _TOP / "data_manifest"
NOTEBOOKS = _TOP / "notebooks"
PROFILES = PACKAGE / "batch" / "profiles"
TINY_CLIP = PACKAGE / "encoders" / "tiny_clip"
MOBILENET_V2 = TINY_CLIP.with_name("mobilenet_v2")
REAL_CLIP = TINY_CLIP.with_name("real_clip")


def cache_dir() -> Path:
    """Folder for everything that can be recomputed (`CDIR_CACHE` overrides the user's cache folder)."""
    folder = Path(os.environ.get("CDIR_CACHE") or platformdirs.user_cache_dir("cdir_nb"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def runs_dir() -> Path:
    """Parent of all run folders: `runs/` in the checkout, else in the working directory (`CDIR_RUNS` overrides)."""
    folder = Path(os.environ.get("CDIR_RUNS") or (ROOT if IN_CHECKOUT else Path.cwd()) / "runs")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` only if the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp's 0600 would keep other users from reading a shared cache
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
