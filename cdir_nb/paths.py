"""Where things live. Every path of the package comes from here, whatever folder the caller stands in."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # the checkout; the packages' folder (site-packages) where the wheel is installed
IN_CHECKOUT = (ROOT / "pyproject.toml").is_file() and (ROOT / "data_manifest").is_dir()
_TOP = ROOT if IN_CHECKOUT else PACKAGE  # the wheel holds these two folders inside the package
MANIFEST = _TOP / "data_manifest"
NOTEBOOKS = _TOP / "notebooks"
PROFILES = PACKAGE / "batch" / "profiles"
TINY_CLIP = PACKAGE / "encoders" / "tiny_clip"
MOBILENET_V2 = TINY_CLIP.with_name("mobilenet_v2")
REAL_CLIP = TINY_CLIP.with_name("real_clip")


def cache_dir() -> Path:
    """Folder of everything that can be made again (`CDIR_CACHE` overrides the user's cache folder)."""
    folder = Path(os.environ.get("CDIR_CACHE") or platformdirs.user_cache_dir("cdir_nb"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def runs_dir() -> Path:
    """Folder of run folders: `runs/` of the checkout, else of the caller's folder (`CDIR_RUNS` overrides both)."""
    folder = Path(os.environ.get("CDIR_RUNS") or (ROOT if IN_CHECKOUT else Path.cwd()) / "runs")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the final name only if the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp's 0600 would hide shared caches from colleagues
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
