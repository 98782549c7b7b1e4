"""Zip files as folders: nothing is unpacked, and a file in one has a path below the zip, /data/3d.zip/umbrella.png.

This is a plain `Path`, whose name, suffix and position below a root are those of any other file. The functions here
replace those methods that read the disk: whether a path is a folder, what it contains, its bytes.
"""

import errno
import threading
import zipfile
from functools import lru_cache
from pathlib import Path

from cdir_nb.errors import CdirError

MAX_BYTES = 1 << 28  # of a file in a zip, whose header may promise any size
ENCRYPTED = 0x1  # bit of a file's flags


class Archive:
    """An open zip file. files: {path: entry}; folders: {path: the paths in it}, each in the order of the zip.

    If the zip contains only a folder of the same name, as zips made by file browsers do, the files are those in this
    folder.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.zip = zipfile.ZipFile(path)
        except Exception as error:  # damaged files raise many types
            raise CdirError(
                f"{path} cannot be read as a zip file ({_reason(error)}): make or download it again"
            ) from None
        self.lock = threading.Lock()
        self.files: dict[Path, zipfile.ZipInfo] = {}
        tree: dict[Path, dict[Path, None]] = {path: {}}
        entries = self.zip.infolist()
        is_wrapped = all(entry.filename.startswith((f"{path.stem}/", "__MACOSX/")) for entry in entries)
        for entry in entries:
            inside = _safe_path(path, entry, f"{path.stem}/" if is_wrapped else "")
            if entry.filename.endswith(("/", "\\")):
                tree.setdefault(inside, {})
            elif inside in self.files:
                raise CdirError(f"{path}: {_name(entry)} is in the zip twice: make the zip again")
            else:
                self.files[inside] = entry
            while inside != path:
                tree.setdefault(inside.parent, {})[inside] = None
                inside = inside.parent
        self.folders = {folder: list(children) for folder, children in tree.items()}
        if both := self.files.keys() & tree.keys():
            raise CdirError(f"{min(both)} is a file and a folder: make the zip again")

    def read(self, path: Path) -> bytes:
        """The bytes of a file. Raises OSError if they cannot be read."""
        entry = self.files.get(path)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, "not in the zip file", str(path))
        if entry.file_size > MAX_BYTES:
            raise OSError(errno.EFBIG, f"{entry.file_size:,} bytes; at most {MAX_BYTES:,} are read", str(path))
        try:
            with self.lock:  # zipfile does not promise to be thread-safe
                return self.zip.read(entry)
        except Exception as error:
            raise OSError(errno.EIO, f"damaged in its zip file: {_reason(error)}", str(path)) from None


def _safe_path(archive: Path, entry: zipfile.ZipInfo, prefix: str) -> Path:
    """The path of an entry, without `prefix`. Raises CdirError if it is encrypted or leads out of the zip file."""
    if entry.flag_bits & ENCRYPTED:
        raise CdirError(f"{archive}: {_name(entry)} is encrypted: make the zip again without a password")
    path = archive / entry.filename.removeprefix(prefix).replace("\\", "/")
    if ".." in path.parts or not path.is_relative_to(archive):
        raise CdirError(f"{archive}: {_name(entry)} leads out of the zip: make the zip again without such names")
    return path


def _name(entry: zipfile.ZipInfo) -> str:
    return repr(entry.filename[:80])


def _reason(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    return " ".join(text.split())


def size_of(path: Path) -> int:
    """The size of a file in bytes; 0 if it does not exist."""
    try:
        return path.stat().st_size
    except OSError:
        archive = archive_of(path)
        return archive.files[path].file_size if archive and path in archive.files else 0


def is_zip(path: Path) -> bool:
    """Whether a path is a zip file, by its name."""
    return path.suffix.lower() == ".zip" and path.is_file()


def archive_of(path: Path) -> Archive | None:
    """The zip file that `path` is, or lies in; None for any other path. Raises CdirError for a damaged zip file."""
    for parent in (path, *path.parents):
        if is_zip(parent):
            status = parent.stat()
            return _open(parent, status.st_mtime_ns, status.st_size)
    return None


@lru_cache(maxsize=64)
def _open(path: Path, modified: int, size: int) -> Archive:
    """The zip file in this state: a file that was replaced is opened again."""
    return Archive(path)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder on the disk or in a zip file; a zip file itself is not."""
    if path.is_dir():
        return True
    archive = None if path.exists() else archive_of(path)
    return archive is not None and path in archive.folders


def is_folder_or_zip(path: Path) -> bool:
    """Whether a path can be listed: a folder, or a zip file."""
    return is_folder(path) or is_zip(path)


def paths_in(folder: Path) -> list[Path]:
    """The paths in a folder or a zip file, in no particular order. Raises OSError if it cannot be listed."""
    archive = None if folder.is_dir() else archive_of(folder)
    return list(folder.iterdir()) if archive is None else archive.folders.get(folder, [])


def folder_or_zip(folder: Path) -> Path:
    """The folder; if it does not exist, the zip file of its name, if that exists."""
    if is_folder(folder) or not folder.name:
        return folder
    return next(filter(is_zip, (folder.with_name(folder.name + suffix) for suffix in (".zip", ".ZIP"))), folder)


def without_zip(path: Path) -> str:
    """The name of a folder, or of a zip file without its suffix."""
    return path.stem if is_zip(path) else path.name
