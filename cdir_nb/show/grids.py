"""Grids of images: contact sheets, ranked grids (a query and its results), labels of single images.

Below a grid stands the credit that the images' licences ask for, if any (`data.credit_line`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps

from cdir_nb.data.images import ImageSet
from cdir_nb.show.style import DPI, PALETTE, RIGHT, SMALL, WIDTH, WRONG, credited, pretty, shorten, styled, titled

MARK = {True: "✓", False: "✗"}
GAP = 1.3  # in tiles, from the left edge of the query to that of its first result
TILE = 0.8  # inches: wide enough for a class name below it
PITCH = 1.42  # in tiles, from row to row: a tile and two lines of text


def thumbnail(image: Image.Image, size: int) -> np.ndarray:
    """(size, size, 3) uint8: the uncropped image, padded with white to a square."""
    return np.asarray(ImageOps.pad(image.convert("RGB"), (size, size), color="white"))


def pick_cells(images: ImageSet, domains: Sequence[str], labels: Sequence[str], seed: int) -> np.ndarray:
    """(D, C) int row of a random image of each domain and class; -1 if there is none.

    A class that occurs several times in `labels` gets a different image each time.
    """
    rng = np.random.default_rng(seed)
    cells = np.full((len(domains), len(labels)), -1)
    for d, domain in enumerate(domains):
        for label in dict.fromkeys(labels):
            columns = np.flatnonzero(np.asarray(labels) == label)
            rows = rng.permutation(np.flatnonzero(images.mask([domain], [label])))[: len(columns)]
            cells[d, columns[: len(rows)]] = rows
    return cells


def mosaic(images: ImageSet, cells: np.ndarray, size: int, pad: int = 4) -> np.ndarray:
    """(D * (size + pad), C * (size + pad), 3) uint8: thumbnails of the rows in `cells`, and white cells for -1."""
    step = size + pad
    sheet = np.full((cells.shape[0] * step, cells.shape[1] * step, 3), 255, dtype=np.uint8)
    for (r, c), row in np.ndenumerate(cells):
        if row >= 0:
            sheet[r * step : r * step + size, c * step : c * step + size] = thumbnail(images.image(row), size)
    return sheet


@styled
def contact_sheet(
    images: ImageSet, domains: Sequence[str], labels: Sequence[str], *, seed=0, columns=10, title: str = ""
) -> Figure:
    """One image per domain (rows) and class (columns), in blocks of `columns` classes."""
    blocks = [list(labels[i : i + columns]) for i in range(0, len(labels), columns)]
    across = max(map(len, blocks))
    size = int((WIDTH - 1.3) * DPI / across) - 4
    height = len(blocks) * (len(domains) * (size + 4) / DPI + 0.75) + 0.3
    fig, axes = plt.subplots(len(blocks), 1, figsize=(WIDTH, height), squeeze=False)
    for number, (ax, block) in enumerate(zip(axes[:, 0], blocks)):
        sheet = mosaic(images, pick_cells(images, domains, block, seed + number), size)
        _show_sheet(ax, sheet, domains, block, across, size + 4)
    return credited(titled(fig, title), images.select(domains, labels))


def _show_sheet(
    ax: Axes, sheet: np.ndarray, domains: Sequence[str], labels: Sequence[str], across: int, step: int
) -> None:
    """One block of a contact sheet: domain names on the left, class names on top (none if one class repeats)."""
    repeated = len(labels) > 1 and len(set(labels)) == 1
    names = ["" if repeated else shorten(x, 14) for x in labels]
    ax.imshow(sheet)
    ax.set_xlim(0, across * step)  # tiles of a shorter last block get the same size
    ax.set_xticks([(c + 0.47) * step for c in range(len(labels))], names)
    ax.set_yticks([(d + 0.47) * step for d in range(len(domains))], [pretty(x) for x in domains])
    ax.xaxis.tick_top()
    if across > 7:
        plt.setp(ax.get_xticklabels(), rotation=25, ha="left", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


@styled
def ranked_grid(
    query: ImageSet, gallery: ImageSet, ranking, rows: Sequence[int], *, k: int = 10, title: str = ""
) -> Figure:
    """The queries `rows` (left), each with its first k results in order.

    A correct result (same class) has a solid blue frame and a check mark; a wrong one has a dashed orange frame, a
    cross and the name of its class. The number below a result is its score in `ranking`. k is limited to the number of
    ranked images.
    """
    indices, scores = np.asarray(ranking.indices), np.asarray(ranking.scores)
    k = min(k, indices.shape[1])
    fig, ax, size = _empty_grid(len(rows), GAP + k)
    for r, row in enumerate(rows):
        name = f"query: {shorten(query.labels[row], 11)}"
        _result_row(ax, query, gallery, row, indices[row, :k], scores[row], r * PITCH, size, name)
    return credited(titled(fig, title), query.take(rows), gallery.take(indices[rows, :k].ravel()))


@styled
def compared_grid(
    query: ImageSet,
    gallery: ImageSet,
    rankings: Mapping[str, Any],
    rows: Sequence[int],
    *,
    k: int = 10,
    title: str = "",
) -> Figure:
    """Each query of `rows` once per method, with the method's first k results, marked as in `ranked_grid`.

    rankings  {method: ranking of all queries}
    """
    fig, ax, size = _empty_grid(len(rows) * len(rankings), GAP + k)
    found = []
    for i, (row, (name, ranking)) in enumerate((row, item) for row in rows for item in rankings.items()):
        found.append(np.asarray(ranking.indices)[row, :k])
        _result_row(ax, query, gallery, row, found[-1], np.asarray(ranking.scores)[row], i * PITCH, size, name)
    return credited(titled(fig, title), query.take(rows), gallery.take(np.concatenate(found)))


def _result_row(
    ax: Axes, query: ImageSet, gallery: ImageSet, row: int, items: np.ndarray, scores: np.ndarray, y: float, size: int,
    name: str,
) -> None:  # fmt: skip
    """One query and its results `items`; below the query stand `name` and how many results are right."""
    correct = gallery.labels[items] == query.labels[row]
    _tile(ax, query.image(row), 0, y, size, f"{name}\n{correct.sum()} of {len(items)} right")
    for j, item in enumerate(items):
        is_correct = bool(correct[j])
        note = f"{MARK[is_correct]} {scores[j]:.2f}\n"
        note += "" if is_correct else shorten(gallery.labels[item], 11)
        _tile(ax, gallery.image(item), GAP + j, y, size, note, is_correct)


@styled
def labelled_images(
    images: ImageSet,
    rows: Sequence[int],
    notes: Sequence[str],
    *,
    marks: Sequence[bool | None] | None = None,
    title: str = "",
) -> Figure:
    """A row of images, each with one or two lines of text below it, framed if its mark is True (right) or False."""
    fig, ax, size = _empty_grid(1, max(len(rows), 9))
    for x, (row, note, mark) in enumerate(zip(rows, notes, marks or [None] * len(rows))):
        _tile(ax, images.image(row), x, 0, size, note, mark)
    return credited(titled(fig, title), images.take(rows))


@styled
def image_rows(images: ImageSet, rows: Mapping[str, Sequence[int]], *, title: str = "") -> Figure:
    """One row of images per name, such as the images nearest to each word. All rows have the same length."""
    cells = np.array(list(rows.values()))
    size = int((WIDTH - 1.3) * DPI / cells.shape[1]) - 4
    fig, ax = plt.subplots(figsize=(WIDTH, len(rows) * (size + 4) / DPI + 0.6))
    _show_sheet(ax, mosaic(images, cells, size), list(rows), [""] * cells.shape[1], cells.shape[1], size + 4)
    return credited(titled(fig, title), images.take(cells[cells >= 0]))


def _empty_grid(n_rows: int, across: float) -> tuple[Figure, Axes, int]:
    """Figure, axes in units of tiles (`across` of them; y downwards, with text below each row), pixels per tile."""
    tile = min(WIDTH / across, TILE)
    fig, ax = plt.subplots(figsize=(max(tile * across, 5), tile * PITCH * n_rows + 0.4))
    ax.set(xlim=(-0.05, across), ylim=(n_rows * PITCH - 0.02, -0.05), anchor="W")
    ax.axis("off")
    return fig, ax, round(tile * DPI)


def _tile(ax: Axes, image: Image.Image, x: float, y: float, size: int, note: str, mark: bool | None = None) -> None:
    """An image with a note below it; both are coloured by `mark`, if it is not None."""
    box = {"xy": (x, y), "width": 0.92, "height": 0.92, "fill": False}
    ax.imshow(thumbnail(image, size), extent=(x, x + 0.92, y + 0.92, y), zorder=1, aspect="equal")
    ax.add_patch(Rectangle(**box, ec="#CCCCCC", lw=0.6, zorder=2, gid="edge"))
    colour = "black" if mark is None else RIGHT if mark else WRONG
    if mark is not None:
        dash = "-" if mark else (0, (3, 2))
        ax.add_patch(Rectangle(**box, ec=colour, ls=dash, lw=2, zorder=3, gid="right" if mark else "wrong"))
    ax.text(x + 0.46, y + 0.97, note, ha="center", va="top", fontsize=SMALL, color=colour, linespacing=1.25)


@styled
def rank_strips(queries: Mapping[str, Sequence[bool]], *, title: str = "") -> Figure:
    """One row of squares per query, marked right or wrong by rank, with the precision at each right result."""
    longest = max(map(len, queries.values()))
    fig, ax = plt.subplots(figsize=(WIDTH * 0.8, 0.95 * len(queries) + 0.7))
    for row, (name, relevant) in enumerate(queries.items()):
        ax.text(-0.25, row + 0.4, name, ha="right", va="center")
        for x, right in enumerate(relevant):
            colour = RIGHT if right else WRONG
            ax.add_patch(Rectangle((x, row), 0.9, 0.72, fc=colour, alpha=0.15, ec="none"))
            ax.add_patch(Rectangle((x, row), 0.9, 0.72, fill=False, ec=colour, lw=1.6, ls="-" if right else "--"))
            text = f"{MARK[right]}\n{sum(relevant[: x + 1])}/{x + 1}" if right else MARK[right]
            ax.text(x + 0.45, row + 0.36, text, ha="center", va="center", color=colour)
    ax.set(xlim=(-0.1, longest), ylim=(len(queries) - 0.1, -0.1), yticks=[])
    ax.set_xticks(np.arange(longest) + 0.45, [f"rank {i}" for i in range(1, longest + 1)])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    return fig


@styled
def label_changes(
    images: ImageSet,
    rows: Sequence[int],
    before: np.ndarray,
    after: np.ndarray,
    classes: Sequence[str],
    *,
    top: int = 4,
    title: str = "",
) -> Figure:
    """Images with their most likely classes and the true one (check mark): probability before (hollow), after (filled).

    before, after  (n, K) probabilities of the n `rows`, columns in the order of `classes`
    """
    fig, axes = plt.subplots(2, len(rows), figsize=(WIDTH, 3.6), height_ratios=(1, 1.25), squeeze=False)
    longest = 1.05 * float(max(np.max(before), np.max(after)))
    for image, ax, row, p, q in zip(*axes, rows, before, after):
        image.imshow(thumbnail(images.image(row), 64))
        image.axis("off")
        image.set_title(f"{shorten(images.labels[row], 12)}\n{shorten(images.domains[row], 12)}", fontsize=9)
        _probability_bars(ax, np.asarray(p), np.asarray(q), classes, images.labels[row], top)
        ax.set(xlim=(0, longest), xticks=[0, round(longest / 1.2, 1)])
    fig.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return credited(titled(fig, title), images.take(rows))


def _probability_bars(
    ax: Axes, before: np.ndarray, after: np.ndarray, classes: Sequence[str], truth: object, top: int
) -> None:
    """Two bars per class, for the `top` most likely classes before or after and the true one, sorted by `after`."""
    is_true = np.array([name == truth for name in classes])
    best = np.argsort(-np.maximum(before, after) - is_true, kind="stable")[:top]
    best = best[np.argsort(-after[best], kind="stable")]
    y = np.arange(len(best))
    colours = [RIGHT if classes[j] == truth else PALETTE[9] for j in best]
    ax.barh(y - 0.2, before[best], 0.36, color="white", ec=colours, lw=1.2, label="before")
    ax.barh(y + 0.2, after[best], 0.4, color=colours, ec=colours, lw=1.2, label="after")
    ax.set_yticks(y, [("✓ " if classes[j] == truth else "") + shorten(classes[j], 9) for j in best], fontsize=SMALL)
    ax.set_ylim(top - 0.5, -0.5)
