"""All paths of the package, independent of the working directory; atomic writes; the cache, which users may share."""

import atexit
import errno
import os
import platform
import re
import shutil
import stat
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import platformdirs
from safetensors import SafetensorError

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
LIBRARY_FOLDERS = {  # {environment variable of a library: the folder that the library writes by default}
    "NUMBA_CACHE_DIR": Path(platformdirs.user_cache_dir("numba")),
    "MPLCONFIGDIR": Path(platformdirs.user_config_dir("matplotlib")),
}
Result = TypeVar("Result")


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


def make_folder(folder: Path) -> None:
    """Create a folder and its parents.

    If the group may write to the parent, it may also write to the new folder, whatever the umask, so that users can
    share a cache.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(new):
        share_with_group(path, path.parent)


def share_with_group(folder: Path, parent: Path) -> None:
    """Let the group write to a new folder if it may write to `parent`, and both have the same group."""
    mode, like = folder.stat(), parent.stat()
    if like.st_mode & stat.S_IWGRP and like.st_gid == mode.st_gid:
        with suppress(OSError):  # another process has just created it
            folder.chmod(stat.S_IMODE(mode.st_mode) | stat.S_IRWXG)


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` only if the block ends without an error."""
    path = Path(path)
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PART}-{process_label()}", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp's 0600 would hide a shared cache from other users
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_from_cache(path: Path, read: Callable[[Path], Result]) -> Result | None:
    """`read(path)`; None if the file is missing, damaged, or (with a warning) not shared by the user who owns it."""
    try:
        return read(path)
    except PermissionError as error:
        warn_cache_unavailable(error)
    except (OSError, ValueError, EOFError):  # missing or damaged
        pass
    return None


def cached_files(folder: Path, suffix: str) -> list[Path]:
    """Finished files with this suffix in a folder of the cache, sorted by name; empty if the folder cannot be read."""

    def finished(folder: Path) -> list[Path]:
        return sorted(path for path in folder.iterdir() if path.name.endswith(suffix) and path.name[0] != ".")

    return read_from_cache(folder, finished) or []


def write_to_cache(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file of the cache atomically. If the cache cannot be written, warn once and continue without the file."""
    try:
        with atomic_write(path) as temporary:
            write(temporary)
    except (OSError, RuntimeError, SafetensorError) as error:  # the last two: torch and safetensors on a full disk
        warn_cache_unavailable(error)


def warn_cache_unavailable(error: Exception) -> None:
    """Warn, once per process and reason, that the cache cannot be read or written."""
    if isinstance(error, PermissionError):
        problem = f"a folder of {cache_dir()} belongs to another user"
        remedy = "share it with a common group and umask 002, or set CDIR_CACHE"
    else:
        problem = f"{cache_dir()} cannot be used ({getattr(error, 'strerror', None) or error})"
        full = getattr(error, "errno", None) in (None, errno.ENOSPC, errno.EDQUOT)
        remedy = "free disk space, or set CDIR_CACHE" if full else "set CDIR_CACHE to a folder that can be written"
    _warn_once(f"continuing without the cache: {problem}: {remedy}")


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def set_library_caches() -> None:
    """Let Numba and Matplotlib write into our cache, or a temporary folder, if they cannot write their own folders.

    UMAP cannot be imported if Numba, which it uses, has no folder to write to. Called before the libraries are
    imported; child processes inherit the setting.
    """
    for variable, folder in LIBRARY_FOLDERS.items():
        if not os.environ.get(variable) and not _can_write(folder):
            os.environ[variable] = str(user_folder() / folder.name)


def _can_write(folder: Path) -> bool:
    """Whether the folder can be written; if it does not exist, whether it can be created."""
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    return os.access(existing, os.W_OK | os.X_OK)


def user_folder() -> Path:
    """A folder for files that are executed: in the cache if no other user can write there, else a temporary folder."""
    return _user_folder(cache_dir())


@cache
def _user_folder(parent: Path) -> Path:
    user = getattr(os, "getuid", int)()  # Windows has no number for a user, and a cache for each
    folder = parent / f"user-{user}"
    with suppress(OSError):
        make_folder(parent)
        folder.mkdir(0o700, exist_ok=True)
        if folder.stat().st_uid == user and os.access(folder, os.W_OK):
            return folder
    temporary = tempfile.mkdtemp(prefix="cdir-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)


def process_label() -> str:
    """A label with the machine and the process ID, for names of temporary files."""
    return f"{_machine()}-{os.getpid()}-"


def is_abandoned(name: str) -> bool:
    """Whether `name` contains the label of a process on this machine that has ended."""
    import psutil

    match = re.search(rf"{re.escape(_machine())}-(\d+)-", name)
    return match is not None and not psutil.pid_exists(int(match[1]))


def _machine() -> str:
    return re.sub(r"\W", "_", platform.node())


def abandoned_files(folder: Path) -> Iterator[Path]:
    """The temporary files that killed processes left below `folder`, in folders that can be read."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names if name.startswith(f"{PART}-") and is_abandoned(name))


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that killed processes left below `folder`."""
    for path in abandoned_files(folder):
        with suppress(OSError):
            path.unlink()
