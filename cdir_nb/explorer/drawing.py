"""A drawing made with the mouse, turned into a picture such as the sketch domains hold."""

import hashlib

import numpy as np
from PIL import Image, ImageOps
from scipy.ndimage import distance_transform_edt

from cdir_nb.data import ImageSet
from cdir_nb.errors import CdirError

INK = 200  # a grey value below this is ink
SIDE = 256  # pixels of the picture; the encoder's preprocessing makes it smaller
MARGIN = 0.08  # of the side, on every side
STROKE = 0.025  # of the side: between the world's pencil strokes (0.8 to 1.6 %) and its felt pens (1.8 to 2.9 %)
EMPTY = "the canvas is empty: draw something, or load an image file"


def as_sketch(canvas: Image.Image) -> Image.Image:
    """(SIDE, SIDE) black on white: the ink, centred in a square with a margin, strokes at least STROKE wide.

    Where a hand draws on the canvas and how large must not matter, and a thin line of a large canvas would vanish when
    the encoder makes the picture small. Raises CdirError if there is no ink.
    """
    ink = _ink(canvas)
    if not ink.any():
        raise CdirError(EMPTY)
    ys, xs = np.nonzero(ink)
    cropped = Image.fromarray(ink[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].astype(np.uint8) * 255)
    inner = round(SIDE * (1 - 2 * MARGIN))
    drawn = ImageOps.contain(cropped, (inner, inner), Image.Resampling.BILINEAR)
    square = Image.new("L", (SIDE, SIDE), 0)
    square.paste(drawn, ((SIDE - drawn.width) // 2, (SIDE - drawn.height) // 2))
    return Image.fromarray(255 - _thick(np.asarray(square) > 96)).convert("RGB")


def drawing_set(picture: Image.Image, domain: str) -> ImageSet:
    """An ImageSet of one unlabelled picture, which a method treats as an image of `domain`."""
    digest = hashlib.blake2b(picture.tobytes(), digest_size=16).hexdigest()
    return ImageSet(("drawing",), np.array([domain]), np.array([""]), lambda key: picture.convert("RGB"), (digest,))


def _ink(canvas: Image.Image) -> np.ndarray:
    """(H, W) bool; what is transparent is paper."""
    canvas = canvas.convert("RGBA")
    paper = Image.new("RGBA", canvas.size, "white")
    return np.asarray(Image.alpha_composite(paper, canvas).convert("L")) < INK


def _thick(ink: np.ndarray) -> np.ndarray:
    """(H, W) uint8, 255 on ink: thin lines widened to STROKE, with soft edges.

    Across a line of w pixels the distance to the nearest pixel of paper is (w + 2) / 4 on average.
    """
    width = 4 * distance_transform_edt(ink)[ink].mean() - 2
    grow = max(0.0, STROKE * SIDE - width) / 2
    outside = distance_transform_edt(~ink)
    return np.round(255 * np.clip(grow + 1 - outside, 0, 1)).astype(np.uint8)
