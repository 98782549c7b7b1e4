"""Scatter plots of records."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from cdir_nb.show.style import MARKERS, PALETTE, QUIET, WIDTH, styled, titled


@styled
def gains_against_knowledge(table: pd.DataFrame, *, title: str = "") -> Figure:
    """What each method gains over vanilla CLIP, against what the encoder knows: a panel per task, a mark per encoder.

    table  columns encoder, task, method, seed, zero-shot accuracy, P@10, and vanilla (vanilla CLIP's P@10 in the same
           directions; all three in percent)
    """
    tasks = list(dict.fromkeys(table["task"]))
    methods = list(dict.fromkeys(table["method"]))
    fig, axes = plt.subplots(1, len(tasks), figsize=(WIDTH, 3.8), squeeze=False, sharex=True, sharey=True)
    for ax, task in zip(axes[0], tasks):
        rows = table[table["task"] == task]
        means = rows.groupby(["encoder", "method"], sort=False).mean(numeric_only=True)
        for i, method in enumerate(methods):
            if method in means.index.get_level_values("method"):
                points = means.xs(method, level="method").sort_values("zero-shot accuracy")
                gain = points["P@10"] - points["vanilla"]
                ax.plot(points["zero-shot accuracy"], gain, MARKERS[i], ls=":", lw=1, color=PALETTE[i], label=method)
        ax.set_xlabel("zero-shot accuracy of the encoder (%)")
        ax.axhline(0, color=QUIET, ls="--", lw=1)
        ax.set_title(f"{task}\n{_encoders(rows)}")
    axes[0, 0].set_ylabel("gain over vanilla CLIP (points of P@10)")
    marks = {label: mark for ax in axes[0] for mark, label in zip(*ax.get_legend_handles_labels())}
    fig.legend(marks.values(), marks, loc="outside lower center", ncols=len(marks))
    return titled(fig, title)


def _encoders(table: pd.DataFrame) -> str:
    """Such as `tiny-clip, 8 stages` or `real-clip and real-clip without pacs`: encoders by their folders."""
    folders: dict[str, list[str]] = {}
    for encoder in dict.fromkeys(table["encoder"]):
        name, _, folder = encoder.partition(":")
        folders.setdefault(name, []).append(f"{name} {folder.replace('-', ' ')}".strip())
    return ", ".join(f"{n}, {len(some)} stages" if len(some) > 2 else " and ".join(some) for n, some in folders.items())
