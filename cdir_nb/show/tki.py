"""Figures for TKI: training of domain words, and the non-Euclidean layer."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from cdir_nb.methods.tki.hyperbolic import exp_map_origin, mobius_add
from cdir_nb.show.style import PALETTE, QUIET, WIDTH, bare, looks, shorten, styled, titled

ARROW = {"arrowstyle": "-|>", "lw": 0.8, "mutation_scale": 7, "shrinkA": 0, "shrinkB": 0}


@styled
def expansion_curves(history: Sequence[Mapping[str, float]], *, title: str = "") -> Figure:
    """Losses at each step (left, log scale), and cosines between two domains: smallest, mean, largest (right).

    history  `DomainExpansion.history`
    """
    table = pd.DataFrame(history)
    fig, (losses, cosines) = plt.subplots(1, 2, figsize=(WIDTH, 3.2))
    for i, name in enumerate(name for name in table if name.startswith("L_") and name != "L_total"):
        label = f"${name[:2]}{{{name[2:]}}}$"
        losses.plot(table[name].clip(lower=1e-4), ls=["-", "--"][i % 2], color=PALETTE[i], label=label)
    losses.set(yscale="log", xlabel="step", title="losses")
    losses.legend()
    band = {"color": PALETTE[4], "alpha": 0.4, "lw": 0, "label": "smallest to largest"}
    cosines.fill_between(table.index, table["least cosine"], table["greatest cosine"], **band)
    cosines.plot(table["mean cosine"], color=PALETTE[0], label="mean")
    cosines.set(xlabel="step", ylim=(-1, 1.02), title="cosine between two domains (“A [DOMAIN] style of”)")
    cosines.legend(loc="lower left", ncols=2)
    return titled(fig, title)


@styled
def poincare_disc(
    vectors: np.ndarray, bias: np.ndarray, labels: Sequence[str], radius: float, *, title: str = ""
) -> Figure:
    """The non-Euclidean layer in two dimensions: u + b in the tangent plane, and Möbius addition in the disc.

    The right panel shows the angles by which the bias rotates each point in the plane and in the disc. Grey lines are a
    square grid and its image in the disc.

    vectors  (N, 2) tangent vectors u = W v
    bias     (2,) tangent vector b
    labels   (N,) classes
    radius   radius of the disc
    """
    fig, (flat, disc, turns) = plt.subplots(1, 3, figsize=(WIDTH, 4.1), width_ratios=(1, 1, 0.85))
    u, b = torch.as_tensor(vectors).double(), torch.as_tensor(bias).double()
    points = exp_map_origin(u, radius)
    limit = 1.1 * float(torch.cat([u, u + b]).abs().max())
    for line in _grid(limit):
        flat.plot(*line.T, color="#DDDDDD", lw=0.7, zorder=0)
        disc.plot(*exp_map_origin(line, radius).T, color="#DDDDDD", lw=0.7, zorder=0)
    disc.add_patch(Circle((0, 0), radius, fill=False, ec="#555555", lw=1.2))
    ends = mobius_add(points, exp_map_origin(b, radius).expand_as(points), radius)
    _arrows(flat, u, u + b, labels)
    _arrows(disc, points, ends, labels)
    disc.plot(*np.stack([0 * points, points], 2).transpose(1, 2, 0), color="#BBBBBB", lw=0.7, zorder=1)
    _turns(turns, _degrees(u, u + b), _degrees(points, ends), labels)
    flat.set(title="tangent plane: $u + b$", xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    limit = 1.04 * radius
    disc.set(title=f"disc, radius {radius:g}: $\\exp(u) \\oplus \\exp(b)$")
    disc.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    bare(flat)
    bare(disc)
    fig.legend(*flat.get_legend_handles_labels(), loc="outside lower center", ncols=6, markerscale=1.6)
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
