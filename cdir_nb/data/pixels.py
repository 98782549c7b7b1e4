"""From the bytes of an image file to 8-bit RGB pixels: `decode`, for embeddings, tiles and figures alike.

Pixels that are not 8-bit sRGB are converted: deeper values are scaled by their range, colour profiles are applied,
transparent images are placed on white. The memory in use is bounded, whatever the number of threads.
"""

import io
import math
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, cast

import numpy as np
from PIL import Image, ImageCms, ImageOps

with suppress(ImportError):  # HEIC, the format of many phones, is read if this package is installed
    from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]

    register_heif_opener()

Image.core.set_block_size(2**26)  # bytes: malloc returns such blocks to the system, smaller ones stay with a thread

MAX_PIXELS = 89_478_485  # the default of Pillow, which warns of a decompression bomb beyond it
MAX_RATIO = 200  # of the longer to the shorter side
LARGE, REDUCED = 2**24, 2**22  # pixels: images above LARGE are made smaller, to no less than about REDUCED
MIN_SIDE = 512  # pixels: no image is reduced to a shorter side; encoders read 224 to 518
DEPTHS = (8, 10, 12, 14, 16, 24, 31, 32)  # bits of a value; 31: with a sign
BLANK = 16  # of 255 levels: an image whose values differ by less shows nothing
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
BITS_PER_SAMPLE, PHOTOMETRIC, MAX_SAMPLE, SAMPLE_FORMAT, SMAX_SAMPLE = 258, 262, 281, 339, 341  # TIFF tags
UNSIGNED, WHITE_IS_ZERO = 1, 0  # values of SAMPLE_FORMAT and PHOTOMETRIC
OTHER_ORDER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}  # raw modes
BYTES_OF_LA = "RGBA"  # the raw mode that reads the four bytes of a grey and an alpha value
PROFILE_MODES = {"GRAY": ("L",), "RGB": ("RGB", "L"), "CMYK": ("CMYK",)}  # {space: modes that it applies to}
BLOCK = 2**20  # values that are scaled at a time


class Budget:
    """A quantity that threads reserve and return; a thread waits until enough is free."""

    def __init__(self, total: int) -> None:
        self.total = self.free = total
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Context that reserves `amount` (or the total, if that is less) until its block ends."""
        amount = min(amount, self.total)
        with self._changed:
            self._changed.wait_for(lambda: self.free >= amount)
            self.free -= amount
        try:
            yield
        finally:
            with self._changed:
                self.free += amount
                self._changed.notify_all()


PIXELS_IN_FLIGHT = Budget(MAX_PIXELS)  # of images that are being decoded: one of the largest, or many small ones


def decode(data: bytes) -> Image.Image:
    """The fully decoded image in a file's bytes, RGB (of an animation, the first frame), converted by `to_rgb`.

    Images of more than LARGE pixels are downsampled by an integer factor, which bounds the memory; encoders use fewer
    pixels than remain. Raises whatever Pillow raises for a damaged file. Raises ValueError as `to_rgb` does, and for an
    image that is too large or too thin: resizing its short side to 224 pixels would take gigabytes.
    """
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        if width * height > MAX_PIXELS or max(width, height) > MAX_RATIO * min(width, height):
            raise ValueError(
                f"{width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are read, and sides of 1 to {MAX_RATIO}"
            )
        with PIXELS_IN_FLIGHT.reserve(width * height):
            _add_lower_bytes(image, data)
            return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to 8-bit sRGB, upright by its EXIF orientation.

    - Values of more than 8 bits are scaled by their range: that of the TIFF tags, otherwise the smallest of DEPTHS.
    - Colours are converted by the profile in the file; a damaged profile, or one for other channels, is ignored.
    - Transparent images are placed on white, or on black if they would be blank on white.

    Raises ValueError for values without a known range: fractions, negative ones, and images that would be black.
    """
    factor = _reduction(image)
    if factor > 1:  # JPEG is decoded at a half, a quarter or an eighth of its size
        image.draft(image.mode, (image.width // factor, image.height // factor))
        factor = _reduction(image)
    image.load()
    with suppress(Exception):  # damaged EXIF data, of which Pillow's reader can raise almost anything
        ImageOps.exif_transpose(image, in_place=True)
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        image = _deep_grey(image)
    image = _unindexed(image)
    if factor > 1:
        image = image.reduce(factor)
    if profile:
        image = _in_srgb(image, profile)
    return _on_paper(image) if image.mode == "RGBA" else image.convert("RGB")


def is_blank(image: Image.Image) -> bool:
    """Whether an RGB image shows nothing: in each channel, the values differ by less than BLANK."""
    return all(high - low < BLANK for low, high in np.reshape(image.getextrema(), (-1, 2)).tolist())


def _reduction(image: Image.Image) -> int:
    """The factor by which width and height are divided."""
    pixels = image.width * image.height
    if pixels <= LARGE:
        return 1
    return max(1, min(math.ceil(math.sqrt(pixels / REDUCED)), min(image.size) // MIN_SIDE))


def _unindexed(image: Image.Image) -> Image.Image:
    """The image as RGBA if it may have transparent pixels, otherwise with neither a palette nor single bits."""
    if image.has_transparency_data:
        if image.mode == "La":  # Pillow converts it to LA only
            image = image.convert("LA")
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image.convert("RGB") if image.mode in ("1", "P") else image


def _on_paper(image: Image.Image) -> Image.Image:
    """An RGBA image placed on white, as RGB; on black if it would be blank on white."""
    on_white = _composite(image, "white")
    if not is_blank(on_white):
        return on_white
    on_black = _composite(image, "black")
    return on_white if is_blank(on_black) else on_black


def _composite(image: Image.Image, paper: str) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, paper), image).convert("RGB")


# -- colour profiles ---------------------------------------------------------------------------------------------------


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The image converted from the colours of an ICC profile; unchanged if the profile cannot be applied to it."""
    found = _transform(profile)
    colours = image.convert("RGB") if image.mode == "RGBA" else image
    if found is None or colours.mode not in PROFILE_MODES[found[0]]:
        return image
    space, transform = found
    converted = transform.apply(colours.convert(PROFILE_MODES[space][0]))
    if image.mode == "RGBA":
        converted.putalpha(image.getchannel("A"))
    return converted


@lru_cache(16)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """(colour space of an ICC profile, its transform to sRGB); None if it is damaged or nearly sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = cast(Any, source.profile).xcolor_space.strip()
        transform = ImageCms.ImageCmsTransform(source, SRGB, PROFILE_MODES[space][0], "RGB")
    except (OSError, ValueError, TypeError, KeyError, ImageCms.PyCMSError):
        return None
    return None if space == "RGB" and _changes_little(transform) else (space, transform)


def _changes_little(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform from RGB changes no colour by more than two levels: rounding would only add noise."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    return int(np.abs(np.asarray(transform.apply(Image.fromarray(cube))).astype(int) - cube).max()) <= 2


# -- values of more than 8 bits ----------------------------------------------------------------------------------------


def _deep_grey(image: Image.Image) -> Image.Image:
    """An image of one channel with 16 or 32 bits as "L", or as "LA" if one of its values is transparent."""
    tags = getattr(image, "tag_v2", {})
    values, clear = np.asarray(image), image.info.get("transparency")
    if tags.get(SAMPLE_FORMAT) == (UNSIGNED,) and values.dtype == np.int32:  # Pillow reads them as signed
        values = values.view(np.uint32)
    levels = _levels(values, _stated_range(tags))
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        levels = 255 - levels
    _refuse_black(levels)
    grey = Image.fromarray(levels)
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _add_lower_bytes(image: Any, data: bytes) -> None:
    """Scale colours of 16 bits, in place, if Pillow's 8 bits would be dark.

    Pillow reads the upper byte of each value only: 12 bits in a 16-bit file become black. The file is read again with
    its bytes swapped, which gives the lower ones.
    """
    tiles = [_swapped(tile) for tile in image.tile]
    if image.mode not in ("RGB", "RGBA") or not tiles or None in tiles:
        return
    if max(high for _, high in image.getextrema()[:3]) >= 64:  # more than 14 bits: the full range
        return
    with Image.open(io.BytesIO(data)) as lower:
        lower.tile = tiles
        low = lower.split()
    if tiles[0].args == BYTES_OF_LA:  # upper and lower byte of grey, then of alpha
        low = (low[1], low[1], low[1], low[3])
    values = [np.asarray(upper).astype(np.uint16) * 256 + np.asarray(band) for upper, band in zip(image.split(), low)]
    levels = [*_levels(np.stack(values[:3]), _stated_range(getattr(image, "tag_v2", {})))]
    _refuse_black(np.stack(levels))
    levels += [_levels(alpha) for alpha in values[3:]]
    image.im = Image.fromarray(np.dstack(levels)).im


def _swapped(tile: Any) -> Any:
    """A part of an image file with the bytes of its 16-bit values swapped; None if it has no such values."""
    mode, *others = [tile.args] if isinstance(tile.args, str) else tile.args
    channels, _, order = str(mode).partition(";")
    if mode == "LA;16B":  # which Pillow cannot swap
        return tile._replace(args=BYTES_OF_LA)
    if order not in OTHER_ORDER:
        return None
    mode = f"{channels};{OTHER_ORDER[order]}"
    return tile._replace(args=mode if isinstance(tile.args, str) else (mode, *others))


def _levels(values: np.ndarray, stated: float | None = None) -> np.ndarray:
    """Values scaled to 0..255 (uint8) by their range: the stated range if it contains all values, else the evident one.

    Raises ValueError for fractions without a stated range, for negative values and NaN.
    """
    brightest = float(values.max())
    if not values.min() >= 0:
        raise ValueError("its pixels have negative or NaN values; save it with 8 or 16 bits")
    if stated is None or stated < brightest:
        stated = _evident_range(values, brightest)
    levels = np.empty(values.size, np.uint8)
    flat = values.reshape(-1)
    for start in range(0, len(flat), BLOCK):  # in blocks, because fractions take eight times the memory
        levels[start : start + BLOCK] = np.rint(flat[start : start + BLOCK] * (255 / stated))
    return levels.reshape(values.shape)


def _stated_range(tags: Mapping[int, Any]) -> float | None:
    """The largest value according to the tags of a TIFF file; None if they do not state it."""
    for tag in (SMAX_SAMPLE, MAX_SAMPLE):
        if tag in tags:
            return float(np.max(tags[tag]))
    bits = tags.get(BITS_PER_SAMPLE, (8,))[0]
    return None if bits % 8 == 0 else float(2**bits - 1)


def _evident_range(values: np.ndarray, brightest: float) -> float:
    """The largest value at the smallest bit depth (DEPTHS) that can represent all values."""
    if values.dtype.kind == "f":
        raise ValueError("its pixels are fractions of an unknown scale; save it with 8 or 16 bits")
    if 255 < brightest <= 65535 and not (values % 257).any():  # 8 bits that fill 16
        return 65535
    return 2.0 ** next(bits for bits in DEPTHS if brightest < 2**bits) - 1


def _refuse_black(levels: np.ndarray) -> None:
    if 0 < levels.max() < BLANK:  # all zero is a black image indeed
        raise ValueError(f"its brightest pixel is {levels.max()} of 255: it would be black; save it with 8 bits")
