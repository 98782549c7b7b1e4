"""Pixel formats: whatever a file holds, the decoded image looks as it does to a viewer that knows the format."""

import io
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from cdir_nb.data.pixels import BLANK, Budget, decode, is_blank
from cdir_nb.data.world import draw

RGB = draw("guitar", "real", 7, 0)
GREY = np.asarray(RGB.convert("L"))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def deep_png(values: np.ndarray, colour_type: int) -> bytes:
    """A PNG file of 16 bits; Pillow writes only grey ones. values: (H, W, C) numbers of 0 to 65535."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def deep_tiff(values: np.ndarray, order: str) -> bytes:
    """A TIFF file of 16-bit RGB in one strip; order: "<" or ">"."""
    height, width, _ = values.shape
    data = values.astype(f"{order}u2").tobytes()
    entries = [(256, width), (257, height), (258, 0), (259, 1), (262, 2), (273, 0), (277, 3), (278, height)]
    entries.append((279, len(data)))
    start = 8 + 2 + 12 * len(entries) + 4
    entries = [(tag, {258: start, 273: start + 6}.get(tag, value)) for tag, value in entries]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    for tag, value in entries:
        short = tag not in (258, 273, 279)
        head += struct.pack(f"{order}HHI", tag, 4 if tag in (273, 279) else 3, 3 if tag == 258 else 1)
        head += struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
    return head + struct.pack(f"{order}IHHH", 0, 16, 16, 16) + data


def stating(tag: int, value: float, kind: int) -> dict:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[tag] = kind
    tags[tag] = value
    return {"tiffinfo": tags}


def difference(data: bytes, expected: Image.Image | np.ndarray) -> int:
    image = decode(data)
    assert image.mode == "RGB"
    expected = expected if isinstance(expected, Image.Image) else Image.fromarray(expected)
    return int(np.abs(np.asarray(image, int) - np.asarray(expected.convert("RGB"), int)).max())


# --- values of more than 8 bits


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("dtype,kind", [(np.uint16, "PNG"), (np.uint16, "TIFF"), (np.int32, "TIFF")])
def test_grey_of_any_depth_looks_as_with_8_bits(bits, dtype, kind):
    values = np.rint(GREY.astype(float) * (2**bits - 1) / 255).astype(dtype)
    assert difference(encoded(Image.fromarray(values), kind), GREY) <= 1


def test_grey_of_31_and_32_bits():
    assert difference(encoded(Image.fromarray((GREY.astype(np.int64) * 8_421_504).astype(np.int32)), "TIFF"), GREY) <= 1
    full = encoded(Image.fromarray((GREY.astype(np.uint64) * 16_843_009).astype(np.uint32).view(np.int32)), "TIFF")
    unsigned = full.replace(struct.pack("<HHIH", 339, 3, 1, 2), struct.pack("<HHIH", 339, 3, 1, 1))
    assert unsigned != full and difference(unsigned, GREY) == 0
    with pytest.raises(ValueError, match="negative"):
        decode(full)


def test_a_dark_image_whose_values_fill_16_bits_stays_dark():
    dark = GREY // 8
    assert int(dark.max()) * 257 < 2**14
    assert difference(encoded(Image.fromarray(dark.astype(np.uint16) * 257)), dark) == 0


def test_the_range_that_a_tiff_states_is_used():
    half = GREY // 2
    data = encoded(Image.fromarray(GREY.astype(np.uint16) * 8), "TIFF", **stating(281, 4095, 3))
    assert difference(data, half) <= 1
    fractions = Image.fromarray(GREY.astype(np.float32) / 255)
    assert difference(encoded(fractions, "TIFF", **stating(341, 1.0, 11)), GREY) == 0
    with pytest.raises(ValueError, match="fractions of an unknown scale"):
        decode(encoded(fractions, "TIFF"))


def test_16_bits_in_which_white_is_zero():
    data = bytearray(encoded(Image.fromarray((255 - GREY).astype(np.uint16) * 257), "TIFF"))
    data[data.find(struct.pack("<HHIH", 262, 3, 1, 1)) + 8] = 0  # the tag that Pillow does not write so
    assert difference(bytes(data), GREY) == 0


@pytest.mark.parametrize("factor", [1, 4, 16, 64, 257])
def test_colours_of_any_depth_look_as_with_8_bits(factor):
    values = np.asarray(RGB).astype(np.uint16) * factor
    opaque = np.full(GREY.shape, 65535, np.uint16)
    files = [
        deep_png(values, 2),
        deep_png(np.dstack([values, opaque]), 6),
        deep_tiff(values, "<"),
        deep_tiff(values, ">"),
    ]
    assert max(difference(data, RGB) for data in files) <= 2
    assert difference(deep_png(np.dstack([GREY.astype(np.uint16) * factor, opaque]), 4), GREY) <= 2


def test_the_transparent_value_of_16_bit_grey():
    values = np.array([[0, 30_000, 65_535]], np.uint16)
    data = encoded(Image.fromarray(values), transparency=30_000)
    assert [pixel[0] for pixel in decode(data).get_flattened_data()] == [0, 255, 255]


# --- transparency


def drawn_in(level: int) -> Image.Image:
    """Lines of one grey level on a transparent ground."""
    return Image.merge("LA", (Image.new("L", RGB.size, level), Image.fromarray(255 - GREY)))


def test_transparency_is_white_unless_the_image_would_vanish():
    assert difference(encoded(drawn_in(0)), GREY) <= 1
    assert difference(encoded(drawn_in(255)), 255 - GREY) <= 1  # white lines on black
    assert not is_blank(decode(encoded(drawn_in(245))))
    assert decode(encoded(Image.new("RGBA", (9, 9)))).getextrema() == ((255, 255),) * 3


def test_blank_is_what_differs_by_less_than_a_few_levels():
    for step, blank in ((0, True), (BLANK - 1, True), (BLANK, False)):
        image = Image.new("RGB", (9, 9), (100, 100, 100))
        image.putpixel((3, 3), (100, 100 + step, 100))
        assert is_blank(image) is blank


# --- colour profiles

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def wide_profile() -> bytes:
    """A matrix profile with ProPhoto's primaries and gamma 1.8, by hand from the ICC's specification."""
    primaries = {b"rXYZ": (0.7977, 0.2880, 0), b"gXYZ": (0.1352, 0.7119, 0), b"bXYZ": (0.0313, 0.0001, 0.8249)}
    tags = {name: b"XYZ \0\0\0\0" + fixed(*values) for name, values in primaries.items()}
    tags |= {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249), b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    tags[b"desc"] = b"desc\0\0\0\0\0\0\0\5wide\0" + b"\0" * 79
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(1.8 * 256), 0))
    table, content, start = b"", b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        value += b"\0" * (-len(value) % 4)
        table += name + struct.pack(">II", start + len(content), len(value))
        content += value
    head = (
        struct.pack(">I", start + len(content))
        + b"lcms\x02\x40\0\0mntrRGB XYZ "
        + struct.pack(">6H", 2024, 1, 1, 0, 0, 0)
    )
    head += b"acsp" + b"\0" * 28 + fixed(0.9642, 1, 0.8249) + b"\0" * 48
    return head + struct.pack(">I", len(tags)) + table + content


def test_colours_of_a_wide_profile_become_those_of_srgb():
    profile = wide_profile()
    wide = ImageCms.profileToProfile(RGB, SRGB, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    wide.info.clear()
    assert difference(encoded(wide), RGB) > 40  # without the profile
    for image in (wide, wide.convert("RGBA")):
        assert difference(encoded(image, icc_profile=profile), RGB) <= 4
        assert difference(encoded(image, "TIFF", icc_profile=profile), RGB) <= 4


def test_profiles_that_change_nothing_or_cannot_be_applied_leave_the_pixels():
    profile = wide_profile()
    grey, cmyk = Image.fromarray(GREY), RGB.convert("CMYK")
    for image, embedded in (
        (RGB, SRGB.tobytes()),
        (RGB, profile[:200]),
        (RGB, b"none"),
        (cmyk, profile),
        (grey, b"x" * 300),
    ):
        kind = "TIFF" if image.mode == "CMYK" else "PNG"
        assert difference(encoded(image, kind, icc_profile=embedded), image) == 0


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_damaged_exif_data_do_not_hide_an_image(kind):
    data = encoded(RGB, kind, quality=95, exif=b"Exif\0\0MM\xab*\0\0\0\x08\0\0")
    assert difference(data, decode(encoded(RGB, kind, quality=95))) == 0


def test_an_animation_is_its_first_frame():
    other = Image.new("RGB", RGB.size, "red")
    for kind, options in (("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        assert difference(encoded(RGB, kind, save_all=True, append_images=[other], **options), RGB) == 0


# --- large images and memory


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_large_image_is_reduced_and_a_smaller_one_is_not(kind, monkeypatch):
    image = RGB.resize((1024, 1024), Image.Resampling.BICUBIC)
    monkeypatch.setattr("cdir_nb.data.pixels.LARGE", 2**20)
    assert decode(encoded(image, kind)).size == (1024, 1024)
    monkeypatch.setattr("cdir_nb.data.pixels.LARGE", 2**19)
    monkeypatch.setattr("cdir_nb.data.pixels.REDUCED", 2**18)
    reduced = decode(encoded(image, kind, quality=95))
    assert reduced.size == (512, 512)
    error = np.abs(np.asarray(reduced, int) - np.asarray(image.reduce(2), int))
    assert error.mean() < 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_can_be_reduced(mode, monkeypatch):
    monkeypatch.setattr("cdir_nb.data.pixels.LARGE", 2**10)
    monkeypatch.setattr("cdir_nb.data.pixels.REDUCED", 2**8)
    monkeypatch.setattr("cdir_nb.data.pixels.MIN_SIDE", 8)
    image = Image.fromarray(GREY.astype(np.uint16) * 257) if mode == "I;16" else RGB.convert(mode)
    assert decode(encoded(image, "TIFF" if mode == "CMYK" else "PNG")).size == (16, 16)


def test_a_budget_is_never_exceeded_and_returns_what_was_reserved():
    budget, held, most = Budget(10), [0], []
    lock = threading.Lock()

    def work(amount: int) -> None:
        with budget.reserve(amount):
            with lock:
                held[0] += min(amount, 10)
                most.append(held[0])
            time.sleep(0.0005)
            with lock:
                held[0] -= min(amount, 10)

    threads = [threading.Thread(target=work, args=(amount,)) for amount in [1, 4, 7, 99] * 25]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 10 and budget.free == 10
    with pytest.raises(ValueError), budget.reserve(3):
        raise ValueError
    assert budget.free == 10
