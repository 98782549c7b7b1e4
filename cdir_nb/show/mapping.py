"""Figures for the cross-domain mapping Q: what it turns, and what happens on the way from the identity to Q."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdir_nb.show.gap import unit_rows
from cdir_nb.show.style import PALETTE, QUIET, WIDTH, looks, pretty, shorten, styled


@styled
def rotation_figure(q: np.ndarray, angles: np.ndarray, singular: np.ndarray, known: int, *, title: str = "") -> Figure:
    """Q as a picture: its entries, by how many degrees it turns each of its planes, and what the pairs know.

    q (D, D), angles (P,) largest first, singular (D,) values of the pairs' product, the first `known` of them
    not rounding
    """
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.2))
    axes[0].imshow(q, cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
    axes[0].set(title="entries of Q (blue: 1, white: 0)", xticks=[], yticks=[])
    axes[1].bar(np.arange(1, len(angles) + 1), angles, width=1, color=PALETTE[4])
    axes[1].set(title="angle of each plane", xlabel="plane", ylabel="degrees", ylim=(0, 180), yticks=range(0, 181, 45))
    axes[2].plot(np.arange(1, len(singular) + 1), np.maximum(singular, 1e-16), color=PALETTE[0])
    axes[2].axvline(known + 0.5, color=QUIET, ls="--", lw=1.2)
    axes[2].set(title=f"singular values: {known} of {len(singular)} known", xlabel="direction", yscale="log")
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def main_axes(*embeddings: np.ndarray) -> np.ndarray:
    """(D, 2) the two main axes (PCA) of all rows together, as unit vectors: x @ axes is a flat map of x."""
    rows = unit_rows(np.concatenate(embeddings))
    return np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:2].T


@dataclass(frozen=True)
class FlatDomain:
    """One domain on a flat map: its name, points (N, 2), and their classes (N,)."""

    name: str
    points: np.ndarray
    labels: np.ndarray


@styled
def way_figure(
    before: FlatDomain,
    now: FlatDomain,
    fixed: FlatDomain,
    curves: dict[str, Sequence[float]],
    stops: Sequence[float],
    at: float,
    *,
    value: str,
    title: str = "",
) -> Figure:
    """Two domains before any turn and at stop `at`, a line from class mean to class mean, and curves over all stops.

    before, now  the domain that is turned; fixed  the other one. curves  {name: a value a stop (0 to 1)}.
    """
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.9), width_ratios=(1, 1, 0.9))
    classes = [x for x in dict.fromkeys(fixed.labels) if x in set(before.labels)]
    for ax, moved, name in ((axes[0], before, "identity"), (axes[1], now, f"{100 * at:.0f} % of the way to Q")):
        _linked(ax, moved, fixed, classes)
        ax.set_title(name)
    reach = np.concatenate([before.points, now.points, fixed.points])
    for ax in axes[:2]:
        ax.set(xlim=_limits(reach[:, 0]), ylim=_limits(reach[:, 1]), xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    _curves(axes[2], curves, stops, at, value)
    keys = [key for ax in (axes[0], axes[2]) for key in zip(*ax.get_legend_handles_labels())]
    fig.legend(*zip(*keys), loc="outside lower left", ncols=5, columnspacing=1.2, handletextpad=0.4)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _limits(values: np.ndarray) -> tuple[float, float]:
    margin = 0.04 * (values.max() - values.min())
    return float(values.min() - margin), float(values.max() + margin)


def _linked(ax: Axes, moved: FlatDomain, fixed: FlatDomain, classes: Sequence[str]) -> None:
    """Faint points, and for each class its mean in both domains (disc: the moved one, cross: the other), linked."""
    for name, (colour, _) in looks(list(classes)).items():
        ends = []
        for domain, marker in ((moved, "o"), (fixed, "X")):
            here = domain.points[domain.labels == name]
            ax.scatter(*here.T, s=4, color=colour, alpha=0.25, lw=0, zorder=1)
            ends.append(here.mean(0))
            ax.plot(*ends[-1], marker=marker, ms=7, color=colour, mec="white", mew=0.8, zorder=3)
        ax.plot(*np.transpose(ends), color=colour, lw=1.6, zorder=2, label=shorten(name, 14))
    for domain, marker in ((moved, "o"), (fixed, "X")):
        ax.plot([], [], marker=marker, color="#444444", ls="", label=f"{pretty(domain.name)}, class means")


def _curves(ax: Axes, curves: dict[str, Sequence[float]], stops: Sequence[float], at: float, value: str) -> None:
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(stops, values, ls=["-", "--"][i % 2], color=PALETTE[i], marker="o", ms=3, label=name)
    ax.axvline(at, color=QUIET, ls=":", lw=1.4)
    ax.set(title="on the way", xlabel="identity (0) to Q (1)", ylabel=value)
    ax.margins(y=0.12)
