"""Dot plots: one row per method, or part of one, with its mean and its seeds; intervals around 0."""

import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdir_nb.results.summary import Block
from cdir_nb.show.style import EMPTY, MARKERS, PALETTE, QUIET, SMALL, WIDTH, keys_of, looks, styled, titled

ROW, ROW_OF_TWO = 0.24, 0.36  # inches, for names of one and of two lines
NAME = 46  # characters of a name on one line
CLAIM = 42  # characters of a claim on one line
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
    texts = [textwrap.fill(name, NAME) for name in names]
    height = ROW_OF_TWO if any("\n" in text for text in texts) else ROW
    fig, ax = plt.subplots(figsize=(WIDTH, height * len(names) + 1.3))
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
    ax.set_yticks(range(len(names)), texts, fontsize=SMALL)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel=f"{block.metric} in percent")
    ax.grid(axis="x")
    if len(block.rules) > 1:
        fig.legend(loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return titled(fig, title)


@styled
def claim_points(table: pd.DataFrame, *, title: str = "") -> Figure:
    """Claims (rows): how far the better method is above the worse one, by source of the numbers.

    The row order and the sources' colours follow the table; hollow markers are the sources named "paper".

    table  columns claim, source, differences (points, one per seed), low and high (95 % interval over classes; NaN:
           unknown), above (number of directions in which the claim holds, per seed), directions (0: unknown)
    """
    claims, sources = (list(dict.fromkeys(table[column])) for column in ("claim", "source"))
    rows: list[dict[str, Any]] = table.to_dict("records")  # pyright: ignore[reportAssignmentType]
    fig, ax = plt.subplots(figsize=(WIDTH, 0.62 * len(claims) + 1.2))
    for s, (source, (colour, marker)) in enumerate(looks(sources).items()):
        for row in (row for row in rows if row["source"] == source):
            y = claims.index(row["claim"]) + (s - (len(sources) - 1) / 2) * 0.8 / len(sources)
            mean = np.mean(row["differences"])
            ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=5, alpha=0.3, solid_capstyle="butt")
            ax.plot([min(row["differences"]), max(row["differences"])], [y, y], color=colour, lw=1.6)
            ax.plot(mean, y, marker, color=colour, mfc="white" if source == "paper" else colour, ms=6)
            if row["directions"]:
                ax.annotate(f"{min(row['above'])}/{row['directions']}", (1.01, y), xycoords=("axes fraction", "data"),
                            va="center", fontsize=SMALL - 2, color=QUIET)  # fmt: skip
        ax.plot([], [], marker, ls="", color=colour, mfc="white" if source == "paper" else colour, label=source)
    ax.axvline(0, color=QUIET, ls="--", lw=1)
    ax.set_yticks(range(len(claims)), [textwrap.fill(claim, CLAIM) for claim in claims])
    ax.set_ylim(len(claims) - 0.4, -0.6)
    ax.set_xlabel("points above the method that it is compared with; right: directions that bear the claim out")
    ax.grid(axis="y", visible=False)
    for y in range(1, len(claims)):
        ax.axhline(y - 0.5, color=EMPTY, lw=1)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=len(sources))
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


@styled
def intervals(
    rows: Mapping[str, tuple[float, float]], marks: Mapping[str, float], *, label: str, title: str = ""
) -> Figure:
    """Intervals around 0, one per row with its ends, and a dashed line with a key for each value that they may cover.

    rows   {name: (low, high)}, such as a confidence interval minus the number itself
    marks  {name: value}, such as published differences
    """
    fig, ax = plt.subplots(figsize=(WIDTH, 0.42 * len(rows) + 0.25 * len(marks) + 1.2))
    for row, (low, high) in enumerate(rows.values()):
        ax.errorbar(0, row, xerr=[[-low], [high]], color=PALETTE[0], capsize=4, lw=2.4)
        ax.text(1.01, row, f"{low:+.1f} to {high:+.1f}", va="center", transform=ax.get_yaxis_transform())
    ax.axvline(0, color=QUIET, lw=1.2, zorder=0)
    for i, (name, value) in enumerate(marks.items()):
        ax.axvline(value, color=PALETTE[(1, 2, 3, 5)[i % 4]], ls="--", lw=1.3, zorder=0, label=f"{value:.1f}  {name}")
    ax.set_yticks(range(len(rows)), rows)
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel=label)
    fig.legend(loc="outside lower left", ncols=1)
    return titled(fig, title)
