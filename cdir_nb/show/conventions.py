"""Figures of one ranking with many numbers: hits by rank, conventions over k, rank shifts, runs and where they stop."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cdir_nb.results.selection import RULES, selected
from cdir_nb.show.grids import MARK
from cdir_nb.show.style import PALETTE, QUIET, RIGHT, WIDTH, WRONG, looks, styled

PANELS = {"precision": "P@k", "average_precision": "mAP@k"}
DASHES = ("-", "--", ":", "-.")  # lines that lie on each other stay visible


@styled
def rank_strips(queries: Mapping[str, Sequence[bool]], *, title: str = "") -> Figure:
    """A row of squares a query, right or wrong by rank, and below each right one the precision at its rank."""
    longest = max(map(len, queries.values()))
    fig, ax = plt.subplots(figsize=(WIDTH * 0.8, 0.95 * len(queries) + 0.7))
    for row, (name, relevant) in enumerate(queries.items()):
        ax.text(-0.25, row + 0.4, name, ha="right", va="center")
        for place, right in enumerate(relevant):
            colour = RIGHT if right else WRONG
            ax.add_patch(Rectangle((place, row), 0.9, 0.72, fc=colour, alpha=0.15, ec="none"))
            ax.add_patch(Rectangle((place, row), 0.9, 0.72, fill=False, ec=colour, lw=1.6, ls="-" if right else "--"))
            text = f"{MARK[right]}\n{sum(relevant[: place + 1])}/{place + 1}" if right else MARK[right]
            ax.text(place + 0.45, row + 0.36, text, ha="center", va="center", color=colour)
    ax.set(xlim=(-0.1, longest), ylim=(len(queries) - 0.1, -0.1), yticks=[])
    ax.set_xticks(np.arange(longest) + 0.45, [f"rank {i}" for i in range(1, longest + 1)])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    return fig


@styled
def convention_curves(galleries: Mapping[str, pd.DataFrame], k: int, *, title: str = "") -> Figure:
    """Every convention over the cut-off, precision left and average precision right, one row a gallery.

    galleries  tables with columns metric, convention, k, value (a fraction), as rows of `PerQuery.row`
    k          where the values are read off, into each panel's legend (the nearest that was measured)
    """
    fig, axes = plt.subplots(len(galleries), 2, figsize=(WIDTH, 2.7 * len(galleries) + 0.5), sharex=True, squeeze=False)
    for row, (name, table) in zip(axes, galleries.items()):
        k = int(min(table["k"].unique(), key=lambda known: abs(known - k)))
        for ax, (metric, label) in zip(row, PANELS.items()):
            _curves(ax, table[table["metric"] == metric], k)
            ax.set(title=f"{label}, {name}", ylim=(0, 102), ylabel="percent" if ax is row[0] else "")
    plt.setp(axes[-1], xlabel="cut-off k")
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _curves(ax: Axes, table: pd.DataFrame, k: int) -> None:
    names = list(dict.fromkeys(table["convention"]))
    for i, (name, (colour, marker)) in enumerate(looks(names).items()):
        line = 100 * table[table["convention"] == name].set_index("k")["value"]
        ax.plot(line.index, line, color=colour, ls=DASHES[i % len(DASHES)])
        ax.plot(
            [k],
            [line[k]],
            color=colour,
            marker=marker,
            ms=6,
            ls=DASHES[i % len(DASHES)],
            label=f"{line[k]:.1f}  {name}",
        )
    ax.axvline(k, color=QUIET, lw=0.9, zorder=0)
    ax.legend(title=f"at k = {k}", fontsize=8, title_fontsize=8, alignment="left", handlelength=2.4)
    ax.grid(True)


@styled
def metric_bars(table: pd.DataFrame, *, title: str = "") -> Figure:
    """One panel a column, one bar a row, in percent; NaN is "not reported". The index names the rows."""
    fig, axes = plt.subplots(1, table.shape[1], figsize=(WIDTH, 0.4 * len(table) + 1.2), sharey=True, squeeze=False)
    places = np.arange(len(table))
    for ax, name, colour in zip(axes[0], table.columns, (PALETTE[4], PALETTE[6], PALETTE[3])):
        drawn = ax.barh(places, table[name].fillna(0), color=colour)
        labels = ["not reported" if np.isnan(value) else f"{value:.1f}" for value in table[name]]
        ax.bar_label(drawn, labels, padding=3, fontsize=9)
        ax.set(title=name, xlabel="percent")
        ax.margins(x=0.2)
    axes[0, 0].set_yticks(places, table.index, fontsize=8.5)
    axes[0, 0].invert_yaxis()
    fig.suptitle(title, x=0.01, ha="left")
    return fig


@styled
def rank_shifts(norms: np.ndarray, shifts: Mapping[str, np.ndarray], *, title: str = "") -> Figure:
    """Gallery images by the length of their vectors (G,) and how many ranks each rises on average, one panel a
    similarity: {name: (G,) mean rank by cosine minus mean rank by this one}."""
    fig, axes = plt.subplots(1, len(shifts), figsize=(WIDTH, 3.2), sharey=True, squeeze=False)
    for ax, (name, shift) in zip(axes[0], shifts.items()):
        ax.axhline(0, color=QUIET, lw=1)
        ax.scatter(norms, shift, s=12, color=PALETTE[0], alpha=0.5, lw=0)
        ax.set(title=f"{name}\n{_told(norms, shift)}", xlabel="length of the gallery vector")
    axes[0, 0].set_ylabel("ranks gained over cosine")
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _told(norms: np.ndarray, shift: np.ndarray) -> str:
    if not np.any(shift):
        return "the order is the same"
    return f"rank correlation {pd.Series(norms).corr(pd.Series(shift), method='spearman'):+.2f}"


@styled
def training_runs(panels: Mapping[str, Sequence[pd.DataFrame]], *, label: str, title: str = "") -> Figure:
    """Scores over training, one panel a training set, one thin line a run, marked where each rule stops.

    panels  {name: runs}; a run has index step and columns "test" and "validation", in percent (`selected`)
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.9), sharey=True, squeeze=False)
    rules = dict(zip(RULES, ("s", "o", "^")))
    for ax, (name, runs) in zip(axes[0], panels.items()):
        for run in runs:
            ax.plot(run["test"], color=PALETTE[0], lw=0.8, alpha=0.6)
            for rule, stop in selected(run).iterrows():
                ax.plot(
                    stop["step"],
                    stop["test"],
                    rules[rule],
                    color=PALETTE[1 + RULES.index(rule)],
                    ms=6,
                    mec="white",
                    mew=0.6,
                    label=rule,
                    clip_on=False,
                    zorder=3,
                )
        validation = pd.concat([run["validation"] for run in runs], axis=1).mean(axis=1)
        ax.plot(validation, color=QUIET, ls="--", lw=1.2, label="validation set (mean of runs)")
        ax.set(title=name, xlabel="step")
        ax.grid(True)
    axes[0, 0].set_ylabel(label)
    found = dict(zip(*reversed(axes[0, 0].get_legend_handles_labels())))
    fig.legend(found.values(), found.keys(), loc="outside lower center", ncols=4)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


@styled
def bars_in_groups(groups: Mapping[str, Mapping[str, float]], *, label: str, title: str = "") -> Figure:
    """Bars of several kinds on one scale, a panel and a colour each: {kind: {name: value}}."""
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
        drawn = ax.barh(list(values), list(values.values()), color=colour)
        ax.bar_label(drawn, fmt="%.1f", padding=3, fontsize=9)
        ax.invert_yaxis()
        ax.margins(x=0.1)
        ax.set_title(kind)
    axes[-1, 0].set_xlabel(label)
    fig.suptitle(title, x=0.01, ha="left")
    return fig
