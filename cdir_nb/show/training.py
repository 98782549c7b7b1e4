"""Curves over training and over settings: losses, scores by step, stopping rules, sensitivity."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cdir_nb.conventions import BY_PSEUDO_LABELS, BY_SEEN_LABELS
from cdir_nb.results.aggregate import RULES, selected
from cdir_nb.show.style import EMPTY, PALETTE, QUIET, SMALL, WIDTH, keys_of, looks, pretty, shorten, styled, titled


@styled
def value_curves(panels: Mapping[str, pd.DataFrame], *, value: str, title: str = "") -> Figure:
    """Numbers over epochs, steps or a setting: a panel for each table, a curve for each of its columns over its index,
    whose name is written below; one scale and one legend."""
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.5), sharey=True, squeeze=False)
    look = looks(list(dict.fromkeys(name for table in panels.values() for name in table)))
    for ax, (panel, table) in zip(axes[0], panels.items()):
        for name, (colour, marker) in look.items():
            if name in table:
                marks = {"marker": marker, "ms": 5, "markevery": max(1, len(table) // 6)}
                ax.plot(table[name], color=colour, label=pretty(name), **marks)
        ax.set(title=pretty(panel), xlabel=table.index.name)
        ax.grid(True)
    axes[0, 0].set_ylabel(value)
    keys = keys_of(axes[0])
    fig.legend(keys.values(), keys, loc="outside lower left", ncols=6)
    return titled(fig, title)


@styled
def training_curves(history: Sequence[Mapping[str, float]], *, title: str = "") -> Figure:
    """Losses at each step (left, log scale), and cosines between two domains: smallest, mean, largest (right)."""
    table = pd.DataFrame(history)
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2))
    for i, name in enumerate(name for name in table.columns if name.startswith("L_") and name != "L_total"):
        axes[0].plot(
            table[name].clip(lower=1e-4), ls=["-", "--"][i % 2], color=PALETTE[i], label=f"${name[:2]}{{{name[2:]}}}$"
        )
    axes[0].set(yscale="log", xlabel="step", title="losses")
    axes[0].legend()
    axes[1].fill_between(
        table.index,
        table["least cosine"],
        table["greatest cosine"],
        color=PALETTE[4],
        alpha=0.4,
        lw=0,
        label="smallest to largest",
    )
    axes[1].plot(table["mean cosine"], color=PALETTE[0], label="mean")
    axes[1].set(xlabel="step", ylim=(-1, 1.02), title="cosine between two domains (“A [DOMAIN] style of”)")
    axes[1].legend(loc="lower left", ncols=2)
    return titled(fig, title)


@styled
def clair_curves(
    histories: Mapping[str, Sequence[Mapping[str, float]]], chosen: Mapping[str, int], *, title: str = ""
) -> Figure:
    """By epoch: change in the losses of the first method; validation score and changed labels of all methods.

    histories  one row per epoch; a row of epoch 0 holds the scores of the start
    chosen     the epoch selected by validation for each method, circled; epoch 0 is the start, before any training
    Dotted: the score of the first method by true labels. Without a validation part there are no scores.
    """
    tables = {name: pd.DataFrame(history).set_index("epoch") for name, history in histories.items()}
    first = next(iter(tables))
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.6 + 0.08 * len(tables)))
    losses = tables[first].filter(regex="^L_").dropna()
    for name, (colour, marker) in looks(list(losses)).items():
        axes[0].plot(
            losses[name] - losses[name].iloc[0],
            color=colour,
            marker=marker,
            ms=4,
            label=f"$L_{{{name[2:]}}}$: {losses[name].iloc[0]:.2f}",
        )
    axes[0].legend(title="in the first epoch", fontsize=SMALL, title_fontsize=SMALL, loc="lower left", ncols=2)
    for name, (colour, marker) in looks(list(tables)).items():
        how = {"color": colour, "marker": marker, "ms": 4, "lw": 2.6 if name == first else 1.3, "label": name}
        table = tables[name].reindex(columns=[BY_PSEUDO_LABELS, "labels changed"])
        axes[1].plot(100 * table[BY_PSEUDO_LABELS], **how)
        axes[2].plot(100 * table["labels changed"].fillna(0.0), **how)
        if chosen[name] in table.index:
            axes[1].plot(chosen[name], 100 * table[BY_PSEUDO_LABELS][chosen[name]], "o", ms=11, mfc="none", mec=colour)
    if BY_SEEN_LABELS in tables[first]:
        axes[1].plot(100 * tables[first][BY_SEEN_LABELS], ":", color="#555555", label=f"{first}, by true labels")
    for ax, name in zip(axes, (f"losses of {first}, change", "validation P@5 (%)", "labels changed (%)")):
        ax.set(title=name, xlabel="epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.margins(x=0.12, y=0.12)
        ax.grid(True)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low - 0.7 * (high - low), high)  # room for the legend
    fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return titled(fig, title)


@styled
def weighted_curves(history: Sequence[Mapping[str, float]], *, title: str = "") -> Figure:
    """One panel per loss: its value by epoch (line), behind it the course of its weight, scaled to the panel (area).

    history  `Fitted.history` of one part: rows with "epoch", "L_...", and "weight L_..."; a loss without a weight, such
             as the total, is left out
    """
    table = pd.DataFrame(history).set_index("epoch")
    names = [name for name in table if f"weight {name}" in table]
    fig, axes = plt.subplots(1, len(names), figsize=(WIDTH, 2.9), squeeze=False)
    for ax, (name, (colour, marker)) in zip(axes[0], looks(names).items()):
        weight = table[f"weight {name}"].fillna(0)
        top = max(weight.max(), 1e-9)
        ax.fill_between(weight.index, weight / top, transform=ax.get_xaxis_transform(), color=EMPTY, lw=0, zorder=0)
        ax.plot(table[name], color=colour, marker=marker, ms=4, markevery=0.2)
        ax.set(title=f"$L_{{{name[2:]}}}$, weight up to {weight.max():g}", xlabel="epoch", xlim=(1, table.index[-1]))
        ax.margins(y=0.12)
    return titled(fig, title)


@styled
def training_runs(panels: Mapping[str, Sequence[pd.DataFrame]], *, label: str, title: str = "") -> Figure:
    """Scores over training, one panel per training set, one thin line per run, with markers where each rule stops.

    panels  {name: runs}; a run has the step as index and columns "test" and "validation" in percent (see `selected`)
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
    keys = keys_of(axes[0, :1])
    fig.legend(keys.values(), keys, loc="outside lower center", ncols=4)
    return titled(fig, title)


@styled
def sensitivity(table: pd.DataFrame, *, value: str, title: str = "", columns: int = 4) -> Figure:
    """Small panels, one per setting: mean and range over seeds, the default circled, vanilla CLIP dashed.

    table  columns setting, value, seed, percent, default (bool), vanilla
    """
    names = list(dict.fromkeys(table["setting"]))
    rows = -(-len(names) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(WIDTH, 1.95 * rows + 0.6), sharey=True, squeeze=False)
    for ax, name in zip(axes.flat, names):
        _setting(ax, table[table["setting"] == name])
        ax.set_title(name.replace("_", " "), fontsize=9.5)
        ax.axhline(table["vanilla"].iloc[0], color=QUIET, ls="--", lw=1.1)
    for ax in axes.flat[len(names) :]:
        ax.axis("off")
    plt.setp(axes[:, 0], ylabel=value)
    return titled(fig, title)


def _setting(ax: Axes, table: pd.DataFrame) -> None:
    """One panel: values side by side, numbers in ascending order, then texts in alphabetical order."""
    order = sorted(set(table["value"]), key=lambda text: (_number(text) is None, _number(text) or 0.0, str(text)))
    groups = [table[table["value"] == value] for value in order]
    means = np.array([group["percent"].mean() for group in groups])
    spread = [means - [g["percent"].min() for g in groups], [g["percent"].max() for g in groups] - means]
    ax.errorbar(range(len(order)), means, yerr=spread, color=PALETTE[0], marker="o", ms=4, capsize=2, lw=1.2)
    at = next((i for i, group in enumerate(groups) if group["default"].any()), None)
    if at is not None:
        ax.plot(at, means[at], "o", ms=10, mfc="none", mec=PALETTE[1], mew=1.6)
    ax.set_xticks(range(len(order)), [_text(value) for value in order], fontsize=SMALL)
    ax.margins(x=0.15)


def _text(value: object) -> str:
    number = _number(value)
    return shorten(str(value), 9) if number is None or isinstance(value, (bool, np.bool_)) else f"{number:g}"


def _number(text: object) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
