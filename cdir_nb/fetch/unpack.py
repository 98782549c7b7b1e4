"""Images of archives and parquet files, written to <root>/<domain folder>/<class>/<image>.

The content is not trusted. A file is written only into a class folder of the dataset's card, and its name must not
contain a folder. An archive is rejected if it contains a link or a path outside of its folder, or if it unpacks to
implausibly many bytes.
"""

import errno
import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cdir_nb.data.card import Card
from cdir_nb.data.folder import LITTER
from cdir_nb.errors import CdirError
from cdir_nb.paths import make_folder

MAX_RATIO = 20  # unpacked size / archive size; images are hardly compressible
MIN_LIMIT = 64 << 20  # bytes that every archive may unpack to
MAX_IMAGE = 256 << 20  # bytes
MAX_NAME = 200  # bytes of a file name
SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}


@dataclass
class Staging:
    """A folder in which a dataset is assembled. `folders`: the domain folders to fill; other images are ignored."""

    root: Path
    card: Card
    folders: Collection[str]
    written: int = 0
    ignored: int = 0

    def add(self, folder: str, label: str, name: str, file: IO[bytes]) -> int:
        """Write one image and return its size in bytes; return 0 if its domain or class was not requested."""
        label = label if label in self.card.classes else label.replace(" ", "_")
        if folder not in self.folders or label not in self.card.classes:
            self.ignored += 1
            return 0
        content = file.read(MAX_IMAGE + 1)
        if len(content) > MAX_IMAGE:
            raise CdirError(f"{name} is larger than {MAX_IMAGE >> 20} MiB: too large for an image, refused")
        path, copies = self.root / folder / label / name, 1
        make_folder(path.parent)
        while path.exists():
            copies += 1
            path = path.with_name(f"{Path(name).stem}-{copies}{path.suffix}")
        path.write_bytes(content)
        self.written += 1
        return len(content)


def unpack(archive: Path, staging: Staging, inside: dict[str, str], listed: Collection[str] | None = None) -> None:
    """Extract the images of a zip or tar archive into `staging`.

    inside  {folder in the archive: domain folder} where the two names differ
    listed  paths <domain folder>/<class>/<image>; other images are ignored

    Raises CdirError for a hostile or damaged archive.
    """
    limit, total = max(MIN_LIMIT, MAX_RATIO * archive.stat().st_size), 0
    folders = {**{folder: folder for folder in staging.folders}, **inside}
    with _readable(archive, "a zip or tar archive"):
        for name, open_member in _members(archive):
            path = PurePosixPath(name.replace("\\", "/"))
            above, label = f"/{path.parent.parent}", path.parent.name
            folder = next((folder for key, folder in folders.items() if above.endswith(f"/{key}")), "")
            is_listed = listed is None or f"{folder}/{label}/{path.name}" in listed
            if not folder or not is_listed or path.name.startswith(".") or LITTER & {p.lower() for p in path.parts}:
                staging.ignored += 1
                continue
            with open_member() as file:
                total += staging.add(folder, label, path.name, file)
            if total > limit:
                raise CdirError(f"{archive.name} unpacks to over {limit >> 20} MiB: too much for images, refused")


def unpack_parquet(file: Path, staging: Staging, *, image: str, label: str, domain: str = "", folder: str = "") -> None:
    """Extract the images of a parquet file of the hub into `staging`. Raises CdirError for a damaged file.

    image, label, domain  names of columns; labels are texts, or numbers that the file's metadata map to texts
    folder                the domain folder, if there is no column of domains
    """
    import fastparquet

    with _readable(file, f"a table with the columns {image}, {label} {domain}"):
        table = fastparquet.ParquetFile(str(file))
        features = json.loads(table.key_value_metadata.get("huggingface") or "{}").get("info", {}).get("features", {})
        names = features.get(label, {}).get("names")
        folders = {info.folder: info.folder for info in staging.card.domains.values()}
        folders |= {name: info.folder for name, info in staging.card.domains.items()}
        columns = [f"{image}.bytes", label, *([domain] if domain else [])]
        columns += [column for column in table.columns if column == f"{image}.path"]
        frames = table.iter_row_groups(columns=columns)
        records = chain.from_iterable(frame.to_dict("records") for frame in frames)
        for row, record in enumerate(records, start=1):
            content = record[f"{image}.bytes"]
            name = _file_name(record.get(f"{image}.path"), content, f"{file.stem}-{row:06d}")
            class_name = names[int(record[label])] if names else record[label]
            image_folder = folders.get(str(record[domain]), "") if domain else folder
            staging.add(image_folder, str(class_name), name, io.BytesIO(content))


@contextmanager
def _readable(file: Path, kind: str) -> Iterator[None]:
    """Context that raises a one-line CdirError for a damaged file; errors of the disk are not changed."""
    try:
        yield
    except CdirError:
        raise
    except Exception as error:  # decoders raise many types
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: an empty parquet file
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise CdirError(f"{file} is damaged, or not {kind} ({reason}): download it again") from None


def _members(archive: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The name of each regular file of an archive, and a function that opens it."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                _check_member(archive, info.filename, stat.S_ISLNK(info.external_attr >> 16))
                if not info.is_dir():
                    yield info.filename, partial(file.open, info)
        return
    with tarfile.open(archive) as file:
        for info in file:
            _check_member(archive, info.name, not (info.isfile() or info.isdir()))
            if info.isfile():
                yield info.name, partial(file.extractfile, info)


def _check_member(archive: Path, name: str, special: bool) -> None:
    """Raise CdirError for a link or device, a path that leaves the archive's folder, and an invalid file name."""
    path = PurePosixPath(name.replace("\\", "/"))
    leaves = path.is_absolute() or ".." in path.parts or path.parts[0][1:2] == ":"
    if special or leaves or not name.isprintable() or len(path.name.encode("utf-8", "replace")) > MAX_NAME:
        raise CdirError(
            f"{archive.name}: {name[:80]!r} is a link or a device, leaves the archive's folder, or is not a valid file "
            "name: refused; delete the archive"
        )


def _file_name(path: object, content: bytes, default: str) -> str:
    """The name in `path` if it is a plain file name, else `default` with the suffix of the image's format."""
    name = PurePosixPath(str(path or "").replace("\\", "/")).name
    if name and name.isprintable() and not name.startswith(".") and len(name.encode()) <= MAX_NAME:
        return name
    return default + next((suffix for magic, suffix in SUFFIXES.items() if content.startswith(magic)), ".img")
