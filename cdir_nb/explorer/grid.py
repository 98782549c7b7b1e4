"""Grids of images: as a widget of tiles that can be clicked, and as a static figure."""

import html
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import anywidget
import traitlets
from matplotlib.figure import Figure

from cdir_nb.data import ImageSet, combine
from cdir_nb.explorer.ask import Answer, Explanation
from cdir_nb.explorer.collection import Collection
from cdir_nb.search.sheet import data_url
from cdir_nb.show import labelled_images
from cdir_nb.show.grids import MARK
from cdir_nb.show.style import pretty, shorten

FOLDER = Path(__file__).parent
TILES_IN_MEMORY = 4096
Tile = dict[str, str]
NOT_JUDGED = "Images here have no label: the results are ranked, and not judged."


class Grid(anywidget.AnyWidget):
    """A grid of images that can be clicked, or chosen with Tab and Enter.

    items    one `Tile` per image: key, src (a data URL), alt, note (lines below it), kind (right, wrong, chosen, plain)
    label    the content of the grid, for screen readers
    clicked  {"key": key of the image clicked last, "times": number of clicks so far}
    """

    _esm = FOLDER / "grid.js"
    _css = FOLDER / "grid.css"
    items = traitlets.List([]).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    clicked = traitlets.Dict({}).tag(sync=True)


def tile_maker(images: ImageSet) -> Callable[[int], str]:
    """Return a function from a row to the data URL of its image; results are cached in memory."""
    return lru_cache(TILES_IN_MEMORY)(lambda row: data_url(images.image(row)))


def result_tiles(answer: Answer, collection: Collection, url_of: Callable[[int], str]) -> list[Tile]:
    """One tile per result: rank, score, class, whether it is right, and whether the folder has copies of it."""
    tiles, images = [], collection.images
    for i, (row, score) in enumerate(zip(answer.rows.tolist(), answer.scores.tolist())):
        name, domain = pretty(str(images.labels[row])), pretty(str(images.domains[row]))
        name = name or _file_name(images, row)
        kind, mark = _relevance(answer, i)
        copy = ["copy"] if collection.is_copied(row) else []
        alt = f"rank {i + 1}: {', '.join([name, domain, f'score {score:.2f}', *copy, *([kind] if mark else [])])}"
        note = "\n".join([f"{mark} {score:.2f}".strip(), shorten(name, 24), *copy])
        tiles.append({"key": images.keys[row], "src": url_of(row), "alt": alt, "note": note, "kind": kind})
    return tiles


def query_tiles(rows: list[int], chosen: str, collection: Collection, url_of: Callable[[int], str]) -> list[Tile]:
    """One tile per query; the one with the key `chosen` has a dark frame."""
    tiles, images = [], collection.images
    for row in rows:
        key, name = images.keys[row], shorten(images.labels[row] or _file_name(images, row), 24)
        copy, kind = ["copy"] if collection.is_copied(row) else [], "chosen" if key == chosen else "plain"
        alt = ", ".join([f"query {key}", *copy, *(["chosen"] if key == chosen else [])])
        tiles.append({"key": key, "src": url_of(row), "alt": alt, "note": "\n".join([name, *copy]), "kind": kind})
    return tiles


def answer_figure(answer: Answer, images: ImageSet, query: ImageSet | None = None, query_note: str = "") -> Figure:
    """The results as a static figure, after the query (a set of one image) if there is one."""
    shown = images.take(answer.rows)
    notes = [
        f"{_relevance(answer, i)[1]} {score:.2f}\n{shorten(label, 11)}".strip()
        for i, (score, label) in enumerate(zip(answer.scores, shown.labels))
    ]
    marks = [None] * len(notes) if answer.right is None else list(answer.right)
    if query is not None:
        shown, notes, marks = combine(query, shown), [query_note, *notes], [None, *marks]
    return labelled_images(shown, range(len(shown)), notes, marks=marks, title=answer.title)


def answer_text(answer: Answer, temperature: float) -> str:
    """A line with the precision of this query, the average precision@k, and the effect of the temperature."""
    k = len(answer.rows)
    if answer.precision is None or answer.average is None:
        precision = NOT_JUDGED
    else:
        precision = (
            f"This query: {round(answer.precision * k)} of {k} right ({100 * answer.precision:.0f} %). "
            f"Mean of {answer.n_queries:,} queries: {100 * answer.average:.1f} % (P@{k}, hits_over_k)."
        )
    spread = f"the weight lies on about {answer.effective(temperature):,.0f} of {len(answer.scored):,} images."
    return " ".join([precision, f"Temperature {temperature:g}: {spread}", *answer.remarks])


def explanation_text(found: Explanation, name: str, k: int) -> str:
    """HTML: where the rank of a result comes from, as formulas with their numbers. name: of the result, plain text."""
    subject = f"<b>Rank {found.rank}: {html.escape(name)}.</b>"
    popular = (
        f"Among the first {k} results of <b>{found.found_by}</b> of {found.n_queries:,} queries "
        f"(an average image: {found.average_found:.0f})"
    )
    if found.popularity is None or found.centred is None:
        return "<br>".join([f"{subject} Score, minus the distance of both vectors: {found.score:.3f}", popular])
    score, rank = found.centred
    vectors = "(x<sub>q</sub> · x<sub>g</sub>) / (|x<sub>q</sub>| |x<sub>g</sub>|)"
    lines = "<br>".join([
        f"{subject} Score = {vectors} = <b>{found.score:.3f}</b>, the cosine of query and result",
        f"Popularity = mean cosine with all queries = <b>{found.popularity:.3f}</b>. {popular}",
        f"After centring (each domain minus its mean): cosine <b>{score:.3f}</b>, "
        f"rank <b>{found.rank} → {rank}</b>",
    ])  # fmt: skip
    return f'<div style="line-height: 1.5">{lines}</div>'


def _file_name(images: ImageSet, row: int) -> str:
    return images.keys[row].rpartition("/")[2]


def _relevance(answer: Answer, i: int) -> tuple[str, str]:
    """("right", "wrong" or "plain", its mark) of result i."""
    if answer.right is None:
        return "plain", ""
    right = bool(answer.right[i])
    return ("right" if right else "wrong"), MARK[right]
