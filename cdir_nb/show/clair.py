"""Figures for CLAIR: the mapping Q, and what a contrastive loss pulls and pushes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from cdir_nb.analysis import softmax_weights
from cdir_nb.show.style import (
    PALETTE,
    QUIET,
    RIGHT,
    SMALL,
    WIDTH,
    WRONG,
    bare,
    keys_of,
    looks,
    pretty,
    shorten,
    styled,
    titled,
)


@dataclass(frozen=True)
class Way:
    """One direction while its mapping changes from the identity to Q, on a map whose axes stay the same.

    moved   {fraction of the change, 0 to 1: (N, 2) points of the query domain}
    start   (N, 2) points of the query domain at fraction 0
    fixed   (M, 2) points of the gallery domain
    labels, fixed_labels  classes of the N queries and the M gallery images
    stops   fractions at which the scores were measured
    curves  {name: scores at `stops`}; the first curve is this direction's
    """

    query: str
    gallery: str
    moved: Mapping[float, np.ndarray]
    start: np.ndarray
    fixed: np.ndarray
    labels: np.ndarray
    fixed_labels: np.ndarray
    stops: Sequence[float]
    curves: Mapping[str, Sequence[float]]


@styled
def geodesic_figure(ways: Sequence[Way], *, value: str, title: str = "") -> Figure:
    """One row per direction: maps at some fractions of the way to Q, then the scores along the way.

    On a map, a line leads from each class mean of the queries (disc) to that of the gallery (cross); rings mark where
    the discs started.
    """
    columns = len(ways[0].moved) + 1
    size = (WIDTH, 3.0 * len(ways) + 0.8)
    fig, axes = plt.subplots(len(ways), columns, figsize=size, squeeze=False)
    for row, way in zip(axes, ways):
        points = np.concatenate([way.start, way.fixed, *way.moved.values()])
        for ax, (fraction, moved) in zip(row, way.moved.items()):
            _link_class_means(ax, way, moved)
            at = "identity" if fraction == 0 else "Q" if fraction == 1 else f"{100 * fraction:.0f} % of the way"
            ax.set(title=at, xlim=_limits(points[:, 0]), ylim=_limits(points[:, 1]))
            bare(ax)
        row[0].set_ylabel(f"{way.query} → {way.gallery}")
        _draw_curves(row[-1], way, value)
    keys = keys_of((axes[0, 0],)) | keys_of(axes[:, -1])
    fig.legend(keys.values(), keys, loc="outside lower left", ncols=6, columnspacing=1.2, handletextpad=0.4)
    return titled(fig, title)


def _draw_curves(ax: Axes, way: Way, value: str) -> None:
    """The scores along the way, with a line at each fraction that is on a map."""
    for i, (name, scores) in enumerate(way.curves.items()):
        style, colour, label = ("--", QUIET, name) if i else ("-", PALETTE[0], "this direction")
        ax.plot(way.stops, scores, ls=style, color=colour, marker="o", ms=3, label=label)
    for fraction in way.moved:
        ax.axvline(fraction, color=QUIET, ls=":", lw=1.2)
    ax.set(xlabel="identity (0) to Q (1)", title=value)
    ax.margins(y=0.12)


def _limits(values: np.ndarray) -> tuple[float, float]:
    margin = 0.04 * (values.max() - values.min())
    return float(values.min() - margin), float(values.max() + margin)


def _link_class_means(ax: Axes, way: Way, moved: np.ndarray) -> None:
    """Faint points, and for each class a ring at its start, a disc at its present mean and a line to the gallery's."""
    for name, (colour, _) in looks([name for name in dict.fromkeys(way.fixed_labels) if name in way.labels]).items():
        queries, gallery = way.labels == name, way.fixed_labels == name
        ends = moved[queries].mean(0), way.fixed[gallery].mean(0)
        for points in (moved[queries], way.fixed[gallery]):
            ax.scatter(*points.T, s=4, color=colour, alpha=0.25, lw=0, zorder=1)
        ax.plot(*way.start[queries].mean(0), "o", ms=7, mfc="none", mec=colour, alpha=0.6, zorder=2)
        for end, marker in zip(ends, ("o", "X")):
            ax.plot(*end, marker=marker, ms=7, color=colour, mec="white", mew=0.8, zorder=3)
        ax.plot(*np.transpose(ends), color=colour, lw=1.6, zorder=2, label=shorten(name, 14))
    for marker, meaning, fill in (("o", "query domain", QUIET), ("X", "gallery", QUIET), ("o", "start", "none")):
        ax.plot([], [], marker=marker, color=QUIET, mfc=fill, ls="", label=f"{meaning}, class means")


@styled
def pull_figure(angles: Mapping[str, float], temperatures: Sequence[float], *, title: str = "") -> Figure:
    """An image on the unit circle, pulled to its positive and pushed away from all memory entries, at each temperature.

    angles  {name: degrees on the circle}: the image, its positive, then other memory entries

    The area and the percentage of a disc are its weight in the denominator; the arrow is the direction of a gradient
    step, and its length the size of the gradient times the temperature.
    """
    fig, axes = plt.subplots(1, len(temperatures), figsize=(WIDTH, 3.4), squeeze=False)
    image, *memories = np.radians(list(angles.values()))
    for ax, temperature in zip(axes[0], temperatures):
        weights = softmax_weights(np.cos(np.array(memories) - image), temperature)
        _draw_circle(ax, list(angles), image, memories, weights)
        force = np.sin(memories[0] - image) - weights @ np.sin(np.array(memories) - image)
        tangent = np.array([-np.sin(image), np.cos(image)])
        start = 1.22 * np.array([np.cos(image), np.sin(image)])
        arrow = {"arrowstyle": "-|>", "lw": 2.2, "color": PALETTE[0]}
        ax.annotate("", xy=start + 0.9 * force * tangent, xytext=start, arrowprops=arrow)
        ax.set_title(f"temperature {temperature:g}")
    return titled(fig, title)


def _draw_circle(ax: Axes, names: list[str], image: float, memories: list[float], weights: np.ndarray) -> None:
    ax.add_patch(Circle((0, 0), 1, fill=False, ec="#BBBBBB", lw=1))
    ax.plot(np.cos(image), np.sin(image), marker="*", ms=15, color=PALETTE[0], mec="white", zorder=3)
    for name, angle, weight, colour in zip(names[1:], memories, weights, [RIGHT, *[WRONG] * len(memories)]):
        x, y = np.cos(angle), np.sin(angle)
        ax.scatter(x, y, s=40 + 550 * weight, color=colour, alpha=0.85, lw=0, zorder=2)
        label = f"{pretty(name)}\n{100 * weight:.0f} %"
        ax.text(1.5 * x, 1.45 * y, label, ha="center", va="center", fontsize=SMALL)
    ax.text(0, 0.62, names[0], ha="center", va="center", fontsize=SMALL)
    ax.set(xlim=(-2, 2), ylim=(-1.85, 1.85), aspect="equal")
    bare(ax)


@styled
def mask_figure(
    masks: Mapping[str, tuple[np.ndarray, str, bool]], classes: Sequence[str], *, title: str = ""
) -> Figure:
    """One column per loss: above, the images that pull the first image of domain A; below, the mask of the loss.

    masks    {loss: (mask, axis label of the mask's columns, whether the columns are images of domain B)}; a mask is
             (n, n) bool, True where the memory entry of a column pulls the image of a row
    classes  the pseudo-class of each of the n images; the list is the same in both domains
    """
    fig, axes = plt.subplots(2, len(masks), figsize=(WIDTH, 5), height_ratios=(1, 0.9), squeeze=False)
    colours = dict(zip(dict.fromkeys(classes), (PALETTE[2], PALETTE[5])))
    x = np.arange(len(classes)) * 1.0
    for (name, (mask, columns, crosses)), top, bottom in zip(masks.items(), axes[0], axes[1]):
        _draw_pulls(top, x, classes, colours, mask[0], "views" if "view" in columns else "B" if crosses else "A")
        top.set_title(name)
        shade = np.where(mask, 1.0, 0.08)
        bottom.imshow(shade, cmap="Blues", vmin=0, vmax=3)
        ticks = [f"{label} {i % 2 + 1}" for i, label in enumerate(classes)]
        bottom.set_xticks(range(len(classes)), ticks, fontsize=SMALL, rotation=30, ha="right")
        bottom.set_yticks(range(len(classes)), ticks, fontsize=SMALL)
        bottom.set(xlabel=columns)
        for i, j in zip(*np.nonzero(mask)):
            bottom.text(j, i, "pulls", ha="center", va="center", fontsize=SMALL, color="black")
    axes[1, 0].set_ylabel("images of A")
    return titled(fig, title)


def _draw_pulls(
    ax: Axes, x: np.ndarray, classes: Sequence[str], colours: Mapping[str, str], pulls: np.ndarray, target: str
) -> None:
    """Memory entries of A (discs) and B (squares), second views (small discs); arrows from those that pull image 1."""
    colour = [colours[label] for label in classes]
    ax.scatter(x, 0 * x, s=190, c=colour, marker="o", zorder=2)
    ax.scatter(x, 0 * x - 1.2, s=170, c=colour, marker="s", zorder=2)
    ax.scatter(x, 0 * x + 0.75, s=60, c=colour, marker="o", alpha=0.45, lw=0, zorder=2)
    ax.scatter(x[0], 0, s=480, fc="none", ec="black", lw=1.6, zorder=3)
    level = {"views": 0.75, "A": 0.0, "B": -1.2}[target]
    arrow = {"arrowstyle": "-|>", "lw": 1.8, "color": "black", "shrinkA": 9, "shrinkB": 12}
    for i in np.flatnonzero(pulls):
        if target == "A" and i == 0:
            ax.text(x[0], -0.42, "and its own memory", ha="center", va="center", fontsize=SMALL)
        else:
            ax.annotate("", xy=(x[0], 0), xytext=(x[i], level), arrowprops=arrow)
    for height, text in ((0.75, "second views"), (0, "domain A"), (-1.2, "domain B")):
        ax.text(x[-1] + 0.5, height, text, va="center", fontsize=SMALL)
    ax.set(xlim=(-0.9, x[-1] + 2.1), ylim=(-1.75, 1.25))
    bare(ax)
