"""A single image file: decoding to RGB, checking, digest."""

import hashlib
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cdir_nb.errors import CdirError


def to_rgb(image: Image.Image) -> Image.Image:
    """Any picture as 8-bit RGB: rotated upright as its EXIF says, transparency on white, 16 bits scaled to 8."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):  # Pillow's own conversion to 8 bits clips at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def decode(data: bytes) -> Image.Image:
    """The fully decoded picture in a file's bytes, RGB. Raises whatever Pillow raises for a damaged file."""
    with Image.open(io.BytesIO(data)) as image:
        return to_rgb(image)


def digest_of(data: bytes) -> str:
    """Digest of a file's bytes (blake2b, 16 bytes, hex)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def inspect(path: Path, decoded: Collection[str] = ()) -> tuple[str, str]:
    """(digest, problem or "") of one file; it is decoded unless its digest is in `decoded`."""
    try:
        data = path.read_bytes()
        digest = digest_of(data)
        if not data:
            return digest, "zero bytes"
        if digest not in decoded:
            decode(data)
        return digest, ""
    except Exception as error:  # decoders can raise almost anything on damaged files
        reason = " ".join(re.sub(r"<_io\.BytesIO[^>]*>", "", str(error)).split()) or type(error).__name__
        return "", f"unreadable: {reason.replace(str(path), path.name)}"


@dataclass(frozen=True)
class LoadFile:
    """key -> picture, read from its file; raises CdirError if the file has changed since the dataset was opened."""

    files: dict[str, tuple[Path, str]]

    def __call__(self, key: str) -> Image.Image:
        path, digest = self.files[key]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CdirError(f"{path} can no longer be read ({error.strerror}); open the dataset again") from None
        if digest_of(data) != digest:  # else an embedding would be cached under the digest of another picture
            raise CdirError(f"{path} has changed since the dataset was opened; open the dataset again")
        return decode(data)
