"""Dot plots: one row per method with its mean and the spread over seeds."""

import textwrap

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from cdir_nb.results.summary import Block
from cdir_nb.show.style import MARKERS, PALETTE, QUIET, SMALL, WIDTH, styled, titled

ROW = 0.24  # inches
NAME = 46  # characters of a name on one line


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
