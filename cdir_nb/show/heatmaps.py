"""Tables with coloured cells, such as scores and gains by direction."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from seaborn.utils import relative_luminance

from cdir_nb.show.style import EMPTY, SEQUENTIAL, SMALL, WIDTH, shorten, styled, titled

EQUAL_CONTRAST = 0.18  # luminance


@styled
def heat_maps(
    tables: Mapping[str, pd.DataFrame],
    *,
    down: str = "query domain",
    across: str = "gallery domain",
    title: str = "",
    digits: int = 0,
) -> Figure:
    """Tables side by side, with the number in each cell; the key of a table is its panel's title.

    Cells without a value are grey. All panels share one colour scale, from 0 to the largest number.
    """
    top = max(np.nanmax(t.to_numpy(float)) for t in tables.values())
    fig = _heat_row(tables, down, across, fmt=f".{digits}f", cmap=SEQUENTIAL, vmin=0, vmax=top)
    return titled(fig, title)


@styled
def gain_map(tables: Mapping[str, pd.DataFrame], *, title: str = "") -> Figure:
    """Differences by direction, with query domains as rows: blue is better, red is worse, on a common scale."""
    top = max(max(np.nanmax(np.abs(t.to_numpy(float))) for t in tables.values()), 1e-9)
    fig = _heat_row(tables, "query domain", "gallery domain", fmt="+.1f", cmap="RdBu", vmin=-top, vmax=top)
    return titled(fig, title)


def _heat_row(tables: Mapping[str, pd.DataFrame], down: str, across: str, **colours) -> Figure:
    """The tables side by side with the labels of their axes, and one colour bar.

    colours  number format and colour scale, arguments of `seaborn.heatmap`
    """
    rows, columns = next(iter(tables.values())).shape
    size = (min(WIDTH, 2.2 + len(tables) * (0.6 * columns + 1.2)), max(2.6, 0.34 * rows + 1.9))
    fig, axes = plt.subplots(1, len(tables), figsize=size, squeeze=False)
    for ax, (name, table) in zip(axes[0], tables.items()):
        _heat(ax, table, **colours)
        ax.set(title=name, xlabel=across, ylabel=down if ax is axes[0, 0] else "")
    fig.colorbar(axes[0, -1].collections[0], ax=axes, pad=0.01, aspect=25).outline.set_visible(False)
    return fig


def _heat(ax: Axes, table: pd.DataFrame, **colours) -> None:
    """One table with its numbers."""
    ax.set_facecolor(EMPTY)
    names = {
        "xticklabels": [shorten(name, 14) for name in table.columns],
        "yticklabels": [shorten(name, 16) for name in table.index],
    }
    font = {"fontsize": SMALL}
    lines = {"linewidths": 1, "linecolor": "white"}
    sns.heatmap(table.astype(float), ax=ax, annot=True, annot_kws=font, cbar=False, **lines, **names, **colours)
    _set_digit_colours(ax, table.shape[1])
    plt.setp(ax.get_xticklabels(), rotation=35, ha="right", rotation_mode="anchor")
    plt.setp(ax.get_yticklabels(), rotation=0)
    ax.tick_params(length=0)


def _set_digit_colours(ax: Axes, columns: int) -> None:
    """Black digits on pale cells, white on dark ones: at a luminance of 0.18 both have the same contrast (WCAG 2)."""
    colours = np.asarray(ax.collections[0].get_facecolor())
    for text in ax.texts:
        column, row = (int(position) for position in text.get_position())
        pale = relative_luminance(colours[row * columns + column]) > EQUAL_CONTRAST
        text.set_color("black" if pale else "white")
