"""Figures for TKI: the number of classes in the gallery, and the non-Euclidean layer."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from cdir_nb.methods.tki.hyperbolic import exp_map_origin, mobius_add
from cdir_nb.show.style import PALETTE, QUIET, WIDTH, bare, looks, shorten, styled, titled

ARROW = {"arrowstyle": "-|>", "lw": 0.8, "mutation_scale": 7, "shrinkA": 0, "shrinkB": 0}


@styled
def poincare_disc(
    vectors: np.ndarray, bias: np.ndarray, labels: Sequence[str], radius: float, *, title: str = ""
) -> Figure:
    """The non-Euclidean layer in two dimensions: the Möbius sum of exp(u) and exp(b) in the disc, and a part enlarged.

    The right panel shows the angles by which the bias rotates each point in the plane and in the disc. Grey lines are
    the image of a square grid. The enlarged part, framed in the disc, has the points of the first label.

    vectors  (N, 2) tangent vectors u = W v
    bias     (2,) tangent vector b
    labels   (N,) classes
    radius   radius of the disc
    """
    fig, (disc, part, turns) = plt.subplots(1, 3, figsize=(WIDTH, 3.9), width_ratios=(1, 1, 0.9))
    u, b = torch.as_tensor(vectors).double(), torch.as_tensor(bias).double()
    points = exp_map_origin(u, radius)
    ends = mobius_add(points, exp_map_origin(b, radius).expand_as(points), radius)
    grid = _grid(1.1 * float(torch.cat([u, u + b]).abs().max()))
    for ax in (disc, part):
        for line in grid:
            ax.plot(*exp_map_origin(line, radius).T, color="#DDDDDD", lw=0.7, zorder=0)
        ax.add_patch(Circle((0, 0), radius, fill=False, ec="#555555", lw=1.2))
        _arrows(ax, points, ends, labels)
        bare(ax)
    limit = 1.04 * radius
    disc.set(title=f"disc, radius {radius:g}: $\\exp(u) \\oplus \\exp(b)$", aspect="equal")
    disc.set(xlim=(-limit, limit), ylim=(-limit, limit))
    chosen = np.flatnonzero(np.asarray(labels) == labels[0])
    (left, low), side = _square(torch.cat([points[chosen], ends[chosen]]))
    disc.add_patch(Rectangle((left, low), side, side, fill=False, ec="black", lw=1.2, zorder=4))
    part.set(title=f"the framed part, {radius / side:.0f} times larger", aspect="equal")
    part.set(xlim=(left, left + side), ylim=(low, low + side))
    part.spines[:].set_visible(True)
    _turns(turns, _degrees(u, u + b), _degrees(points, ends), labels)
    fig.legend(*disc.get_legend_handles_labels(), loc="outside lower center", ncols=6, markerscale=1.6)
    return titled(fig, title)


def _square(points: torch.Tensor) -> tuple[tuple[float, float], float]:
    """The lower left corner and the side of a square around (N, 2) points, with a margin."""
    low, high = points.min(0).values, points.max(0).values
    side = 1.5 * float((high - low).max())
    left, bottom = ((low + high) / 2 - side / 2).tolist()
    return (left, bottom), side


@styled
def gallery_curves(panels: Mapping[str, pd.DataFrame], *, at: int = 0, value: str, title: str = "") -> Figure:
    """TKI (solid) and vanilla CLIP (dashed) over the number of classes in the gallery, one panel per table.

    panels  tables in percent over the number of classes, with columns "TKI" and "vanilla CLIP"
    at      a number of classes that is ringed
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.6), sharey=True, squeeze=False)
    for ax, (name, table) in zip(axes[0], panels.items()):
        ax.fill_between(table.index, table["vanilla CLIP"], table["TKI"], color=PALETTE[4], alpha=0.25, lw=0)
        ax.plot(table["TKI"], color=PALETTE[0], marker="o", ms=5, label="TKI")
        ax.plot(table["vanilla CLIP"], color=QUIET, ls="--", marker="s", ms=4, label="vanilla CLIP")
        for classes, tki, clip in table[["TKI", "vanilla CLIP"]].itertuples():
            ax.annotate(f"{tki - clip:+.1f}", (classes, tki), (4, 5), textcoords="offset points")
        if at in table.index:
            ax.plot(at, table.loc[at, "TKI"], "o", ms=12, mfc="none", mec=PALETTE[1], mew=1.8)
        ax.set(title=name, xlabel="classes in the gallery", xlim=(0, 1.08 * max(table.index)))
        ax.set_ylim(0, 100)
        ax.grid(True)
    axes[0, 0].set_ylabel(value)
    axes[0, 0].legend(loc="lower left")
    return titled(fig, title)


def _degrees(start: torch.Tensor, end: torch.Tensor) -> np.ndarray:
    """(N,) angles between the vectors of two sets (N, 2)."""
    return np.degrees(np.arccos(torch.cosine_similarity(start, end).clamp(-1, 1).numpy()))


def _turns(ax: Axes, plane: np.ndarray, disc: np.ndarray, labels: Sequence[str]) -> None:
    """Degrees by which the bias turns each point: in the plane (x) and in the disc (y)."""
    top = 1.08 * float(max(plane.max(), disc.max(), 1e-9))
    for name, (colour, marker) in looks(list(dict.fromkeys(labels))).items():
        rows = np.asarray(labels) == name
        ax.scatter(plane[rows], disc[rows], s=20, c=colour, marker=marker, lw=0)
    ax.plot([0, top], [0, top], color=QUIET, ls="--", lw=1.2)
    ax.text(0.7 * top, 0.73 * top, "alike", ha="right", va="bottom", color=QUIET)
    ax.set(title="turned by the bias", xlabel="in the plane (degrees)", ylabel="in the disc (degrees)")
    ax.set(xlim=(0, top), ylim=(0, top), aspect="equal")


def _grid(limit: float) -> list[torch.Tensor]:
    """Lines of a square grid, each (200, 2)."""
    y = torch.linspace(-limit, limit, 200, dtype=torch.double)
    vertical = [torch.stack([torch.full_like(y, float(x)), y], 1) for x in torch.linspace(-limit, limit, 13)]
    return vertical + [line.flip(1) for line in vertical]


def _arrows(ax: Axes, start: torch.Tensor, end: torch.Tensor, labels: Sequence[str]) -> None:
    """A marker at each point, coloured by class, and an arrow to its position after the bias is added."""
    for name, (colour, marker) in looks(list(dict.fromkeys(labels))).items():
        rows = np.flatnonzero(np.asarray(labels) == name)
        arrow = {**ARROW, "color": colour}
        ax.scatter(*start[rows].T, s=14, c=colour, marker=marker, lw=0, label=shorten(name, 16), zorder=3)
        for i in rows:
            ax.annotate("", xy=tuple(end[i].tolist()), xytext=tuple(start[i].tolist()), arrowprops=arrow, zorder=2)
