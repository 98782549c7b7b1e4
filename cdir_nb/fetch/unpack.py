"""From archives and parquet files to <root>/<domain folder>/<class>/<image>, trusting nothing in them.

Only files that belong into a class folder of the card are written, under names made of the card's folders, the card's
classes and a plain file name: whatever an archive says, nothing lands elsewhere. An archive that tries (absolute paths,
"..", links, devices) or that unpacks to far more than images can is refused as a whole.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from cdir_nb.data.card import Card
from cdir_nb.data.folder import LITTER
from cdir_nb.errors import CdirError
from cdir_nb.fetch.table import ends_with

MOST_GROWTH = 20  # images hardly shrink in an archive: unpacked, it may have so many times its size ...
SMALL = 64 << 20  # ... or this many bytes
LARGEST_FILE = 256 << 20
CHUNK = 1 << 20
ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}


@dataclass
class Staging:
    """A folder in which a dataset is put together. `folders`: the domain folders that are wanted."""

    root: Path
    card: Card
    folders: Collection[str]
    written: int = 0
    ignored: int = 0

    def add(self, folder: str, label: str, name: str, content: IO[bytes]) -> int:
        """Write one image; returns its size. An image of a domain or class that is not wanted is only counted."""
        label = label if label in self.card.classes else label.replace(" ", "_")
        if folder not in self.folders or label not in self.card.classes:
            self.ignored += 1
            return 0
        path = self._free(self.root / folder / label, name)
        size = 0
        with open(path, "xb") as file:
            while chunk := content.read(CHUNK):
                size += len(chunk)
                if size > LARGEST_FILE:
                    raise CdirError(f"{name} is larger than {LARGEST_FILE >> 20} MiB unpacked: no image is; refused")
                file.write(chunk)
        self.written += 1
        return size

    def _free(self, folder: Path, name: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path, again = folder / name, 1
        while path.exists():
            again += 1
            path = folder / f"{Path(name).stem}-{again}{Path(name).suffix}"
        return path


@dataclass(frozen=True)
class Member:
    """One regular file of an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, staging: Staging, inside: dict[str, str], listed: Collection[str] | None = None) -> None:
    """Put an archive's images into `staging`. `inside`: folder in the archive -> domain folder; see `ArchiveSource`.

    listed: paths <domain folder>/<class>/<image>; others are left out. Raises CdirError for a hostile or broken file.
    """
    most = max(SMALL, MOST_GROWTH * archive.stat().st_size)
    places = {**{folder: folder for folder in staging.folders}, **inside}
    total = 0
    try:
        for member in _members(archive):
            path = _safe(archive, member.name)
            folder = next((places[key] for key in places if ends_with(path.parent.parent, key)), None)
            if folder is None or _is_litter(path) or _left_out(path, folder, listed):
                staging.ignored += 1
                continue
            with member.open() as content:
                total += staging.add(folder, path.parent.name, path.name, content)
            if total > most:
                raise CdirError(f"{archive.name} unpacks to over {most >> 20} MiB, too much for images: refused")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise CdirError(f"{staging.root} cannot be written: {error.strerror}") from None
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CdirError(
            f"{archive} is damaged, or no zip or tar archive ({reason}): download it again, or pack it as zip"
        ) from None


def _left_out(path: PurePosixPath, folder: str, listed: Collection[str] | None) -> bool:
    return listed is not None and f"{folder}/{path.parent.name}/{path.name}" not in listed


def _is_litter(path: PurePosixPath) -> bool:
    return path.name.startswith(".") or any(part.lower() in LITTER for part in path.parts)


def _members(archive: Path) -> Iterator[Member]:
    """Regular files of a zip or tar archive, in their order; refuses links and devices."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                if (info.external_attr >> 16) & 0o170000 == 0o120000:
                    raise CdirError(_hostile(archive, info.filename, "is a link"))
                if not info.is_dir():
                    yield Member(info.filename, info.file_size, lambda info=info: file.open(info))
        return
    with tarfile.open(archive) as file:
        for info in file:
            if not (info.isfile() or info.isdir()):
                raise CdirError(_hostile(archive, info.name, "is a link or a device"))
            if info.isfile():
                yield Member(info.name, info.size, lambda info=info: file.extractfile(info))


def _safe(archive: Path, name: str) -> PurePosixPath:
    """A member's path. Raises CdirError if it leads out of the archive's folder, or is no name for a file."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or path.parts[0][1:2] == ":":
        raise CdirError(_hostile(archive, name, "leads out of the folder"))
    if len(path.name.encode("utf-8", "replace")) > 255 or not name.isprintable():
        raise CdirError(_hostile(archive, name, "is no name for a file"))
    return path


def _hostile(archive: Path, name: str, what: str) -> str:
    return f"{archive.name}: {name[:80]!r} {what}; archives of images have no such thing: refused, delete the file"


def unpack_parquet(path: Path, staging: Staging, *, image: str, label: str, domain: str = "", only: str = "") -> None:
    """Put the images of a hub's parquet file into `staging`: columns of images (bytes and path), labels and domains.

    Labels may be text, or numbers whose names stand in the file's own metadata. Raises CdirError.
    """
    import fastparquet

    parts = [f"{image}.bytes", f"{image}.path", label, *([domain] if domain else [])]
    try:
        file = fastparquet.ParquetFile(str(path))
        if missing := [column for column in parts if column not in file.columns and column != f"{image}.path"]:
            raise ValueError(f"it has no column {missing[0]}")
        columns = [column for column in parts if column in file.columns]
        names, row = _names(file, label), 0
        for group in range(len(file.row_groups)):
            for record in file[group].to_pandas(columns=columns).to_dict("records"):
                row += 1
                folder = _folder(staging.card, record[domain] if domain else only)
                text = str(names[int(record[label])] if names else record[label])
                name = _name(record.get(f"{image}.path"), record[f"{image}.bytes"], f"{path.stem}-{row:06d}")
                staging.add(folder, text, name, io.BytesIO(record[f"{image}.bytes"]))
    except CdirError:
        raise
    except Exception as error:  # fastparquet has no error of its own for a damaged file
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CdirError(f"{path} cannot be read as a table of images ({reason}): remove it and fetch again") from None


def _names(file, label: str) -> list[str] | None:
    """The class names that the hub's own metadata give for the numbers in the label column."""
    info = json.loads(file.key_value_metadata.get("huggingface") or "{}")
    feature = info.get("info", {}).get("features", {}).get(label, {})
    return feature.get("names") if feature.get("_type") == "ClassLabel" else None


def _folder(card: Card, domain: object) -> str:
    """The folder of a domain that a source names by its folder or by the card's word."""
    folders = {info.folder for info in card.domains.values()}
    named = {name: info.folder for name, info in card.domains.items()}
    return str(domain) if str(domain) in folders else named.get(str(domain), "")


def _name(path: object, content: bytes, otherwise: str) -> str:
    """A plain file name: the one in the table if it has one, else numbered, with the ending of its content."""
    name = PurePosixPath(str(path or "").replace("\\", "/")).name
    if name and name.isprintable() and not name.startswith(".") and len(name.encode()) <= 200:
        return name
    return otherwise + next((end for magic, end in ENDINGS.items() if content.startswith(magic)), ".img")
