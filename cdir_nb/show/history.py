"""The course of any training of the workbook: losses, scores by which a state may be selected, movement."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cdir_nb.conventions import SELECTION_RULES
from cdir_nb.show.style import SMALL, WIDTH, looks, styled, titled

MOVED, TOTAL = "moved, ", "L_total"


@styled
def training_history(history: Sequence[Mapping[str, Any]], *, title: str = "") -> Figure:
    """Three panels by epoch: each loss, the score of each selection rule, how far each group of parameters moved.

    history  `Fitted.history`; with several pairs of domains, thick lines are means over them and thin ones single pairs
    Losses are values before weighting. Panels without content say so.
    """
    table = pd.DataFrame(history)
    losses = {name: _loss_name(name) for name in table if name.startswith("L_")}
    scores = {name: name for name in table if name in SELECTION_RULES}
    moved = {name: name.removeprefix(MOVED) for name in table if name.startswith(MOVED)}
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.9))
    _panel(axes[0], table, losses, "losses, mean per step")
    _panel(axes[1], table, scores, "score of each rule (%)", lambda x: 100 * x, empty="nothing is validated")
    _panel(axes[2], table, moved, "movement (% of the start)", lambda x: 100 * x)
    return titled(fig, title)


def _loss_name(name: str) -> str:
    spaced = name[2:].replace("_", "\\ ")  # a second underscore would be a subscript of the subscript
    return "total, weighted" if name == TOTAL else f"$L_{{{spaced}}}$"


def _panel(
    ax: Axes,
    table: pd.DataFrame,
    columns: Mapping[str, str],
    title: str,
    scaled: Callable[[pd.Series], pd.Series] = lambda x: x,
    *,
    empty: str = "",
) -> None:
    """One line per column, by epoch, and the legend; `empty` is written where there is no column."""
    parts = [part.set_index("epoch") for _, part in table.groupby("domains", sort=False)]
    for name, (colour, _) in looks(list(columns)).items():
        for part in parts if len(parts) > 1 else []:
            ax.plot(scaled(part[name]), color=colour, lw=0.6, alpha=0.45)
        mean = table.groupby("epoch")[name].mean()
        ax.plot(scaled(mean), "--" if name == TOTAL else "-", color=colour, lw=2, label=columns[name])
    ax.set(title=title, xlabel="epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(True)
    if columns:
        ax.legend(fontsize=SMALL, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2 if len(columns) > 3 else 1)
    else:
        ax.text(0.5, 0.5, empty, ha="center", va="center", transform=ax.transAxes)
        ax.set(xticks=[], yticks=[], xlabel="")
