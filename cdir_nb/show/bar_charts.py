"""Bar charts, and distributions of values: histograms and strips of points."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cdir_nb.show.style import DOMAIN_LOOKS, PALETTE, QUIET, SMALL, WIDTH, looks, shorten, styled, titled

PANEL_COLOURS = (PALETTE[4], PALETTE[6], PALETTE[3])


@styled
def bars(values: Mapping[str, float], *, label: str, title: str = "", digits: int = 1) -> Figure:
    """Horizontal bars with their values, in the given order."""
    fig, ax = plt.subplots(figsize=(WIDTH * 0.75, 0.32 * len(values) + 1.1))
    _labelled_bars(ax, pd.Series(values).rename(lambda name: shorten(name, 40)), PALETTE[4], digits=digits)
    ax.margins(x=0.12)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=not digits))
    ax.set_xlabel(label)
    ax.set_title(title)
    return fig


def _labelled_bars(
    ax: Axes, values: pd.Series, colour: str | Sequence[str], *, missing: str = "", digits: int = 1
) -> None:
    """Horizontal bars from top to bottom, each with its value beside it, or with `missing` where it is NaN."""
    bar = ax.barh(range(len(values)), values.fillna(0), color=colour)
    labels = [missing if np.isnan(value) else f"{value:.{digits}f}" for value in values]
    for text in ax.bar_label(bar, labels, padding=3, fontsize=SMALL):
        text.set_bbox({"fc": "white", "ec": "none", "pad": 0.5})  # so that no line crosses it
        text.set_zorder(4)
    ax.set_yticks(range(len(values)), values.index)
    if not ax.yaxis_inverted():  # panels may share the axis
        ax.invert_yaxis()


@styled
def bars_in_groups(groups: Mapping[str, Mapping[str, float]], *, label: str, title: str = "") -> Figure:
    """Horizontal bars {kind: {name: value}} in one panel per kind, with a common scale and one colour per kind.

    A dashed line marks the first value of each kind, with which the others are compared.
    """
    sizes = [len(values) for values in groups.values()]
    size = (WIDTH * 0.85, 0.3 * sum(sizes) + 0.5 * len(groups) + 0.7)
    fig, axes = plt.subplots(len(groups), 1, figsize=size, sharex=True, squeeze=False, height_ratios=sizes)
    for ax, (kind, values), colour in zip(axes[:, 0], groups.items(), (PALETTE[4], PALETTE[3], PALETTE[6])):
        _labelled_bars(ax, pd.Series(values), colour)
        ax.axvline(next(iter(values.values())), color=QUIET, ls="--", lw=1.2)
        ax.margins(x=0.1)
        ax.set_title(kind)
    axes[-1, 0].set_xlabel(label)
    return titled(fig, title)


@styled
def metric_bars(table: pd.DataFrame, *, title: str = "") -> Figure:
    """One panel per column and one bar per row of a table in percent; NaN is shown as "not reported".

    A dashed line marks the first row, with which the others are compared.
    """
    fig, axes = plt.subplots(1, table.shape[1], figsize=(WIDTH, 0.4 * len(table) + 1.2), sharey=True, squeeze=False)
    for ax, (name, values), colour in zip(axes[0], table.items(), PANEL_COLOURS):
        _labelled_bars(ax, values, colour, missing="not reported")
        ax.axvline(values.iloc[0], color=QUIET, ls="--", lw=1.2)
        ax.set(title=name, xlabel="percent")
        ax.margins(x=0.2)
    plt.setp(axes[0, 0].get_yticklabels(), fontsize=SMALL)
    return titled(fig, title)


@styled
def histograms(groups: Mapping[str, np.ndarray], *, label: str, title: str = "", bins: int = 40) -> Figure:
    """Overlaid histograms, each scaled to area 1, each with a dashed line at its mean."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.2))
    edges: Any = np.histogram_bin_edges(np.concatenate(list(groups.values())), bins)  # `hist` declares no arrays
    for name, (colour, marker) in looks(list(groups)).items():
        ax.hist(groups[name], edges, density=True, histtype="stepfilled", alpha=0.25, color=colour)
        ax.hist(groups[name], edges, density=True, histtype="step", lw=1.6, color=colour)
        mean = float(np.mean(groups[name]))
        ax.axvline(mean, color=colour, ls="--", lw=1.2)
        ax.plot([mean], [0], marker=marker, color=colour, clip_on=False, ls="--", label=f"{name}\n(mean {mean:.2f})")
    ax.set(xlabel=label, ylabel="density")
    ax.set_title(title)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


@styled
def strips(groups: Mapping[str, np.ndarray], *, label: str, title: str = "") -> Figure:
    """One row of points per group, one point per value (jittered vertically for visibility), and a bar at the mean.

    Domains have their usual colours and markers; all other groups share one colour and marker.
    """
    fig, ax = plt.subplots(figsize=(WIDTH, 0.58 * len(groups) + 0.9))
    rng = np.random.default_rng(0)
    for row, (name, values) in enumerate(groups.items()):
        colour, marker = DOMAIN_LOOKS.get(name, (PALETTE[4], "o"))
        values = np.asarray(values)
        ax.scatter(values, row + rng.uniform(-0.25, 0.25, len(values)), s=18, c=colour, marker=marker, alpha=0.7, lw=0)
        ax.plot([values.mean()] * 2, [row - 0.36, row + 0.36], color="black", lw=2)
    ax.set_yticks(range(len(groups)), [f"{name}\nmean {np.mean(v):.1f}, n = {len(v)}" for name, v in groups.items()])
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xlabel(label)
    ax.set_title(title)
    return fig
