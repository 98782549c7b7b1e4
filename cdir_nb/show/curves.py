"""Curves over recall, cut-off, confidence or a score (for curves over training steps see `training`)."""

import itertools
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cdir_nb.conventions import Metric
from cdir_nb.show.style import MARKERS, PALETTE, QUIET, SMALL, WIDTH, looks, styled, titled

PANELS = {"precision": "P@k", "average_precision": "mAP@k"}
DASHES = ("-", "--", ":", "-.")  # so that overlapping lines remain visible


@styled
def convention_curves(galleries: Mapping[str, pd.DataFrame], k: int, *, title: str = "") -> Figure:
    """Curves of precision (left) and average precision (right) over the cut-off k, by convention; one row per gallery.

    galleries  tables with columns metric and value (a fraction), as returned by `PerQuery.row`
    k          the cut-off for the values in the legends; the nearest measured cut-off is used
    """
    fig, axes = plt.subplots(len(galleries), 2, figsize=(WIDTH, 2.7 * len(galleries) + 0.5), sharex=True, squeeze=False)
    for row, (name, table) in zip(axes, galleries.items()):
        table = table.join(pd.DataFrame([vars(Metric.parse(x)) for x in table["metric"]], index=table.index))
        k = int(min(table["k"].unique(), key=lambda cutoff: abs(cutoff - k)))
        for ax, (kind, label) in zip(row, PANELS.items()):
            _curves_of_conventions(ax, table.loc[table["kind"] == kind], k)
            ax.set(title=f"{label}, {name}", ylim=(0, 102), ylabel="percent" if ax is row[0] else "")
    plt.setp(axes[-1], xlabel="cut-off k")
    return titled(fig, title)


def _curves_of_conventions(ax: Axes, table: pd.DataFrame, k: int) -> None:
    names = list(dict.fromkeys(table["convention"]))
    for i, (name, (colour, marker)) in enumerate(looks(names).items()):
        line = 100 * table[table["convention"] == name].set_index("k")["value"]
        style: dict[str, Any] = {"color": colour, "ls": DASHES[i % len(DASHES)]}
        ax.plot(line.index, line, **style)
        ax.plot([k], [line[k]], marker=marker, ms=6, label=f"{line[k]:.1f}  {name}", **style)
    ax.axvline(k, color=QUIET, lw=0.9, zorder=0)
    ax.legend(title=f"at k = {k}", fontsize=SMALL, title_fontsize=SMALL, alignment="left", handlelength=2.4)
    ax.grid(True)


@styled
def gains_over_accuracy(table: pd.DataFrame, *, title: str = "") -> Figure:
    """Gain of each method (colour) over vanilla CLIP against the encoder's zero-shot accuracy, by task (marker).

    table  columns encoder, task, method, seed, zero-shot accuracy, P@10, and vanilla (vanilla CLIP's P@10 in the same
           directions; all three in percent); a marker is the mean over seeds for one encoder
    """
    tasks, methods = (list(dict.fromkeys(table[column])) for column in ("task", "method"))
    fig, ax = plt.subplots(figsize=(WIDTH, 4.4))
    for task, method in itertools.product(tasks, methods):
        rows = table.loc[(table["task"] == task) & (table["method"] == method)]
        points = rows.groupby("encoder")[["zero-shot accuracy", "P@10", "vanilla"]].mean()
        points = points.sort_values("zero-shot accuracy")
        line = ":" if len(points) > 2 else ""  # stages of one encoder
        style = {"marker": MARKERS[tasks.index(task)], "ls": line, "lw": 1, "color": PALETTE[methods.index(method)]}
        ax.plot(points["zero-shot accuracy"], points["P@10"] - points["vanilla"], **style)
    ax.axhline(0, color=QUIET, ls="--", lw=1)
    ax.set(xlabel="zero-shot accuracy of the encoder on the test images (%)", ylabel="gain in P@10 (points)")
    keys = [Line2D([], [], lw=4, color=PALETTE[i], label=name) for i, name in enumerate(methods)]
    for marker, task in zip(MARKERS, tasks):
        name = f"{task} ({_encoder_names(table.loc[table['task'] == task])})"
        keys.append(Line2D([], [], ls="", marker=marker, color=QUIET, label=name))
    fig.legend(handles=keys, loc="outside lower left", ncols=1)
    return titled(fig, title)


def _encoder_names(table: pd.DataFrame) -> str:
    """Encoders grouped by model, such as `tiny-clip, 8 stages` or `real-clip and real-clip without pacs`."""
    by_model: dict[str, list[str]] = {}
    for encoder in dict.fromkeys(table["encoder"]):
        model, _, folder = encoder.partition(":")
        by_model.setdefault(model, []).append(f"{model} {folder.replace('-', ' ')}".strip())
    parts = [f"{m}, {len(names)} stages" if len(names) > 2 else " and ".join(names) for m, names in by_model.items()]
    return ", ".join(parts)
