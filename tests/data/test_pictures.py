"""One picture: whatever its mode and its EXIF say, it comes out upright, 8-bit, RGB; damage is noticed."""

import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from cdir_nb.data.pictures import LoadFile, Look, digest_of, inspect
from cdir_nb.data.pixels import decode, to_rgb
from cdir_nb.errors import CdirError


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(size=(64, 48)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def test_exif_turns_the_picture_upright():
    image = Image.new("RGB", (40, 20), "white")
    image.paste("red", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    upright = decode(encoded(image, "JPEG", exif=exif, quality=95))
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5))[1] < 60 and upright.getpixel((10, 35))[1] > 200  # red above, white below


def palette() -> Image.Image:
    """A blue and a green pixel."""
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 255, 0, 255, 0])
    image.putpixel((1, 0), 1)
    return image


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (Image.fromarray(np.array([[[0, 0, 0, 0], [255, 0, 0, 255]]], np.uint8)), {}, [(255, 255, 255), (255, 0, 0)]),
        (Image.new("LA", (1, 1), (0, 128)), {}, [(127, 127, 127)]),
        (palette(), {"transparency": 0}, [(255, 255, 255), (0, 255, 0)]),
    ],
)
def test_transparent_pixels_are_laid_on_white(image, options, expected):
    assert list(decode(encoded(image, "PNG", **options)).get_flattened_data()) == expected


def test_sixteen_bits_are_scaled_and_not_clipped():
    ramp = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    pixels = decode(encoded(Image.fromarray(ramp), "PNG")).get_flattened_data()
    assert [pixel[0] for pixel in pixels] == [0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16"])
def test_every_mode_becomes_rgb(mode):
    result = to_rgb(Image.new(mode, (3, 2)))
    assert (result.mode, result.size) == ("RGB", (3, 2))


def test_cmyk_jpeg_keeps_its_colours():
    red = decode(encoded(Image.new("RGB", (8, 8), (255, 0, 0)).convert("CMYK"), "JPEG", quality=95))
    assert red.getpixel((4, 4)) == pytest.approx((255, 0, 0), abs=12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_cut_short_is_noticed(tmp_path, kind):
    data = encoded(noise(), kind)
    (tmp_path / "cut").write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / "whole").write_bytes(data)
    assert "unreadable" in inspect(tmp_path / "cut")[1]
    digest, problem, look = inspect(tmp_path / "whole")
    assert (
        (digest, problem) == (digest_of(data), "") and look and (look.width, look.height, look.blank) == (64, 48, False)
    )


def test_empty_missing_and_other_files(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "note.jpg").write_text("text")
    assert inspect(tmp_path / "empty.jpg")[1] == "zero bytes"
    assert inspect(tmp_path / "note.jpg")[1] == "unreadable: not an image, or in a format that Pillow does not know"
    assert inspect(tmp_path / "gone.jpg")[1].startswith("unreadable: ")
    seen = Look(1, 1, False, "0")
    assert inspect(tmp_path / "note.jpg", {digest_of(b"text"): seen}) == (
        digest_of(b"text"),
        "",
        seen,
    )  # decoded before


def test_a_file_that_changed_after_opening_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(data := encoded(noise(), "PNG"))
    load = pickle.loads(pickle.dumps(LoadFile({"photo/dog/a.png": (path, digest_of(data))})))
    assert load("photo/dog/a.png").size == (64, 48)
    path.write_bytes(encoded(noise((20, 20)), "PNG"))
    with pytest.raises(CdirError, match="a.png has changed since the dataset was opened; open the dataset again"):
        load("photo/dog/a.png")
    path.unlink()
    with pytest.raises(CdirError, match="a.png can no longer be read .*; open the dataset again"):
        load("photo/dog/a.png")


# --- pictures that are refused, with the reason


def problem_of(tmp_path, data: bytes) -> str:
    (tmp_path / "a.img").write_bytes(data)
    return inspect(tmp_path / "a.img")[1]


@pytest.mark.parametrize(
    ("picture", "kind", "problem"),
    [
        (Image.new("L", (1, 1_000_000)), "PNG", "1 x 1,000,000 pixels; at most 89,478,485 are read"),
        (Image.new("1", (12_000, 12_000)), "PNG", "12,000 x 12,000 pixels"),
        (Image.fromarray(np.full((8, 8), 0.5, np.float32)), "TIFF", "its pixels are fractions"),
        (Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF", "its pixels have negative or NaN values"),
        (Image.fromarray(np.full((8, 8), 70_000, np.int32)), "TIFF", "its brightest pixel is 1 of 255"),
        (Image.fromarray(np.full((8, 8), 3, np.uint16)), "PNG", "its brightest pixel is 3 of 255"),
        (Image.fromarray(np.full((8, 8), -1, np.int32)), "TIFF", "its pixels have negative or NaN values"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pictures_that_cannot_be_shown_right_are_refused(tmp_path, picture, kind, problem):
    assert f"unreadable: {problem}" in problem_of(tmp_path, encoded(picture, kind))


def test_a_thin_picture_within_the_limit_is_read(tmp_path):
    assert problem_of(tmp_path, encoded(Image.new("L", (10, 2000)), "PNG")) == ""


def test_a_pipe_or_a_device_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "gone.png").symlink_to("nowhere")
    for name in ("pipe.png", "zero.png"):
        assert inspect(tmp_path / name) == ("", "unreadable: not a regular file", None)
    assert inspect(tmp_path / "gone.png") == ("", "unreadable: No such file or directory", None)
