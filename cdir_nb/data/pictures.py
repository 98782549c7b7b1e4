"""A single image file: decoding to RGB, checking, digest."""

import errno
import hashlib
import io
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cdir_nb.errors import CdirError

MAX_PIXELS = 89_478_485  # the default of Pillow, which warns of a decompression bomb beyond it
MAX_RATIO = 200  # of the longer to the shorter side


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to 8-bit RGB: apply its EXIF orientation, put transparency on white, scale 16 bits to 8.

    Raises ValueError for pixels whose scale is unknown: floating-point numbers, or integers beyond 16 bits.
    """
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F":
        raise ValueError("its pixels are fractions of an unknown scale; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # Pillow's own conversion to 8 bits clips at 255
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("its pixels are not in 0 to 65535; save it with 8 or 16 bits")
        image = Image.fromarray((pixels / 257).round().astype(np.uint8))
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def decode(data: bytes) -> Image.Image:
    """The fully decoded image in a file's bytes, RGB. Raises whatever Pillow raises for a damaged file.

    Also raises ValueError for an image too large or too thin: resizing its short side to 224 pixels takes gigabytes.
    """
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        if width * height > MAX_PIXELS or max(width, height) > MAX_RATIO * min(width, height):
            raise ValueError(
                f"{width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are read, and sides of 1 to {MAX_RATIO}"
            )
        return to_rgb(image)


def read_file(path: Path) -> bytes:
    """The bytes of a regular file. Raises OSError for anything else: reading a pipe or a device may never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.read_bytes()


def digest_of(data: bytes) -> str:
    """Digest of a file's bytes (blake2b, 16 bytes, hex)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def inspect(path: Path, decoded: Collection[str] = ()) -> tuple[str, str]:
    """Return (digest, problem) of one file; problem is "" if there is none.

    decoded  digests of files that are known to decode; these files are not decoded again
    """
    try:
        data = read_file(path)
        digest = digest_of(data)
        if not data:
            return digest, "zero bytes"
        if digest not in decoded:
            decode(data)
        return digest, ""
    except UnidentifiedImageError:
        return "", "unreadable: no image, or of a format that Pillow does not know"
    except Exception as error:  # decoders can raise almost anything on damaged files
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
        return "", f"unreadable: {' '.join(reason.split())}"


@dataclass(frozen=True)
class LoadFile:
    """A function from a key to its image. Raises CdirError if the file has changed since the dataset was opened."""

    files: dict[str, tuple[Path, str]]

    def __call__(self, key: str) -> Image.Image:
        path, digest = self.files[key]
        try:
            data = read_file(path)
        except OSError as error:
            raise CdirError(f"{path} can no longer be read ({error.strerror}); open the dataset again") from None
        if digest_of(data) != digest:  # otherwise an embedding would be cached under the digest of another image
            raise CdirError(f"{path} has changed since the dataset was opened; open the dataset again")
        return decode(data)
