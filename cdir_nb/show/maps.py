"""Scatter plots: maps of embeddings coloured by class and by domain, and the effect of vector length on ranks."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cdir_nb.show.style import PALETTE, QUIET, WIDTH, bare, looks, pretty, shorten, styled, titled


@styled
def map_figure(
    points: np.ndarray,
    labels: Sequence[str],
    domains: Sequence[str],
    *,
    title: str = "",
    label_order: Sequence[str] | None = None,
    domain_order: Sequence[str] | None = None,
    domain_word: str = "domain",
) -> Figure:
    """The same points twice: coloured by class (left) and by domain (right), with legends below.

    points (N, 2), labels (N,), domains (N,); the orders (default: sorted) fix the colours and the legends. Groups that
    are not in their order are drawn small and grey. domain_word  what the title calls the domains.
    """
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 5.6))
    _scatter(axes[0], points, np.asarray(labels), label_order, "coloured by class")
    _scatter(axes[1], points, np.asarray(domains), domain_order, f"coloured by {domain_word}")
    return titled(fig, title)


def _scatter(ax: Axes, points: np.ndarray, groups: np.ndarray, order: Sequence[str] | None, title: str) -> None:
    names = [x for x in (order if order is not None else sorted(set(groups))) if x in set(groups)]
    ax.scatter(*points[~np.isin(groups, names)].T, s=9, c="#BBBBBB", linewidths=0)
    size = max(18, min(40, 18000 / len(points)))  # fewer points have room for larger marks
    for name, (colour, marker) in looks(names).items():
        look = {"s": size, "c": colour, "marker": marker, "ec": "white", "lw": 0.3}
        ax.scatter(*points[groups == name].T, **look, label=shorten(name, 16))
    ax.set_title(title)
    bare(ax)
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(0, -0.01),
        ncols=3,
        markerscale=1.5,
        handletextpad=0.1,
        columnspacing=0.8,
        borderaxespad=0,
    )


@styled
def rank_shifts(norms: np.ndarray, shifts: Mapping[str, np.ndarray], *, title: str = "") -> Figure:
    """Average number of ranks that each gallery image gains over its vector's length (G,), one panel per similarity:
    {name: (G,) mean rank by cosine minus mean rank by this similarity}."""
    fig, axes = plt.subplots(1, len(shifts), figsize=(WIDTH, 3.2), sharey=True, squeeze=False)
    for ax, (name, shift) in zip(axes[0], shifts.items()):
        ax.axhline(0, color=QUIET, lw=1)
        ax.scatter(norms, shift, s=12, color=PALETTE[0], alpha=0.5, lw=0)
        ax.set(title=f"{name}\n{_told(norms, shift)}", xlabel="length of the gallery vector")
    axes[0, 0].set_ylabel("ranks gained over cosine")
    return titled(fig, title)


def _told(norms: np.ndarray, shift: np.ndarray) -> str:
    if not np.any(shift):
        return "same ranking"
    return f"rank correlation {pd.Series(norms).corr(pd.Series(shift), method='spearman'):+.2f}"


@styled
def two_maps(
    maps: Mapping[str, np.ndarray], labels: Sequence[str], domains: Sequence[str], *, title: str = ""
) -> Figure:
    """Maps {title: points (N, 2)} of the same images side by side: colour is the class, the mark is the domain.

    Images without labels are coloured by domain.
    """
    labels, domains = np.asarray(labels), np.asarray(domains)
    groups = labels if len(set(labels)) > 1 else domains
    colours = {name: colour for name, (colour, _) in looks(sorted(set(groups))).items()}
    marks = {name: mark for name, (_, mark) in looks(sorted(set(domains))).items()}
    fig, axes = plt.subplots(1, len(maps), figsize=(WIDTH, 5.2), squeeze=False)
    for ax, (name, points) in zip(axes[0], maps.items()):
        for domain, mark in marks.items():
            here = domains == domain
            ax.scatter(
                *points[here].T, s=16, c=[colours[g] for g in groups[here]], marker=mark, alpha=0.8, linewidths=0
            )
        ax.set_title(name)
        bare(ax)
    keys = [Line2D([], [], ls="", marker="s", ms=7, color=colour) for colour in colours.values()]
    keys += [Line2D([], [], ls="", marker=mark, ms=7, color=QUIET) for mark in marks.values()]
    names = [*(shorten(name, 14) for name in colours), *(f"mark: {pretty(name)}" for name in marks)]
    fig.legend(keys, names, loc="outside lower left", ncols=6, handletextpad=0.1)
    return titled(fig, title)
