"""A drawing on the canvas becomes a sketch: size, position, strokes."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cdir_nb.errors import CdirError
from cdir_nb.explorer.drawing import MARGIN, SIZE, STROKE, as_sketch, drawing_set


def canvas(size=320, shape=(100, 60, 200, 160), width=2, paper=(0, 0, 0, 0)) -> Image.Image:
    picture = Image.new("RGBA", (size, size), paper)
    ImageDraw.Draw(picture).ellipse(shape, outline="black", width=width)
    return picture


def extent(picture) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(np.asarray(picture.convert("L")) < 128)
    return xs.min(), ys.min(), xs.max(), ys.max()


@pytest.mark.parametrize("paper", [(0, 0, 0, 0), (255, 255, 255, 255)])
def test_an_empty_canvas_is_refused(paper):
    with pytest.raises(CdirError, match="canvas is empty"):
        as_sketch(Image.new("RGBA", (320, 320), paper))


def test_position_and_size_of_the_drawing_do_not_matter():
    boxes = ((20, 20, 120, 120), (180, 150, 280, 250), (10, 10, 310, 310))
    small, moved, large = (as_sketch(canvas(shape=box)) for box in boxes)
    assert np.array_equal(small, moved)
    assert extent(small) == pytest.approx(extent(large), abs=3)
    assert (np.asarray(small) < 128).mean() == pytest.approx((np.asarray(large) < 128).mean(), rel=0.15)


def test_a_circle_stays_round_and_a_line_stays_a_line():
    left, top, right, bottom = extent(as_sketch(canvas()))
    assert abs((right - left) - (bottom - top)) <= 2
    line = Image.new("RGBA", (320, 320))
    ImageDraw.Draw(line).line([(20, 100), (300, 110)], fill="black", width=2)
    left, top, right, bottom = extent(as_sketch(line))
    assert (right - left) > 5 * (bottom - top)


def test_ink_is_black_on_white_inside_the_margin():
    picture = as_sketch(canvas(paper=(255, 255, 255, 255)))
    assert picture.mode == "RGB" and picture.size == (SIZE, SIZE)
    assert picture.getpixel((0, 0)) == (255, 255, 255) and np.asarray(picture).min() == 0
    left, top, right, bottom = extent(picture)
    assert min(left, top, SIZE - right, SIZE - bottom) >= MARGIN * SIZE * 0.6


@pytest.mark.parametrize("width", [1, 2, 4])
def test_thin_strokes_become_as_wide_as_the_sketch_domains(width):
    line = Image.new("RGBA", (320, 320))
    ImageDraw.Draw(line).line([(20, 160), (300, 160)], fill="black", width=width)
    column = np.asarray(as_sketch(line).convert("L"))[:, SIZE // 2]
    assert (column < 128).sum() == pytest.approx(STROKE * SIZE, abs=2)


def test_thick_strokes_stay():
    column = np.asarray(as_sketch(canvas(shape=(10, 10, 310, 310), width=30)).convert("L"))[:, SIZE // 2]
    assert (column[: SIZE // 2] < 128).sum() == pytest.approx(30 / 300 * SIZE * (1 - 2 * MARGIN), abs=3)


def test_a_drawing_is_one_image_of_the_domain_that_it_is_like():
    images = drawing_set(as_sketch(canvas()), "sketch")
    assert len(images) == 1 and images.domains.tolist() == ["sketch"] and images.image(0).size == (SIZE, SIZE)
    assert images.digests != drawing_set(as_sketch(canvas(width=30)), "sketch").digests
