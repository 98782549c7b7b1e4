"""Figures of the papers' tables with reproduced numbers, and of verdicts on the papers' claims."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cdir_nb.results.claims.verdicts import IN_PART, SIGNS, UNCLEAR
from cdir_nb.results.claims.wording import expected, joint_verdict, marked, outcome
from cdir_nb.results.panels import MEAN, Panel
from cdir_nb.show.style import EMPTY, SEQUENTIAL, SMALL, WIDTH, shorten, styled, titled

COLOURS = {
    "holds": "#A9D0EA",
    "holds, no interval": "#D6E8F4",
    "mixed": "#F3E6A8",
    "cannot be told from zero": "#E4E4E4",
    "does not hold": "#F4BC98",
    "verdicts differ": "#F3E6A8",
    "directions missing": "#E4E4E4",
    "not run": "#F1F1F1",
    "not printed": "#F1F1F1",
}
PAPER_COLUMN = "the paper's\nown numbers"
CLAIM = 42  # characters per line of a claim, which has two
LONG = 16  # characters; longer names of tasks take two lines
MOST_COLUMNS = 7  # of a scoreboard; more would be illegible
GAP = 0.15  # after the paper's column


@styled
def table_panels(panels: Sequence[Panel], *, title: str = "") -> Figure:
    """Panels one below the other, the published one first. A cell has the percentage, and points above the reference.

    Cells above the reference (vanilla CLIP, otherwise the paper's method) are blue, cells below it red. Panels of runs
    with the paper's images, task and encoder are followed by a panel of differences from the published numbers.
    """
    panels = [*panels, *(panel.minus(panels[0]) for panel in panels[1:] if panel.comparable)]
    heights = [0.36 * len(panel.percent) + 1.15 for panel in panels]
    fig, axes = plt.subplots(len(panels), 1, figsize=(WIDTH, sum(heights) + 0.4), squeeze=False, height_ratios=heights)
    top = max(1e-9, *(float(np.nanmax(np.abs(panel.points), initial=0)) for panel in panels))
    for ax, panel in zip(axes[:, 0], panels):
        _panel(ax, panel, top)
    note = f"second number: points above {panels[0].reference}" if panels[0].reference else ""
    return titled(fig, " · ".join(filter(None, (title, note))))


def _panel(ax: Axes, panel: Panel, top: float) -> None:
    """One heat map: methods as rows, directions as columns, a line before the mean."""
    values, points = panel.percent, panel.points
    shades, limits = values, {"cmap": SEQUENTIAL, "vmin": 0, "vmax": 1.8 * float(np.nanmax(values, initial=1e-9))}
    if len(points):
        shades = points.reindex(values.index).fillna(0).where(values.notna())
        limits = {"cmap": "RdBu", "vmin": -1.6 * top, "vmax": 1.6 * top}
    ax.set_facecolor(EMPTY)
    ax.imshow(shades.to_numpy(float), aspect="auto", **limits)
    for i, row in enumerate(values.index):
        for j, column in enumerate(values.columns):
            ax.text(j, i, _cell_text(panel, row, column), ha="center", va="center", fontsize=SMALL)
    _label_panel(ax, panel)


def _cell_text(panel: Panel, row: str, column: str) -> str:
    """Percent, and below it the points above the reference; in a panel of differences, the difference."""
    value, gains = panel.percent.loc[row, column], panel.gains
    if np.isnan(value):
        return ""
    if panel.is_difference:
        return f"{value:+.1f}"
    return f"{value:.1f}" + (f"\n{gains.loc[row, column]:+.1f}" if row in gains.index else "")


def _label_panel(ax: Axes, panel: Panel) -> None:
    """Labels, title, and the line before the mean."""
    columns = [shorten(x, 22) for x in panel.percent.columns]
    ax.set_xticks(range(len(columns)), columns, rotation=30, ha="right", rotation_mode="anchor", fontsize=SMALL)
    ax.set_yticks(range(len(panel.percent)), [shorten(x, 34) for x in panel.percent.index], fontsize=SMALL)
    ax.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(panel.percent) + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", lw=1.2)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    if MEAN in panel.percent and len(columns) > 1:
        ax.axvline(len(columns) - 1.5, color="#333333", lw=1.4)
    ax.set_title("\n".join(textwrap.wrap(panel.source, 96)), fontsize=9, weight="bold", loc="left")


@styled
def scoreboard(published: pd.DataFrame, ours: Mapping[str, pd.DataFrame], *, title: str = "") -> Figure:
    """Verdicts on claims, one row per claim: from the paper's numbers in the first column, from ours in the others.

    There is one column for each of our tasks and encoders. If these columns do not fit, there is one for each dataset
    and encoder, with the number of tasks for each verdict.

    published  from `published_verdicts`
    ours       {source of the records: `verdicts` on the same claims}; each source has its own columns
    """
    claims = published.drop_duplicates("id")
    columns = {PAPER_COLUMN: published, **_columns_of(ours)}
    if len(columns) > MOST_COLUMNS:
        by_dataset = {name: decided.assign(protocol="") for name, decided in ours.items()}
        columns = {PAPER_COLUMN: published, **_columns_of(by_dataset)}
    positions = [j + GAP * (j > 0) for j in range(len(columns))]
    fig, ax = plt.subplots(figsize=(WIDTH, 0.66 * len(claims) + 1.4))
    for x, decided in zip(positions, columns.values()):
        for y, claim in enumerate(claims["id"]):
            _draw_cell(ax, x, y, decided.loc[decided["id"] == claim])
    ax.set_xlim(-0.5, len(columns) - 0.35)
    ax.set_ylim(len(claims) - 0.5, -0.5)
    ax.set_xticks(positions, list(columns), fontsize=SMALL)
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(claims)), [_claim_text(claim) for claim in claims.itertuples()], fontsize=SMALL)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return titled(fig, title)


def _columns_of(ours: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """{header: verdicts} for each source of records, task and encoder with at least one claim that was run."""
    columns = {}
    for source, decided in ours.items():
        run = decided[decided["verdict"] != "not run"]
        for task, dataset, encoder in dict.fromkeys(zip(run["protocol"], run["dataset"], run["encoder"])):
            keys = {"protocol": task, "dataset": dataset, "encoder": encoder}
            rows = decided.loc[np.logical_and.reduce([decided[name] == value for name, value in keys.items()])]
            columns[_header(source, task or dataset, encoder, rows)] = rows
    return columns


def _header(source: str, task: str, encoder: str, rows: pd.DataFrame) -> str:
    """A column header: source of the records, task, encoder, seeds."""
    seeds = sorted({seed for row in rows["seeds"] for seed in row})
    trained = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else "nothing trained"
    task = task if len(task) <= LONG else "-\n".join(task.rsplit("-", 1))
    return f"{source}\n{task}\n{encoder.split()[0]}\n{trained}"


def _draw_cell(ax: Axes, x: float, y: float, decided: pd.DataFrame) -> None:
    """A coloured box with the verdict and the result in words."""
    run = decided.loc[decided["verdict"] != "not run"]
    decided = run if len(run) else decided.iloc[:1]
    kind = joint_verdict(decided)
    ax.add_patch(Rectangle((x - 0.47, y - 0.44), 0.94, 0.88, facecolor=to_rgba(COLOURS[kind]), lw=0))
    result = outcome(decided)
    if len(decided) > 1 and decided["over"].iloc[0] == "each direction":
        counts = decided["verdict"].value_counts()
        result = f"in all {len(decided)}"
        if len(counts) > 1:
            result = ", ".join(f"{SIGNS.get(str(verdict), verdict)} {count}" for verdict, count in counts.items())
    text = (
        f"{marked(kind)}\n{result}".replace(IN_PART, IN_PART.replace(" ", "\n"))
        .replace(UNCLEAR, UNCLEAR.replace("told ", "told\n"))
        .strip()
    )
    colour = "#777777" if kind.startswith("not") else "black"
    ax.text(x, y, text, ha="center", va="center", fontsize=SMALL, color=colour)


def _claim_text(claim) -> str:
    """A claim in at most two lines (longer ones are cut), and below it the expected result."""
    return f"{textwrap.fill(claim.says, CLAIM, max_lines=2, placeholder=' …')}\nexpected: {expected(claim)}"
