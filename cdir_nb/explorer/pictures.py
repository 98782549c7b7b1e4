"""Answers as pictures: tiles for the browser, and static figures for pages where nothing moves."""

import base64
import io
from collections.abc import Callable
from functools import lru_cache

from matplotlib.figure import Figure
from PIL import Image

from cdir_nb.data import ImageSet, combine
from cdir_nb.explorer.ask import Answer
from cdir_nb.show import picture_row
from cdir_nb.show.grids import MARK
from cdir_nb.show.style import pretty, shorten

SIDE = 96  # pixels of the longer side of a tile; its shape is kept
TILES_IN_MEMORY = 4096
Tile = dict[str, str]


def data_url(picture: Image.Image) -> str:
    """A picture as a data URL, whole and in its own shape, the longer side SIDE pixels."""
    picture = picture.convert("RGB")
    scale = SIDE / max(picture.size)
    size = tuple(max(1, round(scale * length)) for length in picture.size)
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def tile_maker(images: ImageSet) -> Callable[[int], str]:
    """Row -> data URL; the last few thousand are remembered."""
    return lru_cache(TILES_IN_MEMORY)(lambda row: data_url(images.image(row)))


def result_tiles(answer: Answer, images: ImageSet, url_of: Callable[[int], str]) -> list[Tile]:
    """One tile for each result: rank, score and class, and whether it is right."""
    tiles = []
    for place, (row, score) in enumerate(zip(answer.rows.tolist(), answer.scores.tolist())):
        name = pretty(images.labels[row]) or images.keys[row].rpartition("/")[2]
        kind, mark = _judged(answer, place)
        alt = f"rank {place + 1}: {name}, {pretty(images.domains[row])}, score {score:.2f}" + (
            f", {kind}" if mark else ""
        )
        note = f"{mark} {score:.2f}\n{shorten(name, 24)}".strip()
        tiles.append({"key": images.keys[row], "src": url_of(row), "alt": alt, "note": note, "kind": kind})
    return tiles


def query_tiles(rows: list[int], chosen: str, images: ImageSet, url_of: Callable[[int], str]) -> list[Tile]:
    """One tile for each query to choose from; the chosen one has a dark frame."""
    return [
        {
            "key": images.keys[row],
            "src": url_of(row),
            "alt": f"query {images.keys[row]}" + (", chosen" if images.keys[row] == chosen else ""),
            "note": shorten(images.labels[row] or images.keys[row].rpartition("/")[2], 24),
            "kind": "chosen" if images.keys[row] == chosen else "plain",
        }
        for row in rows
    ]


def answer_figure(answer: Answer, images: ImageSet, query: ImageSet | None, query_note: str) -> Figure:
    """The same as a static figure: the query (a set of one picture, if there is one), then the results."""
    results = images.take(answer.rows)
    shown = combine(query, results) if query is not None else results
    notes = [f"{_judged(answer, place)[1]} {score:.2f}\n{shorten(label, 11)}".strip()
             for place, (score, label) in enumerate(zip(answer.scores, results.labels))]  # fmt: skip
    marks = list(answer.right) if answer.right is not None else [None] * len(notes)
    if query is not None:
        notes, marks = [query_note, *notes], [None, *marks]
    return picture_row(shown, range(len(shown)), notes, marks=marks, title=answer.title)


def in_words(answer: Answer, temperature: float) -> str:
    """An answer in numbers: precision of this query beside the average, and how widely the temperature spreads."""
    k, lines = len(answer.rows), []
    if answer.precision is not None:
        hits = round(answer.precision * k)
        lines.append(f"This query: {hits} of {k} right ({100 * answer.precision:.0f} %).")
        lines.append(f"Mean of {answer.n_queries:,} queries: {100 * answer.average:.1f} % (P@{k}, hits_over_k).")
    else:
        lines.append("No labels here: the results are ranked, and not judged.")
    share = answer.effective(temperature)
    lines.append(
        f"Temperature {temperature:g}: the weight lies on about {share:,.0f} of {len(answer.scored):,} images."
    )
    return " ".join(lines)


def _judged(answer: Answer, place: int) -> tuple[str, str]:
    """("right" or "wrong" or "plain", its mark)."""
    if answer.right is None:
        return "plain", ""
    right = bool(answer.right[place])
    return ("right" if right else "wrong"), MARK[right]
