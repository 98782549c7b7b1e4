"""Numbers as pictures: heat maps over directions, bars with chance lines, precision-recall curves."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdir_nb.show.style import PALETTE, QUIET, SEQUENTIAL, WIDTH, looks, pretty, shorten, styled


def direction_table(values: Mapping[tuple[str, str], float], domains: Sequence[str]) -> pd.DataFrame:
    """{(query domain, gallery domain): value} -> table, queries down, galleries across, NaN for no value."""
    table = pd.DataFrame(np.nan, index=list(domains), columns=list(domains))
    for (query, gallery), value in values.items():
        table.loc[query, gallery] = value
    return table.rename_axis(index="query", columns="gallery")


@styled
def heat_maps(
    tables: Mapping[str, pd.DataFrame],
    *,
    down: str = "query domain",
    across: str = "gallery domain",
    title: str = "",
    digits: int = 0,
    shared: bool = False,
) -> Figure:
    """Tables side by side, each cell with its number; the key of a table is its panel's title.

    Cells without a value stay grey. `shared` gives all panels one colour scale; else each has its own.
    """
    rows, columns = next(iter(tables.values())).shape
    height = max(2.6, 0.34 * rows + 1.9)
    fig, axes = plt.subplots(
        1, len(tables), figsize=(min(WIDTH, 1.6 + len(tables) * (0.55 * columns + 1.2)), height), squeeze=False
    )
    top = max(np.nanmax(t.to_numpy(float)) for t in tables.values()) if shared else None
    for ax, (name, table) in zip(axes[0], tables.items()):
        _heat(ax, table.astype(float), name, digits, top)
        ax.set_xlabel(across)
        ax.set_ylabel(down if ax is axes[0, 0] else "")
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _heat(ax: Axes, table: pd.DataFrame, name: str, digits: int, top: float | None) -> None:
    ax.set_facecolor("#EDEDED")  # shows through where there is no value
    size = 9 if ax.get_subplotspec().get_gridspec().ncols * table.shape[1] <= 16 else 7.5
    sns.heatmap(
        table,
        ax=ax,
        annot=True,
        fmt=f".{digits}f",
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=top,
        cbar=False,
        linewidths=1,
        linecolor="white",
        annot_kws={"fontsize": size},
        xticklabels=[shorten(x, 14) for x in table.columns],
        yticklabels=[shorten(x, 16) for x in table.index],
    )
    ax.set_title(name)
    plt.setp(ax.get_xticklabels(), rotation=35, ha="right", rotation_mode="anchor")
    plt.setp(ax.get_yticklabels(), rotation=0)
    ax.tick_params(length=0)


@styled
def accuracy_bars(accuracy: pd.DataFrame, chance: Mapping[str, float], *, title: str = "") -> Figure:
    """Accuracy (%) of each domain (rows), one bar and one dashed chance line for each column."""
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
def precision_recall(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    *,
    title: str = "",
    chance: float | None = None,
    order: Sequence[str] | None = None,
) -> Figure:
    """Small panels of curves: {panel: {curve: (recall, precision)}}, both in 0..1; `chance` is a dashed line.

    order  all names of curves, which fixes their colours (default: as met)
    """
    look = looks(order or list(dict.fromkeys(name for curves in panels.values() for name in curves)))
    columns = 2 if len(panels) in (2, 4) else min(3, len(panels))
    fig, axes = plt.subplots(
        -(-len(panels) // columns),
        columns,
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(WIDTH, 2.5 * -(-len(panels) // columns) + 0.9),
    )
    for ax, (panel, curves) in zip(axes.flat, panels.items()):
        for name, (recall, precision) in curves.items():
            colour, marker = look[name]
            ax.plot(recall, precision, color=colour, marker=marker, markevery=0.2, ms=5, label=pretty(name))
        _chance_line(ax, chance)
        ax.set(title=pretty(panel), xlim=(0, 1), ylim=(0, 1.02))
        ax.grid(True)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax in axes.flat[: len(panels)][-columns:]:  # the lowest of each column
        ax.set_xlabel("recall")
        ax.tick_params(labelbottom=True)
    plt.setp(axes[:, 0], ylabel="precision")
    _shared_legend(fig, axes, [pretty(x) for x in look])
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _chance_line(ax: Axes, chance: float | None) -> None:
    if chance is not None:
        ax.axhline(chance, color=QUIET, ls="--", lw=1.2, label="chance")


def _shared_legend(fig: Figure, axes: np.ndarray, order: list[str]) -> None:
    """One legend for all panels, outside and below them, in this order with "chance" last."""
    handles = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels())}
    names = [name for name in [*order, "chance"] if name in handles]
    fig.legend([handles[x] for x in names], names, loc="outside lower center", ncols=min(7, len(names)))


@styled
def histograms(groups: Mapping[str, np.ndarray], *, label: str, title: str = "", bins: int = 40) -> Figure:
    """Outlined histograms over one axis, each scaled to area 1, each with its mean as a dashed line."""
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
    """A row of points for each group, one a value (spread up and down only to be seen), the mean as a bar."""
    fig, ax = plt.subplots(figsize=(WIDTH, 0.75 * len(groups) + 0.9))
    rng = np.random.default_rng(0)
    for row, (name, (colour, marker)) in enumerate(looks(list(groups)).items()):
        values = np.asarray(groups[name])
        ax.scatter(values, row + rng.uniform(-0.25, 0.25, len(values)), s=14, c=colour, marker=marker, alpha=0.5, lw=0)
        ax.plot([values.mean()] * 2, [row - 0.36, row + 0.36], color="black", lw=2)
    ax.set_yticks(range(len(groups)), [f"{name}\nmean {np.mean(v):.1f}, n = {len(v)}" for name, v in groups.items()])
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xlabel(label)
    ax.set_title(title)
    return fig


@styled
def bars(values: Mapping[str, float], *, label: str, title: str = "", digits: int = 1) -> Figure:
    """Plain horizontal bars with their numbers, in the order given."""
    fig, ax = plt.subplots(figsize=(WIDTH * 0.75, 0.32 * len(values) + 1.1))
    drawn = ax.barh([shorten(x, 40) for x in values], list(values.values()), color=PALETTE[4])
    ax.bar_label(drawn, fmt=f"%.{digits}f", padding=3, fontsize=9)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.set_xlabel(label)
    ax.set_title(title)
    return fig
