"""Scatter plots: maps of embeddings by class and domain."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cdir_nb.show.style import QUIET, WIDTH, bare, looks, pretty, shorten, styled, titled


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

    points (N, 2), labels (N,), domains (N,). The orders (default: sorted) determine colours and legends; groups that
    are not in the orders are drawn small and grey. `domain_word` is the word for domains in the title.
    """
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 5.6))
    _scatter(axes[0], points, np.asarray(labels), label_order, "coloured by class")
    _scatter(axes[1], points, np.asarray(domains), domain_order, f"coloured by {domain_word}")
    return titled(fig, title)


def _scatter(ax: Axes, points: np.ndarray, groups: np.ndarray, order: Sequence[str] | None, title: str) -> None:
    names = [x for x in (order if order is not None else sorted(set(groups))) if x in set(groups)]
    ax.scatter(*points[~np.isin(groups, names)].T, s=9, c="#BBBBBB", linewidths=0)
    size = max(18, min(40, 18000 / len(points)))  # larger markers for fewer points
    for name, (colour, marker) in looks(names).items():
        look = {"s": size, "c": colour, "marker": marker, "ec": "white", "lw": 0.3}
        ax.scatter(*points[groups == name].T, **look, label=shorten(name, 16))
    ax.set_title(title)
    bare(ax)
    spacing = {"markerscale": 1.5, "handletextpad": 0.1, "columnspacing": 0.8, "borderaxespad": 0}
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.01), ncols=3, **spacing)


@styled
def two_maps(
    maps: Mapping[str, np.ndarray], labels: Sequence | np.ndarray, domains: Sequence | np.ndarray, *, title: str = ""
) -> Figure:
    """Maps {title: points (N, 2)} of the same images, side by side, with colours for classes and markers for domains.

    Images of one class, or without labels, are coloured by domain.
    """
    labels, domains = np.asarray(labels), np.asarray(domains)
    groups = labels if len(set(labels)) > 1 else domains
    colours = {name: colour for name, (colour, _) in looks(sorted(set(groups))).items()}
    markers = {name: marker for name, (_, marker) in looks(sorted(set(domains))).items()}
    fig, axes = plt.subplots(1, len(maps), figsize=(WIDTH, 5.2), squeeze=False)
    for ax, (name, points) in zip(axes[0], maps.items()):
        for domain, marker in markers.items():
            rows = domains == domain
            colour = [colours[group] for group in groups[rows]]
            ax.scatter(*points[rows].T, s=16, c=colour, marker=marker, alpha=0.8, linewidths=0)
        ax.set_title(name)
        bare(ax)
    keys = [Line2D([], [], ls="", marker="s", ms=7, color=colour) for colour in colours.values()]
    names = [shorten(name, 14) for name in colours]
    if len(markers) > 1:
        keys += [Line2D([], [], ls="", marker=marker, ms=7, color=QUIET) for marker in markers.values()]
        names += [f"mark: {pretty(name)}" for name in markers]
    fig.legend(keys, names, loc="outside lower left", ncols=6, handletextpad=0.1)
    return titled(fig, title)
