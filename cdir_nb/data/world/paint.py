"""Functions shared by the renderers of the drawn world: random colours, lines, flat and lit parts, smooth noise."""

import colorsys

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from cdir_nb.data.world.drawing import CANVAS, Part, outline

SIZE = 64
Colour = tuple[int, int, int]
Rng = np.random.Generator


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """The colour of a hue (1 is a full turn), saturation and value, the last two clipped to 0..1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, np.clip(saturation, 0, 1), np.clip(value, 0, 1))
    return int(255 * red), int(255 * green), int(255 * blue)


def random_palette(rng: Rng, saturation: tuple[float, float], value: tuple[float, float]) -> dict[str, Colour]:
    """A random colour for each role; D is always dark and L is always light."""
    hues = rng.random() + np.array([0, rng.uniform(-0.15, 0.15), rng.uniform(0.2, 0.8)])
    roles = {r: hsv(h, rng.uniform(*saturation), rng.uniform(*value)) for r, h in zip("ABC", hues)}
    dark = hsv(rng.random(), rng.uniform(0, 0.4), rng.uniform(0.08, 0.25))
    light = hsv(rng.random(), rng.uniform(0, 0.25), rng.uniform(0.88, 1))
    return roles | {"D": dark, "L": light}


def mix(left: Colour, right: Colour, fraction: float) -> Colour:
    """The colour at a fraction of the way from left to right."""
    red, green, blue = (int(a * (1 - fraction) + b * fraction) for a, b in zip(left, right))
    return red, green, blue


def xy(points: np.ndarray) -> list[float]:
    """Convert (n, 2) points to the list x, y, x, y, ... that Pillow expects."""
    return points.ravel().tolist()


def small(image: Image.Image) -> Image.Image:
    """An image of CANVAS pixels, averaged to SIZE pixels."""
    return image.reduce(CANVAS // SIZE)


def stroke(draw: ImageDraw.ImageDraw, points: np.ndarray, colour: Colour, width: float) -> None:
    """Draw a line through points (n, 2), at least one pixel wide."""
    draw.line(xy(points), fill=colour, width=max(1, round(width)), joint="curve")


def cloud(rng: Rng, cells: int, low: float, high: float) -> np.ndarray:
    """(SIZE, SIZE) smooth random field between low and high."""
    coarse = Image.fromarray(rng.uniform(low, high, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def finish(pixels: np.ndarray) -> Image.Image:
    """(H, W, 3) numbers, clipped to 0..255, as an image."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def colour_parts(draw: ImageDraw.ImageDraw, parts: list[Part], palette: dict[str, Colour]) -> None:
    """Draw the parts in order: areas filled, lines stroked, each in the colour of its role."""
    for part in parts:
        if part.filled:
            draw.polygon(xy(outline(part)), fill=palette[part.role])
        else:
            stroke(draw, outline(part), palette[part.role], part.width)


def lit_parts(image: Image.Image, parts: list[Part], palette: dict[str, Colour], light: np.ndarray) -> None:
    """Draw each filled part in three layers: in shade, lit (shrunk towards the light), and a bright spot."""
    draw = ImageDraw.Draw(image)
    for part in parts:
        points, colour = outline(part), palette[part.role]
        if not part.filled:
            stroke(draw, points, colour, part.width)
            continue
        middle, extent = points.mean(axis=0), np.ptp(points, axis=0).min()
        draw.polygon(xy(points), fill=mix(colour, (0, 0, 0), 0.42))
        lit = middle + (points - middle) * 0.88 + light * extent * 0.06
        spot = middle + (points - middle) * 0.5 + light * extent * 0.16
        _fill_within(image, points, {colour: lit, mix(colour, (255, 255, 255), 0.16): spot})


def _fill_within(image: Image.Image, points: np.ndarray, fills: dict[Colour, np.ndarray]) -> None:
    """Draw coloured polygons, clipped to a closed outline: the polygons of a crescent lie partly outside of it."""
    corner = np.floor(points.min(axis=0)).astype(int)
    size = tuple((np.ceil(points.max(axis=0)).astype(int) - corner + 1).tolist())
    inside = Image.new("1", size)
    ImageDraw.Draw(inside).polygon(xy(points - corner), fill=1)
    for colour, polygon in fills.items():
        mask = Image.new("1", size)
        ImageDraw.Draw(mask).polygon(xy(polygon - corner), fill=1)
        image.paste(colour, tuple(corner.tolist()), ImageChops.logical_and(mask, inside))
