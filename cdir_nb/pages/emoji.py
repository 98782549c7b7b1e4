"""The page on the emoji, docs/results/emoji.md, and its figure.

    python -m cdir_nb.pages.emoji

All numbers come from the committed records, which `scripts/emoji.py` measures and collects. The sentences are in
emoji.yaml, each with the comparisons of numbers that it states; if the records no longer support a comparison, no page
is written. Records of further methods appear in the tables as soon as they are committed.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import typer
import yaml
from matplotlib.figure import Figure

from cdir_nb.pages.ideas import PLACEHOLDER, Table, differences_table, findings, means_table
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import Record, by_direction, reproduced_records
from cdir_nb.show.style import QUIET, WIDTH, looks, save_figure, styled

TEXTS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
PICTURE = "emoji_gains"
IDEAS = ("trained_means", "sinkhorn", "expanded", "text_means", "tki")  # rows in the figure, where they are measured
PANELS = ("real", "mobile")
AXIS = "P@1 of the frozen encoder in a direction, percent\n(left: wide gap; right: narrow gap)"
NEIGHBOURS = 5  # directions per mean of a line


def page(table: Table) -> str:
    """The text of docs/results/emoji.md."""
    filled = PLACEHOLDER.sub(lambda match: table.percent(*match.groups()), TEXTS["falls_short"])
    parts = ["# Emoji: the same thing in another style", TEXTS["intro"], "## What we found"]
    parts += ["\n".join(findings(table, "findings")), means_table(table, "main"), TEXTS["legend"], TEXTS["figure"]]
    parts += [filled]
    parts += [part for name in ("unseen", "pair", "all") for part in (TEXTS[name], means_table(table, name))]
    parts += [TEXTS["differences"], *(differences_table(table, name) for name in TEXTS["tables"]), TEXTS["details"]]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def gains(table: Table, row: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """P@1 of the frozen encoder by direction, ascending, and the gain of a row over it; both in points."""
    metric = table.columns[column].metric
    frozen, other = (by_direction(table.cell(name, column), metric).iloc[:, 0] for name in ("frozen", row))
    start = frozen.sort_values(kind="stable")
    return start.to_numpy(), (other - start)[start.index].to_numpy()


@styled
def figure(table: Table) -> Figure:
    """The gain of each idea over the frozen encoder against that encoder's P@1, by direction."""
    fig, axes = plt.subplots(1, len(PANELS), sharey=True, figsize=(WIDTH, 4.4))
    for ax, column in zip(axes, PANELS):
        for row, (colour, marker) in looks(IDEAS).items():
            if table.has(row, column):
                start, gain = gains(table, row, column)
                ax.scatter(start, gain, s=14, color=colour, marker=marker, alpha=0.35, lw=0)
                means = [part.reshape(-1, NEIGHBOURS).mean(1) for part in (start, gain)]
                ax.plot(*means, color=colour, marker=marker, ms=5, label=TEXTS["rows"][row]["label"])
        ax.axhline(0, color=QUIET, lw=1.2, ls="--")
        ax.set(title=table.columns[column].encoder, xlabel=AXIS)
        ax.grid(True)
    axes[0].set_ylabel("gain in P@1, points")
    handles = dict(zip(*reversed(axes[0].get_legend_handles_labels())))
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return fig


def table_of(records: Sequence[Record]) -> Table:
    """The means of all rows and columns of this page."""
    return Table(records, TEXTS)


def main() -> None:
    """Write docs/results/emoji.md and docs/pictures/emoji_gains.png."""
    table = table_of(reproduced_records())
    text = page(table)
    with atomic_write(ROOT / "docs" / "results" / "emoji.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    save_figure(figure(table), ROOT / "docs" / "pictures", PICTURE)


if __name__ == "__main__":
    typer.run(main)
