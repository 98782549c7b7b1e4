"""Bar charts, and distributions of values: histograms, strips of points."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cdir_nb.show.style import PALETTE, QUIET, SMALL, WIDTH, looks, pretty, shorten, styled, titled


@styled
def accuracy_bars(accuracy: pd.DataFrame, chance: Mapping[str, float], *, title: str = "") -> Figure:
    """Accuracy (%) by domain (rows), with one bar and one dashed chance line per column."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
    width, keys = 0.8 / len(accuracy.columns), []  # keys: each bar, then its own chance line
    for i, name in enumerate(accuracy.columns):
        at = np.arange(len(accuracy)) + (i - (len(accuracy.columns) - 1) / 2) * width
        colour = PALETTE[6 * i % len(PALETTE)]
        drawn = ax.bar(at, accuracy[name], width * 0.94, color=colour, hatch="//" * (i % 2), ec="white", label=name)
        ax.bar_label(drawn, fmt="%.0f", padding=2, fontsize=9)
        line = ax.axhline(chance[name], color=colour, ls="--", lw=1.4, zorder=3)
        line.set_label(f"  chance: {chance[name]:.1f}")
        keys += [drawn, line]
    ax.set_xticks(range(len(accuracy)), [pretty(x) for x in accuracy.index])
    ax.set_ylim(0, 108)
    ax.set_ylabel("accuracy (%)")
    ax.set_title(title)
    ax.legend(handles=keys, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


@styled
def bars(values: Mapping[str, float], *, label: str, title: str = "", digits: int = 1) -> Figure:
    """Horizontal bars with their values, in the given order."""
    fig, ax = plt.subplots(figsize=(WIDTH * 0.75, 0.32 * len(values) + 1.1))
    _numbered(ax, [shorten(x, 40) for x in values], list(values.values()), PALETTE[4], digits=digits)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=not digits))
    ax.set_xlabel(label)
    ax.set_title(title)
    return fig


def _numbered(
    ax: Axes,
    names: Sequence,
    values: Sequence[float],
    colour: str | Sequence[str],
    labels: Sequence[str] | None = None,
    digits: int = 1,
) -> None:
    """Horizontal bars, each with its value (or its label) beside it."""
    drawn = ax.barh(names, values, color=colour)
    for text in ax.bar_label(drawn, labels, fmt=f"%.{digits}f", padding=3, fontsize=SMALL):
        text.set_bbox({"fc": "white", "ec": "none", "pad": 0.5})  # so that no line runs through it
        text.set_zorder(4)


def _told(values: pd.Series, missing: str) -> list[str]:
    return [missing if np.isnan(value) else f"{value:.1f}" for value in values]


@styled
def bars_in_groups(groups: Mapping[str, Mapping[str, float]], *, label: str, title: str = "") -> Figure:
    """Bars of several kinds on one scale, one panel and colour per kind: {kind: {name: value}}."""
    sizes = [len(values) for values in groups.values()]
    fig, axes = plt.subplots(
        len(groups),
        1,
        figsize=(WIDTH * 0.85, 0.3 * sum(sizes) + 0.5 * len(groups) + 0.7),
        sharex=True,
        squeeze=False,
        height_ratios=sizes,
    )
    for ax, (kind, values), colour in zip(axes[:, 0], groups.items(), (PALETTE[4], PALETTE[3], PALETTE[6])):
        _numbered(ax, list(values), list(values.values()), colour)
        ax.invert_yaxis()
        ax.margins(x=0.1)
        ax.set_title(kind)
    axes[-1, 0].set_xlabel(label)
    return titled(fig, title)


@styled
def metric_bars(table: pd.DataFrame, *, title: str = "") -> Figure:
    """One panel per column, one bar per row, in percent; NaN is "not reported". The index names the rows."""
    fig, axes = plt.subplots(1, table.shape[1], figsize=(WIDTH, 0.4 * len(table) + 1.2), sharey=True, squeeze=False)
    places = np.arange(len(table))
    for ax, name, colour in zip(axes[0], table.columns, (PALETTE[4], PALETTE[6], PALETTE[3])):
        _numbered(ax, places, table[name].fillna(0), colour, _told(table[name], "not reported"))
        ax.set(title=name, xlabel="percent")
        ax.margins(x=0.2)
    axes[0, 0].set_yticks(places, table.index, fontsize=SMALL)
    axes[0, 0].invert_yaxis()
    return titled(fig, title)


@styled
def method_bars(table: pd.DataFrame, full: str, baseline: str, *, value: str, title: str = "") -> Figure:
    """One panel per column (a direction), one bar per row (a method), in percent.

    The row `full` is highlighted; the dashed line is the row `baseline`. NaN is "not measured".
    """
    fig, axes = plt.subplots(1, table.shape[1], figsize=(WIDTH, 0.34 * len(table) + 1.3), sharey=True, squeeze=False)
    colours = [PALETTE[0] if name == full else QUIET if name == baseline else PALETTE[4] for name in table.index]
    for ax, name in zip(axes[0], table.columns):
        _numbered(ax, range(len(table)), table[name].fillna(0), colours, _told(table[name], "not measured"))
        ax.axvline(table.loc[baseline, name], color=QUIET, ls="--", lw=1.2)
        ax.set(title=name, xlabel=value)
        ax.margins(x=0.14)
    axes[0, 0].set_yticks(range(len(table)), table.index)
    axes[0, 0].invert_yaxis()
    return titled(fig, title)


@styled
def histograms(groups: Mapping[str, np.ndarray], *, label: str, title: str = "", bins: int = 40) -> Figure:
    """Overlaid histograms, each scaled to area 1, each with a dashed line at its mean."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.2))
    edges = np.histogram_bin_edges(np.concatenate(list(groups.values())), bins)
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
    """One row of points per group, one point per value (jittered vertically for visibility), and a bar at the mean."""
    fig, ax = plt.subplots(figsize=(WIDTH, 0.58 * len(groups) + 0.9))
    rng = np.random.default_rng(0)
    for row, (name, (colour, marker)) in enumerate(looks(list(groups)).items()):
        values = np.asarray(groups[name])
        ax.scatter(values, row + rng.uniform(-0.25, 0.25, len(values)), s=18, c=colour, marker=marker, alpha=0.7, lw=0)
        ax.plot([values.mean()] * 2, [row - 0.36, row + 0.36], color="black", lw=2)
    ax.set_yticks(range(len(groups)), [f"{name}\nmean {np.mean(v):.1f}, n = {len(v)}" for name, v in groups.items()])
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xlabel(label)
    ax.set_title(title)
    return fig
