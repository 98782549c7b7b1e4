"""Vector drawings of the 40 classes: read from classes.yaml, posed and varied by a seed. `domains` adds the colours."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import yaml

CANVAS = 192  # drawn at three times the final size, then averaged down: Pillow's own lines have no antialiasing
FILLED = {"poly", "blob", "oval"}
CORNERED = {"poly", "line", "loop"}  # straight from point to point; the other kinds are smoothed


@dataclass(frozen=True)
class Part:
    """One shape of a drawing. Its `points` (n, 2) are in canvas pixels; filled shapes and rings are closed."""

    name: str
    role: str  # A main, B second, C third, D dark, L light
    kind: str  # poly blob oval line arc ring loop
    width: float
    points: np.ndarray
    detail: bool
    optional: bool

    @property
    def filled(self) -> bool:
        """Whether it is an area, not a line."""
        return self.kind in FILLED

    @property
    def closed(self) -> bool:
        """Whether its outline ends where it begins."""
        return self.filled or self.kind in {"ring", "loop"}


def smooth(points: np.ndarray, closed: bool, steps: int = 5) -> np.ndarray:
    """Catmull-Rom curve through the points: (n, 2) -> (about n * steps, 2)."""
    ends = [points[-1:], points, points[:2]] if closed else [points[:1], points, points[-1:]]
    p = np.concatenate(ends)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    p0, p1, p2, p3 = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    curve = curve.transpose(1, 0, 2).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def _ellipse(centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    return centre + radii * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _read_part(name: str, text: str) -> list[Part]:
    words = text.split()
    role, kind, *options = words
    numbers = np.array([[float(x) for x in w.split(",")] for w in options if "," in w])
    widths = [float(w[1:]) for w in options if w[0] == "w"]
    points = _ellipse(*numbers) if kind in {"oval", "ring"} else numbers
    part = Part(name.rstrip("*?"), role, kind, widths[0] if widths else 4.0, points, "*" in name, "?" in name)
    mirrored = replace(part, points=points * [-1, 1] + [100, 0])
    return [part, mirrored] if "mirror" in options else [part]


@cache
def drawings() -> dict[str, tuple[float, dict[str, list[Part]]]]:
    """{class: (largest rotation in degrees, {variant: its parts in a box of 100 x 100})}."""
    text = yaml.safe_load(Path(__file__).with_name("classes.yaml").read_text(encoding="utf-8"))
    return {label: _read_class(entry) for label, entry in text.items()}


def _read_class(entry: dict) -> tuple[float, dict[str, list[Part]]]:
    variants = {name: parts for name, parts in entry.items() if isinstance(parts, dict)}
    read = {name: [p for key, text in parts.items() for p in _read_part(key, text)] for name, parts in variants.items()}
    return float(entry.get("turn", 12)), read


def _warp(points: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Bend the plane by two slow waves: proportions change, connected parts stay connected."""
    for _ in range(2):
        direction, shift = rng.uniform(0, 2 * np.pi, 2)
        wave = np.array([np.cos(direction), np.sin(direction)]) * rng.uniform(0.02, 0.05)
        amplitude = rng.normal(0, strength, 2)
        points = points + np.sin(points @ wave * 2 * np.pi / 2 + shift)[:, None] * amplitude
    return points


def _turn_and_scale(points: np.ndarray, turn: float, rng: np.random.Generator) -> np.ndarray:
    angle = np.deg2rad(rng.uniform(-turn, turn))
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1, rng.normal(0, 0.08)], [0, 1]])
    flip = np.array([rng.choice([-1, 1]), 1])
    aspect = np.exp(rng.normal(0, 0.12))
    return ((points - 50) * flip * [aspect, 1 / aspect]) @ shear @ rotate


def _jitter(parts: list[Part], rng: np.random.Generator) -> np.ndarray:
    """(n, 2) noise for all control points: less on small parts, so that eyes and wheels stay round."""
    sizes = [min(0.7, 0.025 * np.ptp(p.points, axis=0).max()) for p in parts]
    spread = np.repeat(sizes, [len(p.points) for p in parts])
    return rng.normal(0, 1, (len(spread), 2)) * spread[:, None]


def pose(label: str, rng: np.random.Generator, *, fill: tuple[float, float] = (0.62, 0.95)) -> list[Part]:
    """A random drawing of a class: variant, proportions, rotation, size and position, in canvas pixels.

    fill  (least, largest) fraction of the canvas that the longer side covers
    """
    turn, variants = drawings()[label]
    parts = variants[rng.choice(sorted(variants))]
    parts = [p for p in parts if not p.optional or rng.random() < 0.6]
    sizes = np.cumsum([len(p.points) for p in parts])[:-1]
    points = _warp(np.concatenate([p.points for p in parts]), rng, strength=2.5)
    points = _turn_and_scale(points + _jitter(parts, rng), turn, rng)
    low, high = points.min(axis=0), points.max(axis=0)
    size = CANVAS * rng.uniform(*fill)
    scale = size / (high - low).max()
    margins = CANVAS - (high - low) * scale
    corner = margins * rng.uniform(0.25, 0.75, 2)
    points = (points - low) * scale + corner
    return [replace(p, points=q, width=p.width * scale) for p, q in zip(parts, np.split(points, sizes))]


def outline(part: Part) -> np.ndarray:
    """(m, 2) points along the drawn outline of the part, smoothed or closed according to its kind."""
    points = part.points if part.kind in CORNERED else smooth(part.points, part.closed)
    return np.concatenate([points, points[:1]]) if part.closed else points
