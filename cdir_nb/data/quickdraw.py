"""QuickDraw's vector drawings: <root>/<class>.ndjson, one JSON object per line, drawn with Pillow.

The format is that of QuickDraw's "simplified" files: `drawing` is a list of strokes, and a stroke is two lists (x and
y, in 0..255; a third list, of times, is ignored). All lines stay in memory as bytes, which suits thousands of
drawings, but not all of QuickDraw's fifty million.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from cdir_nb.data.folder import in_threads, refuse_or_log, visible
from cdir_nb.data.images import ImageSet
from cdir_nb.data.names import name_key
from cdir_nb.data.pictures import digest_of, read_file
from cdir_nb.errors import CdirError, printable

SIZE, WIDTH, MARGIN = 256, 4.0, 10.0  # image size, line width and margin in pixels (our default)
SUPERSAMPLING = 4
MAX_LINE, MAX_COORDINATE = 1_000_000, 1_000_000  # bytes of a line; raw files have coordinates in screen pixels
DRAWN_BY = b"strokes-1"  # part of each digest: increase it when the drawing code changes the images

Strokes = list[tuple[np.ndarray, np.ndarray]]


def parse_strokes(line: bytes) -> Strokes:
    """Parse one line of a file into strokes, each a pair x (n,), y (n,). Raises ValueError if the line is malformed."""
    return _strokes(_record(line))


def _record(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise ValueError(f"{len(line):,} bytes, at most {MAX_LINE:,} are read")
    try:
        record = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("no drawing")
    return record


def _strokes(record: dict[str, Any]) -> Strokes:
    drawing = record.get("drawing")
    if not isinstance(drawing, list) or not drawing:
        raise ValueError("no drawing")
    if not all(isinstance(stroke, list) and len(stroke) > 1 for stroke in drawing):
        raise ValueError("a stroke has no x or no y")
    strokes = [(np.asarray(stroke[0]), np.asarray(stroke[1])) for stroke in drawing]
    if any(x.ndim != 1 or x.shape != y.shape or not len(x) for x, y in strokes):
        raise ValueError("a stroke's x and y differ in length or are empty")
    if not all(_are_coordinates(values) for stroke in strokes for values in stroke):
        raise ValueError(f"a coordinate is not a number between {-MAX_COORDINATE:,} and {MAX_COORDINATE:,}")
    return [(x.astype(float), y.astype(float)) for x, y in strokes]


def _are_coordinates(values: np.ndarray) -> bool:
    is_number = values.dtype.kind in "iuf"
    return is_number and bool((np.abs(values.astype(float)) <= MAX_COORDINATE).all())  # NaN fails this too


def draw_strokes(strokes: Strokes, size: int = SIZE) -> Image.Image:
    """Draw black strokes on white, centred and scaled to fill a size x size RGB image."""
    scale = size / SIZE * SUPERSAMPLING
    low = np.min([(x.min(), y.min()) for x, y in strokes], axis=0)
    high = np.max([(x.max(), y.max()) for x, y in strokes], axis=0)
    zoom = (SIZE - 2 * MARGIN) / max(*(high - low), 1.0) * scale
    offset = SIZE * scale / 2 - (low + high) / 2 * zoom
    large = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING), 255)
    pen = ImageDraw.Draw(large)
    radius = WIDTH * scale / 2
    for x, y in strokes:
        points = list(zip(x * zoom + offset[0], y * zoom + offset[1]))
        pen.line(points, fill=0, width=round(2 * radius), joint="curve")
        for px, py in (points[0], points[-1]):  # round ends, and a dot where the stroke is a point
            pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=0)
    return large.reduce(SUPERSAMPLING).convert("RGB")


def _load(lines: dict[str, bytes], key: str) -> Image.Image:
    """The image of a key, drawn each time (about 2 ms)."""
    return draw_strokes(parse_strokes(lines[key]))


@dataclass(frozen=True)
class DrawingFile:
    """The file of one class: its drawings (name -> line), in order, and its invalid lines (line number and problem)."""

    drawings: dict[str, bytes]
    bad: list[str]


def read_drawings(path: Path) -> DrawingFile:
    """Read <class>.ndjson. The name of a drawing is its key_id, or its line number if it has none."""
    drawings: dict[str, bytes] = {}
    bad: list[str] = []
    try:
        data = read_file(path)
    except OSError as error:
        return DrawingFile({}, [f"{path.name} (unreadable: {error.strerror})"])
    if not data.strip():
        return DrawingFile({}, [f"{path.name} (zero bytes)"])
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            record = _record(line)
            _strokes(record)
            name = printable(str(record.get("key_id", f"line{number}")))
            if name in drawings:
                raise ValueError(f"key_id {name[:40]} appears twice")
            drawings[name] = line
        except ValueError as error:
            bad.append(f"{path.name} line {number} (unreadable: {' '.join(str(error).split())})")
    return DrawingFile(drawings, bad)


def class_files(root: Path, classes: Sequence[str]) -> dict[str, Path]:
    """{class: file}. A file whose name is another spelling of a class belongs to it: sea_turtle to "sea turtle".

    Raises CdirError if there is no file.
    """
    labels = {name_key(label): label for label in classes}
    files = {labels.get(name_key(path.stem), path.stem): path for path in visible(root) if path.suffix == ".ndjson"}
    if not files:
        raise CdirError(f"{root} has no .ndjson files; expected {root}/<class>.ndjson")
    return files


def open_drawings(
    root: Path,
    domain: str,
    classes: Sequence[str],
    *,
    skip_bad: bool = False,
    skip_unknown: bool = False,
    progress: bool = True,
) -> ImageSet:
    """The drawings of <root>/<class>.ndjson as images "domain/class/key_id"; options as in `open_dataset`."""
    files = class_files(root, classes)
    unknown = [path.name for label, path in files.items() if label not in set(classes)]
    refuse_or_log(root, unknown, "file", "not in the card", "skip_unknown", skip_unknown)
    present = [label for label in classes if label in files]
    read = in_threads(lambda label: read_drawings(files[label]), present, "reading drawings", progress)
    bad = [problem for file in read for problem in file.bad]
    refuse_or_log(root, bad, "drawing", "bad", "skip_bad", skip_bad)
    lines = {
        f"{domain}/{label}/{name}": line for label, file in zip(present, read) for name, line in file.drawings.items()
    }
    if not lines:
        raise CdirError(f"{root} has no drawings; expected one JSON object per line in {root}/<class>.ndjson")
    labels = np.array([key.split("/")[1] for key in lines], dtype=str)
    digests = tuple(digest_of(DRAWN_BY + line) for line in lines.values())
    return ImageSet(tuple(lines), np.full(len(lines), domain), labels, partial(_load, lines), digests)
