"""The papers' tables beside our numbers, and the papers' claims with verdicts."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from cdir_nb.results.claims.verdicts import IN_PART, SIGNS
from cdir_nb.results.claims.wording import expected, found, joint_verdict, marked
from cdir_nb.results.compare import MEAN, Panel
from cdir_nb.show.style import EMPTY, SEQUENTIAL, SMALL, WIDTH, shorten, styled, titled

COLOURS = {
    "holds": "#A9D0EA",
    "mixed": "#F3E6A8",
    "does not hold": "#F4BC98",
    "verdicts differ": "#F3E6A8",
    "directions missing": "#E4E4E4",
    "not run": "#F1F1F1",
    "not printed": "#F1F1F1",
}
OWN_NUMBERS = "the paper's\nown numbers"
CLAIM = 42  # characters per line of a claim, which has two
LONG = 16  # characters; longer names of tasks take two lines


@styled
def table_panels(panels: Sequence[Panel], *, title: str = "") -> Figure:
    """Panels below each other, the published one first. Cells show percent, and points above the panel's reference row.

    Blue is above the reference (vanilla CLIP, otherwise the paper's method), red below, on one scale. If ours was run
    on the paper's images, task and encoder, a panel of differences to the published numbers follows.
    """
    drawn = [*panels, *(panel.minus(panels[0]) for panel in panels[1:] if panel.comparable)]
    heights = [0.36 * len(panel.percent) + 1.15 for panel in drawn]
    fig, axes = plt.subplots(len(drawn), 1, figsize=(WIDTH, sum(heights) + 0.4), squeeze=False, height_ratios=heights)
    top = max(1e-9, *(float(np.nanmax(np.abs(panel.points), initial=0)) for panel in drawn))
    for ax, panel in zip(axes[:, 0], drawn):
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
            ax.text(j, i, _number(panel, row, column), ha="center", va="center", fontsize=SMALL)
    _frame(ax, panel)


def _number(panel: Panel, row: str, column: str) -> str:
    """Percent with one digit, and below it the points above the reference; in a panel of differences, the points."""
    value, gains = panel.percent.loc[row, column], panel.gains
    if np.isnan(value):
        return ""
    if panel.is_difference:
        return f"{value:+.1f}"
    return f"{value:.1f}" + (f"\n{gains.loc[row, column]:+.1f}" if row in gains.index else "")


def _frame(ax: Axes, panel: Panel) -> None:
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


MOST_COLUMNS = 7  # of a scoreboard; more cannot be read


@styled
def scoreboard(published: pd.DataFrame, ours: Mapping[str, pd.DataFrame], *, title: str = "") -> Figure:
    """Claims as rows; columns: what its own numbers say, then, after a gap, ours by task and encoder; where there are
    more tasks than fit, by dataset, with the number of tasks of each verdict.

    published  from `published_verdicts`
    ours       {source of the records: `verdicts` on the same claims}; each source has its own columns
    """
    claims = published.drop_duplicates("id")
    columns = {OWN_NUMBERS: published}
    for name, decided in ours.items():
        columns |= {_task(name, key, rows): rows for key, rows in _tasks(decided)}
    if len(columns) > MOST_COLUMNS:
        columns = {OWN_NUMBERS: published}
        for name, decided in ours.items():
            columns |= {_task(name, key, rows): rows for key, rows in _tasks(decided.assign(protocol=""))}
    fig, ax = plt.subplots(figsize=(WIDTH, 0.66 * len(claims) + 1.4))
    for j, rows in enumerate(columns.values()):
        at = j + 0.15 * (j > 0)  # a gap after the paper's column
        for i, name in enumerate(claims["id"]):
            _cell(ax, at, i, rows[rows["id"] == name])
    ax.set_xlim(-0.5, len(columns) - 0.35)
    ax.set_ylim(len(claims) - 0.5, -0.5)
    ax.set_xticks([j + 0.15 * (j > 0) for j in range(len(columns))], list(columns), fontsize=SMALL)
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(claims)), [_said(row) for row in claims.itertuples()], fontsize=SMALL)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return titled(fig, title)


def _tasks(ours: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Tasks and encoders with at least one claim that was run, and their rows."""
    run = ours[ours["verdict"] != "not run"]
    keys = list(dict.fromkeys(zip(run["protocol"], run["dataset"], run["encoder"])))
    same = [(ours["protocol"] == p) & (ours["dataset"] == d) & (ours["encoder"] == e) for p, d, e in keys]
    return [((p or d, e), ours[rows]) for (p, d, e), rows in zip(keys, same)]


def _task(name: str, key: tuple[str, str], rows: pd.DataFrame) -> str:
    """A column header: source of the records, task, encoder, seeds."""
    task, encoder = key
    seeds = sorted({seed for row in rows["seeds"] for seed in row})
    trained = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else "nothing trained"
    task = task if len(task) <= LONG else "-\n".join(task.rsplit("-", 1))
    return f"{name}\n{task}\n{encoder.split()[0]}\n{trained}"


def _cell(ax: Axes, at: float, row: int, decided: pd.DataFrame) -> None:
    """A coloured box with the verdict and, in words, what was found."""
    run = decided[decided["verdict"] != "not run"]
    decided = run if len(run) else decided[:1]
    kind = joint_verdict(decided)
    box = plt.Rectangle((at - 0.47, row - 0.44), 0.94, 0.88, facecolor=to_rgba(COLOURS[kind]), lw=0)
    ax.add_patch(box)
    colour = "#777777" if kind.startswith("not") else "black"
    what = found(decided)
    if (tasks := len(decided)) > 1 and decided["over"].iloc[0] == "each direction":
        kinds = decided["verdict"].value_counts()
        what = f"in all {tasks}"
        if len(kinds) > 1:
            what = ", ".join(f"{SIGNS.get(kind, kind)} {count}" for kind, count in kinds.items())
    text = f"{marked(kind)}\n{what}".replace(IN_PART, IN_PART.replace(" ", "\n")).strip()
    ax.text(at, row, text, ha="center", va="center", fontsize=SMALL, color=colour)


def _said(row) -> str:
    """A claim in at most two lines (longer ones are cut), and below it what was expected."""
    return f"{textwrap.fill(row.says, CLAIM, max_lines=2, placeholder=' …')}\nexpected: {expected(row)}"
