"""All paths of the package, independent of the working directory; atomic writes; the cache folder."""

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
MOBILENET_V2 = PACKAGE / "encoders" / "mobilenet_v2"
REAL_CLIP = PACKAGE / "encoders" / "real_clip"

PART = ".part"  # prefix of the names of files that are being written


def cache_dir() -> Path:
    """Path of the cache folder, which may not exist yet.

    This is the environment variable `CDIR_CACHE`, or by default a folder in the user's cache folder.
    """
    return Path(os.environ.get("CDIR_CACHE") or platformdirs.user_cache_dir("cdir_nb"))


def runs_dir() -> Path:
    """Parent of all run folders.

    This is the environment variable `CDIR_RUNS`, or by default `runs/` in the checkout, or without a checkout `runs/`
    in the working directory.
    """
    return Path(os.environ.get("CDIR_RUNS") or (ROOT if IN_CHECKOUT else Path.cwd()) / "runs")


def expanded(path: str | Path) -> Path:
    """The path with `~` replaced by the user's folder. Raises CdirError if the user does not exist."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise CdirError(f"{path}: there is no such user: write the path without ~") from None


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` only if the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PART}-{process_label()}", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp's 0600 would hide a shared cache from other users
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_to_cache(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file of the cache atomically. On a full or read-only disk, warn once and continue without the file."""
    try:
        with atomic_write(path) as temporary:
            write(temporary)
    except OSError as error:
        warn_cache_unavailable(error.strerror or str(error))


def warn_cache_unavailable(reason: str) -> None:
    """Warn that the cache cannot be written; Python shows the same warning only once per process."""
    warnings.warn(
        f"continuing without the cache in {cache_dir()} ({reason}): free disk space, or set CDIR_CACHE", stacklevel=1
    )


def process_label() -> str:
    """A mark with machine and process ID, for names of temporary files."""
    return f"{_machine()}-{os.getpid()}-"


def is_abandoned(name: str) -> bool:
    """Whether `name` contains the mark of a process on this machine that has ended."""
    import psutil

    match = re.search(rf"{re.escape(_machine())}-(\d+)-", name)
    return match is not None and not psutil.pid_exists(int(match[1]))


def _machine() -> str:
    return re.sub(r"\W", "_", platform.node())


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that killed processes left below `folder`."""
    for path in folder.rglob(f"{PART}-*"):
        if is_abandoned(path.name):
            with suppress(OSError):
                path.unlink()
