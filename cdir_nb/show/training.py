"""Curves over training and over settings: losses and scores by epoch, stopping rules, sensitivity."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cdir_nb.conventions import SELECTION_RULES
from cdir_nb.results.aggregate import RULES, selected
from cdir_nb.show.style import PALETTE, QUIET, SMALL, WIDTH, keys_of, looks, pretty, shorten, styled, titled

MOVED, WEIGHT, TOTAL = "moved, ", "weight ", "L_total"


@styled
def training_history(history: Sequence[Mapping[str, Any]], *, title: str = "") -> Figure:
    """Curves over epochs: losses, the score by each selection rule, and the relative change of each parameter group.

    Losses are unweighted. If their weights change during training, a fourth panel shows the weights. A panel without
    data is labelled as such.

    history  `Fitted.history`; for several pairs of domains, thick lines are means over the pairs, and thin lines are
             single pairs
    """
    table = pd.DataFrame(history)
    losses = {name: _loss_label(name) for name in table if name.startswith("L_")}
    scores = {name: name for name in table if name in SELECTION_RULES}
    moved = {name: name.removeprefix(MOVED) for name in table if name.startswith(MOVED)}
    weights = {name: _loss_label(name.removeprefix(WEIGHT)) for name in table if name.startswith(WEIGHT)}
    if all(table[name].nunique() == 1 for name in weights):
        weights = {}
    look = looks(list(losses)) | looks(list(scores)) | looks(list(moved))
    look |= {WEIGHT + name: look[name] for name in losses}
    fig, axes = plt.subplots(1, 4 if weights else 3, figsize=(WIDTH, 3.9))
    _history_panel(axes[0], table, losses, look, "losses, mean per step")
    _history_panel(axes[1], table, scores, look, "score of each rule (%)", 100, empty="nothing is validated")
    _history_panel(axes[2], table, moved, look, "movement (% of the start)", 100)
    if weights:
        _history_panel(axes[3], table, weights, look, "weight of each loss")
    return titled(fig, title)


def _loss_label(name: str) -> str:
    spaced = name[2:].replace("_", "\\ ")  # a second underscore would be a subscript of the subscript
    return "total, weighted" if name == TOTAL else f"$L_{{{spaced}}}$"


def _history_panel(
    ax: Axes,
    table: pd.DataFrame,
    labels: Mapping[str, str],
    look: Mapping[str, tuple[str, str]],
    title: str,
    factor: float = 1,
    *,
    empty: str = "",
) -> None:
    """One line per column {column: label}, by epoch, and the legend; `empty` is the text of a panel without columns."""
    parts = [part.set_index("epoch") for _, part in table.groupby("domains", sort=False)]
    for name, label in labels.items():
        colour = look[name][0]
        for part in parts if len(parts) > 1 else []:
            ax.plot(factor * part[name], color=colour, lw=0.6, alpha=0.45)
        mean: Any = table.groupby("epoch")[name].mean()  # a Series, which pandas does not declare
        ax.plot(factor * mean, "--" if name == TOTAL else "-", color=colour, lw=2, label=label)
    ax.set(title=title, xlabel="epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(True)
    if labels:
        ax.legend(fontsize=SMALL, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2 if len(labels) > 3 else 1)
    else:
        ax.text(0.5, 0.5, empty, ha="center", va="center", transform=ax.transAxes)
        ax.set(xticks=[], yticks=[], xlabel="")


@styled
def value_curves(panels: Mapping[str, pd.DataFrame], *, value: str, title: str = "") -> Figure:
    """Curves over epochs, steps or a setting: one panel per table, and one curve per column over the table's index.

    The x-axis is labelled with the name of the index; all panels share one scale and one legend.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.5), sharey=True, squeeze=False)
    look = looks(list(dict.fromkeys(name for table in panels.values() for name in table)))
    for ax, (panel, table) in zip(axes[0], panels.items()):
        for name, (colour, marker) in look.items():
            if name in table:
                markers = {"marker": marker, "ms": 5, "markevery": max(1, len(table) // 6)}
                ax.plot(table[name], color=colour, label=pretty(name), **markers)
        ax.set(title=pretty(panel), xlabel=table.index.name)
        ax.grid(True)
    axes[0, 0].set_ylabel(value)
    keys = keys_of(axes[0])
    fig.legend(keys.values(), keys, loc="outside lower left", ncols=6)
    return titled(fig, title)


@styled
def seed_curves(
    curves: Mapping[str, np.ndarray], baselines: Mapping[str, float], *, value: str, title: str = ""
) -> Figure:
    """Curves over epochs, from epoch 0: the mean over seeds, and a band from the lowest to the highest seed.

    curves     {name: (seeds, epochs + 1)}; baselines: {name: value}, drawn as dashed lines
    """
    fig, ax = plt.subplots(figsize=(WIDTH, 3.7))
    for name, (colour, marker) in looks(list(curves)).items():
        epochs, runs = np.arange(curves[name].shape[1]), curves[name]
        ax.fill_between(epochs, runs.min(0), runs.max(0), color=colour, alpha=0.18, lw=0)
        ax.plot(epochs, runs.mean(0), color=colour, marker=marker, ms=4, label=name)
    for (name, level), dash in zip(baselines.items(), ("--", ":", "-.")):
        ax.axhline(level, color=QUIET, ls=dash, lw=1.3, label=name)
    ax.set(xlabel="epoch", ylabel=value)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(True)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return titled(fig, title)


@styled
def stopping_figure(panels: Mapping[str, pd.DataFrame], patience: int, *, value: str, title: str = "") -> Figure:
    """Validation over epochs, one panel per training, with the best epoch and the one where `patience` ends marked.

    panels  tables over epochs; the first column decides, others are drawn thinner
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.7), squeeze=False)
    for ax, (name, table) in zip(axes[0], panels.items()):
        for column, colour, style in zip(table, (PALETTE[0], QUIET), ({"lw": 2, "marker": "o", "ms": 4}, {"ls": "--"})):
            ax.plot(table[column], color=colour, label=column, **style)
        deciding = table.iloc[:, 0]
        best = int(deciding.idxmax())
        ax.plot(best, deciding[best], "o", ms=12, mfc="none", mec=PALETTE[1], mew=1.8, ls="", label="best epoch")
        if best + patience <= table.index[-1]:
            ax.axvline(
                best + patience, color=PALETTE[3], ls=":", lw=1.6, label=f"stop: {patience} epochs without a better one"
            )
        ax.set(title=name, xlabel="epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(True)
    axes[0, 0].set_ylabel(value)
    keys = keys_of(axes[0])
    fig.legend(keys.values(), keys, loc="outside lower left", ncols=4)
    return titled(fig, title)


@styled
def training_runs(panels: Mapping[str, Sequence[pd.DataFrame]], *, label: str, title: str = "") -> Figure:
    """Scores over steps, one panel per training set and one line per run; markers show the step that each rule selects.

    panels  {name: runs}; a run has the step as index and columns "test" and "validation" in percent (see `selected`)
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.9), sharey=True, squeeze=False)
    look = {rule: {"marker": marker, "color": PALETTE[1 + i]} for i, (rule, marker) in enumerate(zip(RULES, "so^"))}
    for ax, (name, runs) in zip(axes[0], panels.items()):
        for run in runs:
            ax.plot(run["test"], color=PALETTE[0], lw=0.8, alpha=0.6)
            for rule, stop in selected(run).iterrows():
                style = {**look[str(rule)], "ls": "", "ms": 6, "mec": "white", "mew": 0.6}
                ax.plot(stop["step"], stop["test"], label=rule, clip_on=False, zorder=3, **style)
        validation = pd.concat([run["validation"] for run in runs], axis=1).mean(axis=1)
        ax.plot(validation, color=QUIET, ls="--", lw=1.2, label="validation set (mean of runs)")
        ax.set(title=name, xlabel="step")
        ax.grid(True)
    axes[0, 0].set_ylabel(label)
    keys = keys_of(axes[0, :1])
    fig.legend(keys.values(), keys, loc="outside lower center", ncols=4)
    return titled(fig, title)


@styled
def sensitivity(table: pd.DataFrame, *, value: str, title: str = "", columns: int = 4) -> Figure:
    """One panel per setting: gain over vanilla CLIP (points), mean and range over seeds; a circle marks the default.

    table  columns setting, value, seed, percent, default (bool), vanilla (percent)
    """
    table = table.assign(percent=table["percent"] - table["vanilla"])
    names = list(dict.fromkeys(table["setting"]))
    rows = -(-len(names) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(WIDTH, 1.95 * rows + 0.6), sharey=True, squeeze=False)
    for ax, name in zip(axes.flat, names):
        _sensitivity_panel(ax, table.loc[table["setting"] == name])
        ax.set_title(name.replace("_", " "), fontsize=9.5)
        ax.axhline(0, color=QUIET, ls="--", lw=1.1)
    for ax in axes.flat[len(names) :]:
        ax.axis("off")
    plt.setp(axes[:, 0], ylabel=f"gain in {value},\npoints")
    return titled(fig, title)


@styled
def tornado(table: pd.DataFrame, *, value: str, title: str = "") -> Figure:
    """How much each setting matters: one panel per task, and one bar per setting over the means of its values.

    0 is the default; the values at both ends of a bar are written beside it. Settings with the longest bar in the first
    panel are on top.

    table  columns task, setting, value, seed, percent, default (bool), with the default of each setting
    """
    groups = table.groupby(["task", "setting", "value"], sort=False)
    means: Any = groups["percent"].mean()
    default = means[groups["default"].any()].droplevel("value")
    change = means - default.reindex(means.index.droplevel("value")).to_numpy()
    length = change.groupby(["task", "setting"], sort=False).agg(np.ptp)
    tasks = list(dict.fromkeys(table["task"]))
    names = list(length[tasks[0]].sort_values(ascending=False, kind="stable").index)
    fig, axes = plt.subplots(1, len(tasks), figsize=(WIDTH, 0.3 * len(names) + 1.2), sharey=True, squeeze=False)
    for ax, task in zip(axes[0], tasks):
        for row, name in enumerate(names):
            values = change[task, name]
            ax.barh(row, np.ptp(values), left=values.min(), height=0.6, color=PALETTE[4])
            for end, alignment in ((values.idxmin(), "right"), (values.idxmax(), "left")):
                if values[end]:
                    text = f" {_value_text(end)} "
                    ax.text(values[end], row, text, ha=alignment, va="center", fontsize=SMALL)
        ax.axvline(0, color=QUIET, lw=1.2)
        ax.set(title=task, xlabel=f"{value}, points from the default")
        ax.use_sticky_edges = False  # otherwise there is no margin at the left end of a bar
        ax.margins(x=0.25)
    axes[0, 0].set_yticks(range(len(names)), [pretty(name) for name in names])
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    return titled(fig, title)


def _sensitivity_panel(ax: Axes, table: pd.DataFrame) -> None:
    """Values side by side: numbers in ascending order, then texts in alphabetical order."""
    order = sorted(set(table["value"]), key=lambda text: (_number(text) is None, _number(text) or 0.0, str(text)))
    groups = table.groupby("value", sort=False)
    percent = groups["percent"].agg(["mean", "min", "max"]).reindex(order)
    error = [percent["mean"] - percent["min"], percent["max"] - percent["mean"]]
    ax.errorbar(range(len(order)), percent["mean"], yerr=error, color=PALETTE[0], marker="o", ms=4, capsize=2, lw=1.2)
    for i in np.flatnonzero(groups["default"].any().reindex(order))[:1]:
        ax.plot(i, percent["mean"].iloc[i], "o", ms=10, mfc="none", mec=PALETTE[1], mew=1.6)  # pyright: ignore[reportAttributeAccessIssue]
    ax.set_xticks(range(len(order)), [_value_text(value) for value in order], fontsize=SMALL)
    ax.margins(x=0.15)


def _value_text(value: object) -> str:
    number = _number(value)
    return shorten(str(value), 9) if number is None or isinstance(value, (bool, np.bool_)) else f"{number:g}"


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
