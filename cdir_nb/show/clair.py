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


@styled
def rotation_figure(q: np.ndarray, angles: np.ndarray, singular: np.ndarray, rank: int, *, title: str = "") -> Figure:
    """Q in three panels: angles between axes and their images, angles of the rotated planes, singular values.

    q         (D, D)
    angles    (P,) rotation angles of the planes in degrees, largest first
    singular  (D,) singular values of the product of the pairs, largest first; `rank` of them exceed the rounding error
    """
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.2))
    turned = np.degrees(np.arccos(np.clip(np.diag(q), -1, 1)))
    axes[0].hist(turned, np.arange(0, 181, 10), color=PALETTE[6])
    axes[0].axvline(0, color=QUIET, ls="--", lw=1.2, label="identity")
    axes[0].set(title="angle between axis and image", xlabel="degrees", ylabel="axes", xticks=range(0, 181, 45))
    axes[0].legend()
    axes[1].bar(np.arange(1, len(angles) + 1), angles, width=1, color=PALETTE[4])
    axes[1].set(title="angle of each plane", xlabel="plane", ylabel="degrees", ylim=(0, 180), yticks=range(0, 181, 45))
    axes[2].plot(np.arange(1, len(singular) + 1), np.maximum(singular, 1e-16), color=PALETTE[0])
    axes[2].axvline(rank + 0.5, color=QUIET, ls="--", lw=1.2)
    axes[2].set(title=f"{rank} of {len(singular)} determined", xlabel="direction")
    axes[2].set(ylabel="singular value", yscale="log")
    return titled(fig, title)


@dataclass(frozen=True)
class FlatDomain:
    """One domain on a two-dimensional map: its name, points (N, 2), and their classes (N,)."""

    name: str
    points: np.ndarray
    labels: np.ndarray


@styled
def geodesic_figure(
    before: FlatDomain,
    now: FlatDomain,
    fixed: FlatDomain,
    curves: Mapping[str, Sequence[float]],
    stops: Sequence[float],
    stop: float,
    *,
    value: str,
    title: str = "",
) -> Figure:
    """Two domains before rotation and after a partial rotation towards Q, with class means, and scores along the path.

    before, now  the rotated domain, at stop 0 and at `stop`; 0 is the identity, 1 is Q
    fixed        the other domain
    curves       {name: one value per entry of `stops`}; `value` is the axis label
    """
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.9), width_ratios=(1, 1, 0.9))
    classes = [label for label in dict.fromkeys(fixed.labels) if label in set(before.labels)]
    points = np.concatenate([before.points, now.points, fixed.points])
    for ax, rotated, name in ((axes[0], before, "identity"), (axes[1], now, f"{100 * stop:.0f} % of the way to Q")):
        _link_class_means(ax, rotated, fixed, classes)
        ax.set(title=name, xlim=_limits(points[:, 0]), ylim=_limits(points[:, 1]))
        bare(ax)
    for i, (name, values) in enumerate(curves.items()):
        axes[2].plot(stops, values, ls=["-", "--"][i % 2], color=PALETTE[i], marker="o", ms=3, label=name)
    axes[2].axvline(stop, color=QUIET, ls=":", lw=1.4)
    axes[2].set(title="along the way", xlabel="identity (0) to Q (1)", ylabel=value)
    axes[2].margins(y=0.12)
    keys = keys_of((axes[0], axes[2]))
    fig.legend(keys.values(), keys, loc="outside lower left", ncols=5, columnspacing=1.2, handletextpad=0.4)
    return titled(fig, title)


def _limits(values: np.ndarray) -> tuple[float, float]:
    margin = 0.04 * (values.max() - values.min())
    return float(values.min() - margin), float(values.max() + margin)


def _link_class_means(ax: Axes, rotated: FlatDomain, fixed: FlatDomain, classes: Sequence[str]) -> None:
    """Faint points, and for each class a line between its means in both domains (disc: rotated, cross: fixed)."""
    for name, (colour, _) in looks(list(classes)).items():
        ends = []
        for domain, marker in ((rotated, "o"), (fixed, "X")):
            points = domain.points[domain.labels == name]
            ax.scatter(*points.T, s=4, color=colour, alpha=0.25, lw=0, zorder=1)
            ends.append(points.mean(0))
            ax.plot(*ends[-1], marker=marker, ms=7, color=colour, mec="white", mew=0.8, zorder=3)
        ax.plot(*np.transpose(ends), color=colour, lw=1.6, zorder=2, label=shorten(name, 14))
    for domain, marker in ((rotated, "o"), (fixed, "X")):
        ax.plot([], [], marker=marker, color="#444444", ls="", label=f"{shorten(domain.name, 20)}, class means")


@styled
def pull_figure(angles: Mapping[str, float], temperatures: Sequence[float], *, title: str = "") -> Figure:
    """An image on the unit circle, pulled to its positive and pushed away from all memories; a panel per temperature.

    angles  {name: degrees on the circle}: the image, its positive, then other memories

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
    """Which images pull the first image of domain A, and the mask of the loss: one column per loss.

    masks    {loss: ((n, n) bool, True where the memory of a column pulls the image of a row; axis label of the columns;
             whether the columns belong to domain B)}
    classes  the pseudo-class of the n images, which are the same in both domains
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
    """Memories of A as discs, of B as squares, second views as small discs; an arrow from each that pulls image 1."""
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
