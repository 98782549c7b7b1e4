"""A single image file: reading, checking, digests, and what decoding it shows."""

import errno
import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from cdir_nb.data.pixels import Budget, decode, is_blank
from cdir_nb.data.zips import archive_of, size_of
from cdir_nb.errors import CdirError

BYTES_IN_FLIGHT = Budget(2**28)  # of files that are being read
NO_IMAGE = "unreadable: not an image, or in a format that Pillow does not know"
OTHER_FORMATS = {  # that Pillow does not read
    "HEIC": "install pillow-heif (`pip install pillow-heif`), or convert them",
    "SVG": "convert to PNG",
    "PDF": "convert its pages to PNG",
    "RAW": "convert to JPEG",
}
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
RAW_SUFFIXES = (".3fr", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw")


@dataclass(frozen=True)
class Look:
    """Properties of a decoded image: its width and height, whether it is blank, and a digest of its pixels."""

    width: int
    height: int
    blank: bool
    pixels: str


class Inspection(NamedTuple):
    """The result of `inspect`: the digest of the file, its problem ("" if none), and its `Look` if it was decoded.

    A problem is "kind of file: what is wrong, or the remedy", or "zero bytes".
    """

    digest: str
    problem: str
    look: Look | None = None


def read_file(path: Path) -> bytes:
    """The bytes of a regular file, which may be in a zip file (`cdir_nb.data.zips`).

    Raises OSError for anything else: reading a pipe or a device may never end.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if archive := archive_of(path):
            return archive.read(path)
        raise
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.read_bytes()


def digest_of(data: bytes) -> str:
    """Digest of bytes (blake2b, 16 bytes, hex)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def inspect(path: Path, looks: Mapping[str, Look] | None = None) -> Inspection:
    """Read and decode one file.

    looks  {digest: look} of files that were decoded before; these are not decoded again
    """
    with BYTES_IN_FLIGHT.reserve(size_of(path)):
        data = b""
        try:
            data = read_file(path)
            digest = digest_of(data)
            if not data:
                return Inspection(digest, "zero bytes")
            return Inspection(digest, "", (looks or {}).get(digest) or _look(decode(data)))
        except Exception as error:  # decoders can raise almost anything on damaged files
            return Inspection("", _other_format(path, data) or _reason(error))


def _look(image: Image.Image) -> Look:
    return Look(*image.size, is_blank(image), digest_of(image.tobytes() + repr(image.size).encode()))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return NO_IMAGE
    reason = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    return f"unreadable: {' '.join(reason.split())}"


def _other_format(path: Path, data: bytes) -> str:
    """ "format: remedy" if a file is of one of OTHER_FORMATS, by its first bytes or its suffix; otherwise empty."""
    if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS and ".heic" not in Image.registered_extensions():
        name = "HEIC"
    elif b"<svg" in data[:1024].lower():
        name = "SVG"
    elif data.startswith(b"%PDF"):
        name = "PDF"
    elif path.suffix.lower() in RAW_SUFFIXES:
        name = "RAW"
    else:
        return ""
    return f"{name}: {OTHER_FORMATS[name]}"


@dataclass(frozen=True)
class LoadFile:
    """A function from a key to its image. Raises CdirError if the file has changed since the dataset was opened."""

    files: dict[str, tuple[Path, str]]

    def __call__(self, key: str) -> Image.Image:
        path, digest = self.files[key]
        with BYTES_IN_FLIGHT.reserve(size_of(path)):
            try:
                data = read_file(path)
            except OSError as error:
                raise CdirError(f"{path} can no longer be read ({error.strerror}); open the dataset again") from None
            if digest_of(data) != digest:  # otherwise an embedding would be cached under the digest of another image
                raise CdirError(f"{path} has changed since the dataset was opened; open the dataset again")
            return decode(data)
