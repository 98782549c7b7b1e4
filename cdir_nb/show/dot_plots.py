"""Dot plots: one row per method, or part of one, with its mean and its seeds."""

import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdir_nb.results.summary import Block
from cdir_nb.show.style import MARKERS, PALETTE, QUIET, SMALL, WIDTH, keys_of, styled, titled

ROW = 0.24  # inches
NAME = 46  # characters of a name on one line
SOURCE_LOOKS: dict[str, dict[str, Any]] = {  # by the first word of a source in `seed_dots`
    "drawn": {"marker": "s", "color": "#9A9A9A"},
    "real": {"marker": "o", "color": PALETTE[0]},
    "published": {"marker": "D", "color": PALETTE[1], "mfc": "none"},
    "this": {"marker": "*", "color": PALETTE[3]},
}


@styled
def headline_dots(block: Block, *, title: str = "") -> Figure:
    """One row per method, in percent; the bar is ± the standard deviation over seeds, the dashed line the first row.

    Colour and shape show the selection rule. A mean over some of the directions is hollow.
    """
    names = list(dict.fromkeys(line.marked_name for line in block.lines))
    fig, ax = plt.subplots(figsize=(WIDTH, ROW * len(names) + 1.3))
    for i, (rule, lines) in enumerate(block.rules.items()):
        colour, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        shift = 0.16 * (i - (len(block.rules) - 1) / 2)
        for number, line in enumerate(lines):
            ax.errorbar(
                line.percent, names.index(line.marked_name) + shift, xerr=line.spread, fmt=marker, color=colour, ms=5,
                mfc="white" if line.is_partial else colour, lw=1.4, label=rule if number == 0 else None,
            )  # fmt: skip
    if any(line.gain is not None for line in block.lines):
        ax.axvline(block.lines[0].percent, color=QUIET, ls="--", lw=1)
    ax.set_yticks(range(len(names)), [textwrap.fill(name, NAME) for name in names], fontsize=SMALL)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel=f"{block.metric} in percent")
    ax.grid(axis="x")
    if len(block.rules) > 1:
        fig.legend(loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return titled(fig, title)


@styled
def seed_dots(panels: Mapping[str, pd.DataFrame], *, values: Mapping[str, str], title: str = "") -> Figure:
    """One row per name, with a small dot for each seed and a large marker at the mean; one panel per table.

    panels  {title: table with columns name, source and value}, one line per seed; names from top to bottom in order of
            first appearance. The first word of a source decides its look: drawn (grey), real (filled), published
            (hollow), this (a star, for "this run")
    values  {title: label of the x-axis}; a panel with values below and above zero has a line at zero
    """
    rows = max(table["name"].nunique() for table in panels.values())
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 0.42 * rows + 1.5), squeeze=False)
    for ax, (name, table) in zip(axes[0], panels.items()):
        _draw_seeds(ax, table)
        ax.set(title=name, xlabel=values[name])
    if len({tuple(dict.fromkeys(table["name"])) for table in panels.values()}) == 1:  # the same rows in all panels
        for ax in axes[0, 1:]:
            ax.set_yticklabels([])
    keys = keys_of(axes[0])
    fig.legend(keys.values(), keys, loc="outside lower left", ncols=3)
    return titled(fig, title)


def _draw_seeds(ax: Axes, table: pd.DataFrame) -> None:
    names, sources = (list(dict.fromkeys(table[column])) for column in ("name", "source"))
    for i, source in enumerate(sources):
        look = next(look for word, look in SOURCE_LOOKS.items() if source.startswith(word))
        shift = 0.22 * (i - (len(sources) - 1) / 2)
        for row, name in enumerate(names):
            seeds = table.loc[(table["name"] == name) & (table["source"] == source), "value"].to_numpy()
            if len(seeds) > 1:
                ax.plot(seeds, [row + shift] * len(seeds), ls="-", lw=1.2, marker=".", ms=5, color=look["color"])
            if len(seeds):
                size = 12 if look["marker"] == "*" else 7.5
                ax.plot(seeds.mean(), row + shift, ls="", ms=size, mew=1.4, label=source, zorder=3, **look)
    values = table["value"].to_numpy()
    if values.min() < 0 < values.max():
        ax.axvline(0, color=QUIET, lw=1.2, zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(True, axis="x")
