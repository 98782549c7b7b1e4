"""All paths of the package, independent of the current working directory."""

import os
import platform
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from cdir_nb.errors import CdirError

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # the checkout, or site-packages if installed from the wheel
IN_CHECKOUT = (ROOT / "pyproject.toml").is_file() and (ROOT / "data_manifest").is_dir()
_TOP = ROOT if IN_CHECKOUT else PACKAGE  # the wheel has the next two folders inside the package
MANIFEST = _TOP / "data_manifest"
NOTEBOOKS = _TOP / "notebooks"
PROFILES = PACKAGE / "run" / "profiles"
TINY_CLIP = PACKAGE / "encoders" / "tiny_clip"
MOBILENET_V2 = TINY_CLIP.with_name("mobilenet_v2")
REAL_CLIP = TINY_CLIP.with_name("real_clip")


PART = ".part"  # begins the names of files that are being written


def cache_dir() -> Path:
    """Folder for everything that can be recomputed (`CDIR_CACHE` overrides the user's cache folder); may not exist."""
    return Path(os.environ.get("CDIR_CACHE") or platformdirs.user_cache_dir("cdir_nb"))


def runs_dir() -> Path:
    """Parent of all run folders: `runs/` in the checkout, else in the working directory (`CDIR_RUNS` overrides)."""
    return Path(os.environ.get("CDIR_RUNS") or (ROOT if IN_CHECKOUT else Path.cwd()) / "runs")


def expanded(path: str | Path) -> Path:
    """The path with `~` as the user's folder. Raises CdirError for a user that does not exist."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise CdirError(f"{path}: there is no such user: write the path without ~") from None


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` only if the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PART}-{process_mark()}", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp's 0600 would keep other users from reading a shared cache
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def keep_in_cache(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file of the cache atomically. On a full or read-only disk, warn once and go on without it."""
    try:
        with atomic_write(path) as temporary:
            write(temporary)
    except OSError as error:
        warn_of_cache(error.strerror or str(error))


def warn_of_cache(reason: str) -> None:
    """Warn that nothing can be kept; Python shows a warning of the same words and place once in a process."""
    warnings.warn(
        f"going on without the cache in {cache_dir()} ({reason}): free disk space, or set CDIR_CACHE", stacklevel=1
    )


def process_mark() -> str:
    """This process, for names of temporary files: its machine and its number."""
    return f"{_machine()}-{os.getpid()}-"


def is_abandoned(name: str) -> bool:
    """Whether a process of this machine put its mark into `name` and has ended since."""
    import psutil

    match = re.search(rf"{re.escape(_machine())}-(\d+)-", name)
    return bool(match) and not psutil.pid_exists(int(match.group(1)))


def _machine() -> str:
    return re.sub(r"\W", "_", platform.node())


def remove_leftovers(folder: Path) -> None:
    """Remove what `atomic_write` left below `folder` when its process was killed."""
    for path in folder.rglob(f"{PART}-*"):
        if is_abandoned(path.name):
            with suppress(OSError):
                path.unlink()
