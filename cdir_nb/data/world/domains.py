"""The six domains of the drawn world: each renders a posed drawing as a 64 x 64 image in its own style.

Styles vary inside a domain and overlap between domains, as they do in DomainNet: some photos are cut-outs on white,
some clipart is line art, some sketches are shaded, some infographs show one flat icon.
Colours are independent of the class.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from cdir_nb.data.world.drawing import CANVAS, CORNERED, Part, outline, pose
from cdir_nb.data.world.paint import (
    SIZE,
    Colour,
    Rng,
    cloud,
    colour_parts,
    finish,
    hsv,
    lit_parts,
    mix,
    random_palette,
    small,
    stroke,
    xy,
)

# -- real: light, shadow, texture, a background ------------------------------------------------------------------------


def _scene(rng: Rng) -> Image.Image:
    """The background of a photo: studio white, a wall, or ground and sky with clutter."""
    style = rng.choice(["white", "wall", "outdoors", "outdoors"])
    if style == "white":
        return Image.new("RGB", (CANVAS, CANVAS), hsv(0, 0, rng.uniform(0.92, 1)))
    image = Image.new("RGB", (CANVAS, CANVAS), hsv(rng.random(), rng.uniform(0, 0.5), rng.uniform(0.3, 0.9)))
    draw = ImageDraw.Draw(image)
    if style == "outdoors":
        horizon = CANVAS * rng.uniform(0.4, 0.8)
        draw.rectangle(
            [0, horizon, CANVAS, CANVAS], fill=hsv(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.2, 0.7))
        )
        for _ in range(rng.integers(2, 7)):
            (x, y), (w, h) = rng.uniform(0, CANVAS, 2), rng.uniform(8, 50, 2)
            draw.ellipse(
                [x - w, y - h, x + w, y + h], fill=hsv(rng.random(), rng.uniform(0, 0.5), rng.uniform(0.2, 0.9))
            )
    return image.filter(ImageFilter.BoxBlur(rng.uniform(4, 10)))


def real(label: str, rng: Rng) -> Image.Image:
    """A photo: shaded volumes, a cast shadow, uneven light, grain; a third of them on white or a plain wall."""
    parts, image = pose(label, rng), _scene(rng)
    light = np.array([rng.uniform(-1, 1), -1.0])
    draw = ImageDraw.Draw(image)
    x, y = np.concatenate([p.points for p in parts]).T
    left, bottom, right = x.min(), y.max(), x.max()
    ground = image.getpixel((CANVAS // 2, CANVAS - 1))
    shade = mix(ground, (0, 0, 0), 0.45)  # pyright: ignore[reportArgumentType]  # of an RGB image
    draw.ellipse([left - 6 * light[0], bottom - 7, right - 6 * light[0], bottom + 7], fill=shade)
    lit_parts(image, parts, random_palette(rng, (0.1, 0.8), (0.3, 0.95)), light)
    pixels = np.asarray(small(image).filter(ImageFilter.BoxBlur(rng.uniform(0, 0.5))), dtype=np.float32)
    field = cloud(rng, 3, 0.75, 1.2) * cloud(rng, 24, 0.93, 1.07)
    return finish(pixels * field[..., None] + rng.normal(0, rng.uniform(2, 8), (SIZE, SIZE, 1)))


# -- painting: strokes of a brush that follow the picture's own colours ------------------------------------------------


def painting(label: str, rng: Rng) -> Image.Image:
    """A painting: muted palette, brush strokes over object and ground, canvas grain; some are loose, some exact."""
    parts, colours = pose(label, rng), random_palette(rng, (0.2, 0.7), (0.25, 0.9))
    grounds = [hsv(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.35, 0.95)) for _ in range(3)]
    ground = max(grounds, key=lambda g: np.abs(np.subtract(g, colours["A"])).sum())  # the one in contrast to the object
    image = Image.new("RGB", (CANVAS, CANVAS), ground)
    draw = ImageDraw.Draw(image)
    low = CANVAS * rng.uniform(0.5, 0.9)
    draw.rectangle([0, low, CANVAS, CANVAS], fill=mix(ground, (60, 40, 20), rng.uniform(0.1, 0.6)))
    bold = [p if p.filled else replace(p, width=1.4 * p.width) for p in parts]
    lit_parts(image, bold, colours, np.array([rng.uniform(-1, 1), -1.0]))
    _brush(image, rng, strokes=int(rng.integers(200, 500)), length=rng.uniform(5, 13), loose=rng.uniform(0, 0.5))
    image = small(_spread(image, rng, reach=int(rng.integers(1, 4))))
    grain = cloud(rng, 32, 0.88, 1.12)[..., None] * np.array([1.0, 0.98, rng.uniform(0.8, 1.0)])
    return finish(np.asarray(image, dtype=np.float32) * grain)


def _spread(image: Image.Image, rng: Rng, reach: int) -> Image.Image:
    """Each pixel takes the colour of a neighbour. (Pillow's own effect_spread cannot be seeded.)"""
    moves = rng.integers(-reach, reach + 1, (2, CANVAS, CANVAS), dtype=np.int16)
    rows, columns = np.clip(np.indices((CANVAS, CANVAS), dtype=np.int16) + moves, 0, CANVAS - 1)
    return Image.fromarray(np.asarray(image)[rows, columns])


def _brush(image: Image.Image, rng: Rng, strokes: int, length: float, loose: float) -> None:
    """Short strokes in the colours that they cover, along a slowly varying field of directions.

    A stroke across several colours is left out, so that thin parts remain visible, except for a fraction `loose`.
    """
    pixels, draw = np.asarray(image).astype(int), ImageDraw.Draw(image)
    spots = rng.integers(2, CANVAS - 2, (strokes, 2))
    angles = rng.uniform(0, np.pi) + np.sin(spots[:, 0] / 40 + rng.uniform(0, 6)) + rng.normal(0, 0.3, strokes)
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * length * rng.uniform(0.5, 1.3, (strokes, 1))
    under = pixels[spots[:, 1], spots[:, 0]]
    along = spots + np.linspace(-1, 1, 7)[:, None, None] * steps  # (7, strokes, 2)
    columns, rows = np.clip(along, 0, CANVAS - 1).astype(int).transpose(2, 0, 1)
    even = (np.abs(pixels[rows, columns] - under).sum(-1) < 90).all(axis=0) | (rng.random(strokes) < loose)
    colours = np.clip(under + rng.normal(0, 16, (strokes, 1)), 0, 255).astype(int)
    for (x, y), (dx, dy), colour in zip(spots[even].tolist(), steps[even].tolist(), colours[even].tolist()):
        draw.line([x - dx, y - dy, x + dx, y + dy], fill=tuple(colour), width=int(length * 0.5))


# -- clipart: flat colours, bold outlines; some line art ---------------------------------------------------------------


def clipart(label: str, rng: Rng) -> Image.Image:
    """Clip art: flat bright fills, evenly outlined or not, on white or one plain colour; a fifth is line art."""
    parts, palette = pose(label, rng), random_palette(rng, (0.55, 1), (0.6, 1))
    style = rng.choice(["outlined", "flat", "line art"], p=[0.55, 0.25, 0.2])
    paper = (255, 255, 255) if style == "line art" or rng.random() < 0.75 else hsv(rng.random(), 0.3, 0.95)
    image = Image.new("RGB", (CANVAS, CANVAS), paper)
    draw, ink, width = ImageDraw.Draw(image), (20, 20, 20), rng.uniform(3, 6)
    if style == "line art":
        palette = dict.fromkeys("ABCL", paper) | {"D": ink}
    for part in parts:
        points, inked = outline(part), style != "flat"
        if part.filled:
            draw.polygon(xy(points), fill=palette[part.role])
            if inked:
                stroke(draw, points, ink, width)
            continue
        hollow = part.closed and part.role != "D"  # rims get an outline on both sides, other lines are ink or colour
        if inked:
            stroke(draw, points, ink, part.width + 2 * width * hollow)
        if not inked or hollow or (style == "outlined" and part.role != "D"):
            stroke(draw, points, palette[part.role], part.width)
    return small(image)


# -- infograph: an icon among titles, bars and arrows ------------------------------------------------------------------


def infograph(label: str, rng: Rng) -> Image.Image:
    """An information graphic: a flat icon, small, once or in a row, among lines of text, bars, dots and frames."""
    palette = random_palette(rng, (0.35, 0.8), (0.45, 0.9))
    paper = hsv(rng.random(), rng.uniform(0, 0.35), rng.uniform(0.85, 1))
    image = Image.new("RGB", (CANVAS, CANVAS), paper)
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.3:
        main = palette["A"]
        palette = dict.fromkeys("ABC", main) | {"D": mix(main, (0, 0, 0), 0.5), "L": mix(paper, main, 0.25)}
    top = rng.uniform(0, 40)
    for _ in range(rng.integers(3, 6)):
        _furniture(draw, rng, palette[rng.choice(list("ABCD"))])
    copies = int(rng.choice([1, 1, 1, 2, 3]))
    size = min(rng.uniform(0.5, 0.78), 1.05 / copies)
    parts = pose(label, rng, fill=(size, size))
    left = rng.uniform(-0.12, 0.12) * CANVAS if copies == 1 else -CANVAS * 0.5 * (1 - 1 / copies)
    for copy in range(copies):
        shift = np.array([left + copy * CANVAS / copies, (top - 20) * 0.6])
        moved = [replace(p, points=p.points + shift) for p in parts]
        if copies == 1 and rng.random() < 0.6:
            everything = np.concatenate([p.points for p in moved])
            corners = [*(everything.min(axis=0) - 8).tolist(), *(everything.max(axis=0) + 8).tolist()]
            draw.ellipse(corners, fill=mix(paper, palette["C"], 0.35))
        colour_parts(draw, moved, palette)
    return small(image)


def _furniture(draw: ImageDraw.ImageDraw, rng: Rng, colour: Colour) -> None:
    """One decoration of an infographic, near an edge."""
    kind = rng.choice(["title", "text", "bars", "arrow", "dots", "frame"])
    x, y = (rng.uniform(4, 40) if rng.random() < 0.5 else rng.uniform(110, 140)), rng.uniform(4, 170)
    if kind == "title":
        y = rng.choice([4.0, 166.0])
        draw.rectangle([0, y, CANVAS, y + 20], fill=colour)
        draw.line([20, y + 10, rng.uniform(90, 170), y + 10], fill=(255, 255, 255), width=6)
    elif kind == "text":
        for line in range(rng.integers(2, 5)):
            draw.line([x, y + 9 * line, x + rng.uniform(20, 50), y + 9 * line], fill=colour, width=3)
    elif kind == "bars":
        for bar, height in enumerate(rng.uniform(8, 44, 4)):
            draw.rectangle([x + 11 * bar, CANVAS - 6 - height, x + 11 * bar + 7, CANVAS - 6], fill=colour)
    elif kind == "arrow":
        draw.line([x, y, x + 34, y], fill=colour, width=5)
        draw.polygon([(x + 34, y - 8), (x + 48, y), (x + 34, y + 8)], fill=colour)
    elif kind == "dots":
        for dot in range(4):
            draw.ellipse([x + 13 * dot, y, x + 13 * dot + 9, y + 9], fill=colour)
    else:
        draw.rectangle([3, 3, CANVAS - 4, CANVAS - 4], outline=colour, width=6)


# -- sketch: pencil on paper -------------------------------------------------------------------------------------------


def sketch(label: str, rng: Rng) -> Image.Image:
    """A pencil sketch: lines drawn one to three times, hatching in some parts; a third is shaded."""
    parts = pose(label, rng)
    paper = int(rng.uniform(225, 255))
    image = Image.new("L", (CANVAS, CANVAS), paper)
    pencil, width = int(rng.uniform(20, 110)), rng.uniform(1.5, 3)
    shaded = rng.random() < 0.35
    for part in parts:
        _pencil_part(image, part, rng, pencil, width, paper, shaded)
    pixels = np.asarray(small(image), dtype=np.float32) + rng.normal(0, rng.uniform(1, 5), (SIZE, SIZE))
    tint = np.array([1.0, rng.uniform(0.96, 1.0), rng.uniform(0.88, 1.0)])
    return finish(pixels[..., None] * tint)


def _pencil_part(image: Image.Image, part: Part, rng: Rng, pencil: int, width: float, paper: int, shaded: bool) -> None:
    draw, points = ImageDraw.Draw(image), outline(part)
    tone = {"A": 0.25, "B": 0.45, "C": 0.6, "D": 0.85, "L": 0.05}[part.role] * rng.uniform(0.6, 1.2)
    if part.filled:
        draw.polygon(xy(points), fill=int(paper - (paper - pencil) * tone * 0.8) if shaded else paper)
        if tone > 0.3 or rng.random() < 0.3:
            _hatch(image, points, rng, pencil)
    for _ in range(rng.integers(1, 4)):
        wobble = rng.normal(0, 1.2, 2) + rng.normal(0, 0.7, points.shape)
        heavy = width if part.filled or part.closed else max(width, part.width * 0.6)
        draw.line(xy(points + wobble), fill=int(pencil + rng.uniform(0, 50)), width=round(heavy), joint="curve")


def _hatch(image: Image.Image, points: np.ndarray, rng: Rng, pencil: int) -> None:
    """Parallel strokes inside a closed outline."""
    low, high = points.min(0), points.max(0)
    if (high - low).min() < 9:
        return
    lines, inside = Image.new("L", image.size, 255), Image.new("L", image.size, 0)
    ImageDraw.Draw(inside).polygon(xy(points), fill=255)
    draw, slope = ImageDraw.Draw(lines), rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
    for x in np.arange(low[0] - 60, high[0] + 60, rng.uniform(5, 9)):
        draw.line([x, low[1], x + slope * (high[1] - low[1]), high[1]], fill=pencil + 50, width=1)
    image.paste(ImageChops.darker(image, lines), (0, 0), inside)


# -- quickdraw: a few seconds with a mouse -----------------------------------------------------------------------------


def quickdraw(label: str, rng: Rng) -> Image.Image:
    """A quick drawing: black strokes on white, few and wobbly points, no details, some small parts missing, gaps."""
    parts = [p for p in pose(label, rng, fill=(0.85, 0.97)) if not p.detail]
    lengths = [np.ptp(p.points, axis=0).max() for p in parts]
    parts = [p for p, length in zip(parts, lengths) if length > max(lengths) / 3 or rng.random() > 0.15]
    image = Image.new("RGB", (CANVAS, CANVAS), (255, 255, 255))
    draw, width = ImageDraw.Draw(image), rng.uniform(3.5, 5.5)
    for part in parts:
        points = outline(part)
        if part.closed and rng.random() < 0.4:
            points = _left_open(points, rng)
        every = 1 if part.kind in CORNERED else int(rng.integers(2, 4))
        points = np.concatenate([points[:-1:every], points[-1:]])
        wobble = rng.normal(0, 3.5, 2) + rng.normal(0, rng.uniform(1.0, 3.2), points.shape)
        stroke(draw, points + wobble, (0, 0, 0), width)
    return small(image)


def _left_open(points: np.ndarray, rng: Rng) -> np.ndarray:
    """Open a closed outline: remove up to an eighth of its points at the end, and up to half of its last edge."""
    points = points[: len(points) - int(rng.integers(0, max(1, len(points) // 8)))].copy()
    points[-1] += rng.uniform(0, 0.5) * (points[-2] - points[-1])
    return points


DOMAINS: dict[str, Callable[[str, Rng], Image.Image]] = {
    "real": real,
    "painting": painting,
    "clipart": clipart,
    "infograph": infograph,
    "sketch": sketch,
    "quickdraw": quickdraw,
}
