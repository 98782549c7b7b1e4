"""Image files with changed bytes: each is decoded to 8-bit RGB, or refused with a reason of one line.

Their headers may claim any size, so this also checks that memory stays bounded.
"""

import io
import random

import numpy as np
import pytest
from fuzzing import amount, rounds
from PIL import Image

from cdir_nb.data.pictures import decode, inspect

FILES = amount(10_000, 100)
FORMATS = {  # {Pillow's name of the format: modes that it stores}
    "PNG": ("RGB", "RGBA", "P", "L", "LA", "1", "I;16"),
    "JPEG": ("RGB", "L", "CMYK"),
    "GIF": ("P", "L"),
    "TIFF": ("RGB", "CMYK", "I;16", "F", "1", "LAB"),
    "WEBP": ("RGB", "RGBA"),
}


def encoded(rng: random.Random, name: str, mode: str) -> bytes:
    """A file of noise in a format and mode; for some, with several frames or EXIF data."""
    size = rng.randint(1, 60), rng.randint(1, 60)
    channels = {"I;16": 2, "F": 4}.get(mode) or len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, size[0] * size[1] * channels, dtype=np.uint8)
    image = Image.frombytes(mode, size, pixels.tobytes()) if mode != "1" else Image.new("1", size, 1)
    options = {"save_all": True, "append_images": [image.copy()]} if name in ("GIF", "TIFF", "WEBP") else {}
    if name in ("PNG", "JPEG", "WEBP") and rng.random() < 0.5:
        exif = Image.Exif()
        exif[274] = rng.randint(0, 9)  # orientation
        options["exif"] = exif
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def damaged(rng: random.Random, data: bytes) -> bytes:
    """The file with some bytes changed, most of them in its header, cut, or with a part repeated."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 50])):
        end = rng.choice([len(changed), min(len(changed), 64)])
        changed[rng.randrange(end)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    start = rng.randrange(len(changed))
    return bytes(rng.choice([changed, changed, changed[:start], changed[:start] + changed[start // 2 :]]))


@pytest.mark.filterwarnings("ignore")  # of Pillow, on damaged files
def test_damaged_images_are_decoded_or_refused(tmp_path):
    rng, path, decoded = random.Random(7), tmp_path / "a", 0
    kinds = [(name, mode) for name, modes in FORMATS.items() for mode in modes]
    for number in rounds(FILES):
        data = encoded(rng, *kinds[number % len(kinds)])
        data = damaged(rng, data) if rng.random() < 0.9 else data
        path.write_bytes(data)
        problem = inspect(path)[1]
        if problem:
            assert problem.isprintable() and problem
            continue
        image = decode(data)
        assert image.mode == "RGB" and 0 < image.width * image.height <= Image.MAX_IMAGE_PIXELS
        decoded += 1
    assert FILES / 10 < decoded < FILES
