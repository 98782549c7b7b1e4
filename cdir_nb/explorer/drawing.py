"""A drawing made with the mouse, as an image similar to those of the sketch domain."""

import numpy as np
from PIL import Image, ImageOps
from scipy.ndimage import distance_transform_edt

from cdir_nb.data import ImageSet
from cdir_nb.data.pictures import digest_of
from cdir_nb.errors import CdirError

INK = 200  # darker grey values are ink
SIZE = 256  # pixels of the image; the encoder's preprocessing makes it smaller
MARGIN = 0.08  # fraction of SIZE at each border
STROKE = 0.025  # fraction of SIZE: between the world's pencil strokes (0.8 to 1.6 %) and felt pens (1.8 to 2.9 %)
EMPTY = "the canvas is empty: draw something, or load an image file"


def as_sketch(canvas: Image.Image) -> Image.Image:
    """A SIZE x SIZE image, black on white: the drawing centred with a margin, its strokes at least STROKE pixels wide.

    The result does not depend on the position and size of the drawing, and thin lines survive downsampling. Raises
    CdirError if the canvas is empty.
    """
    canvas = canvas.convert("RGBA")
    paper = Image.new("RGBA", canvas.size, "white")  # below what is transparent
    ink = np.asarray(Image.alpha_composite(paper, canvas).convert("L")) < INK
    if not ink.any():
        raise CdirError(EMPTY)
    ys, xs = np.nonzero(ink)
    cropped = Image.fromarray(ink[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].astype(np.uint8) * 255)
    inner = round(SIZE * (1 - 2 * MARGIN))
    drawing = ImageOps.contain(cropped, (inner, inner), Image.Resampling.BILINEAR)
    square = Image.new("L", (SIZE, SIZE), 0)
    square.paste(drawing, ((SIZE - drawing.width) // 2, (SIZE - drawing.height) // 2))
    return Image.fromarray(255 - _thickened(np.asarray(square) > 96)).convert("RGB")


def drawing_set(image: Image.Image, domain: str, digest: str = "") -> ImageSet:
    """An ImageSet of one unlabelled image, which a method treats as an image of `domain`.

    digest  digest of the file's bytes, if the image comes from a file
    """
    digest = digest or digest_of(image.tobytes())
    return ImageSet(("drawing",), np.array([domain]), np.array([""]), lambda key: image.convert("RGB"), (digest,))


def _thickened(ink: np.ndarray) -> np.ndarray:
    """(H, W) uint8, 255 on ink: thin lines widened to STROKE pixels, with soft edges.

    Across a line of w pixels, the distance to the nearest pixel of the background is (w + 2) / 4 on average.
    """
    width = 4 * np.asarray(distance_transform_edt(ink))[ink].mean() - 2
    grow = max(0.0, STROKE * SIZE - width) / 2
    outside = np.asarray(distance_transform_edt(~ink))
    return np.round(255 * np.clip(grow + 1 - outside, 0, 1)).astype(np.uint8)
