"""Published beside reproduced: tables as stacked panels, and the papers' claims with a verdict in each cell."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from cdir_nb.results.claims.verdicts import SIGNS
from cdir_nb.results.compare import MEAN, Panel
from cdir_nb.show.style import SEQUENTIAL, WIDTH, shorten, styled

COLOURS = {
    "holds": "#A9D0EA",
    "mixed": "#F3E6A8",
    "does not hold": "#F4BC98",
    "settings differ": "#F3E6A8",
    "not run": "#F1F1F1",
    "not printed": "#F1F1F1",
}
DIFFERENCE = "difference, ours minus published"
OWN_NUMBERS = "the paper's\nown numbers"


# ---- tables ----------------------------------------------------------------------------------------------------


@styled
def table_panels(panels: Sequence[Panel], *, title: str = "") -> Figure:
    """Panels below each other, the published one first. A cell: percent, and points above the panel's reference row.

    Blue is above the reference (vanilla CLIP, else the paper's method), red below, on one scale. Where ours was run on
    the paper's images, task and encoder, a panel of differences to the published numbers follows.
    """
    drawn = [*panels, *(_difference(panels[0], panel) for panel in panels[1:] if panel.comparable)]
    heights = [0.36 * len(panel.percent) + 1.15 for panel in drawn]
    fig, axes = plt.subplots(len(drawn), 1, figsize=(WIDTH, sum(heights) + 0.4), squeeze=False, height_ratios=heights)
    top = max(1e-9, *(float(np.nanmax(np.abs(_points(panel)), initial=0)) for panel in drawn))
    for ax, panel in zip(axes[:, 0], drawn):
        _panel(ax, panel, top)
    note = f"second number: points above {panels[0].reference}" if panels[0].reference else ""
    fig.suptitle(" · ".join(filter(None, (title, note))), x=0.01, ha="left")
    return fig


def _difference(published: Panel, ours: Panel) -> Panel:
    """Ours minus published, in points, where both have a number."""
    rows = [name for name in published.percent.index if name in ours.percent.index]
    columns = [name for name in published.percent if name in ours.percent]
    points = ours.percent.loc[rows, columns] - published.percent.loc[rows, columns]
    return Panel(f"{DIFFERENCE}: {ours.source}", points)


def _points(panel: Panel) -> pd.DataFrame:
    """What is coloured around zero: differences, or points above the reference (empty without one)."""
    return panel.percent if panel.source.startswith(DIFFERENCE) else panel.gains


def _panel(ax: Axes, panel: Panel, top: float) -> None:
    """One heat map: methods down, directions across, the mean set apart by a line."""
    values, points = panel.percent, _points(panel)
    shades, limits = values, {"cmap": SEQUENTIAL, "vmin": 0, "vmax": 1.8 * float(np.nanmax(values, initial=1e-9))}
    if len(points):
        shades = points.reindex(values.index).fillna(0).where(values.notna())
        limits = {"cmap": "RdBu", "vmin": -1.6 * top, "vmax": 1.6 * top}
    ax.set_facecolor("#EDEDED")
    ax.imshow(shades.to_numpy(float), aspect="auto", **limits)
    for i, row in enumerate(values.index):
        for j, column in enumerate(values.columns):
            ax.text(j, i, _number(panel, row, column), ha="center", va="center", fontsize=7.5)
    _frame(ax, panel)


def _number(panel: Panel, row: str, column: str) -> str:
    """Percent with one digit, below it the points above the reference; of differences the points."""
    value, gains = panel.percent.loc[row, column], panel.gains
    if np.isnan(value):
        return ""
    if panel.source.startswith(DIFFERENCE):
        return f"{value:+.1f}"
    return f"{value:.1f}" + (f"\n{gains.loc[row, column]:+.1f}" if row in gains.index else "")


def _frame(ax: Axes, panel: Panel) -> None:
    """Labels, title, and the line before the mean."""
    columns = [shorten(x, 22) for x in panel.percent.columns]
    ax.set_xticks(range(len(columns)), columns, rotation=30, ha="right", rotation_mode="anchor", fontsize=8)
    ax.set_yticks(range(len(panel.percent)), [shorten(x, 34) for x in panel.percent.index], fontsize=8.5)
    ax.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(panel.percent) + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", lw=1.2)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    if MEAN in panel.percent and len(columns) > 1:
        ax.axvline(len(columns) - 1.5, color="#333333", lw=1.4)
    ax.set_title("\n".join(textwrap.wrap(panel.source, 96)), fontsize=9, weight="bold", loc="left")


# ---- claims ----------------------------------------------------------------------------------------------------


def claims_table(decided: pd.DataFrame) -> pd.DataFrame:
    """Rows of `verdicts` or `published_verdicts` as a reader wants them: texts, points with two digits."""
    rows = []
    for row in decided.itertuples():
        each = ", ".join(f"{gap:+.2f}" for gap in row.differences)
        above = ", ".join(map(str, row.above))
        rows.append(
            {
                "claim": row.says,
                "where": row.where,
                "task": row.protocol or row.dataset,
                "encoder": getattr(row, "encoder", "") or getattr(row, "backbone", ""),
                "verdict": row.verdict,
                "points": "" if np.isnan(row.difference) else f"{row.difference:+.2f}",
                "each seed": each if len(row.differences) > 1 else "",
                "seeds": ", ".join(map(str, row.seeds)),
                "directions": f"{above} of {row.directions}" if above else "",
                "measure": row.measure if row.differences else "",
                "selection rule": row.selection_rule,
            }
        )
    return pd.DataFrame(rows)


@styled
def scoreboard(published: pd.DataFrame, ours: Mapping[str, pd.DataFrame], *, title: str = "") -> Figure:
    """Claims down; across, what the paper's own numbers say, then, set apart, ours on each task and encoder.

    published  from `published_verdicts`
    ours       {where the records come from: `verdicts` on the same claims}; each has columns of its own
    """
    claims = published.drop_duplicates("id")
    columns = {OWN_NUMBERS: published}
    for name, decided in ours.items():
        columns |= {_task(name, key, rows): rows for key, rows in _tasks(decided)}
    fig, ax = plt.subplots(figsize=(WIDTH, 0.4 * len(claims) + 1.25))
    for j, rows in enumerate(columns.values()):
        at = j + 0.15 * (j > 0)  # a gap after the paper's
        for i, name in enumerate(claims["id"]):
            _cell(ax, at, i, rows[rows["id"] == name])
    ax.set_xlim(-0.5, len(columns) - 0.35)
    ax.set_ylim(len(claims) - 0.5, -0.5)
    ax.set_xticks([j + 0.15 * (j > 0) for j in range(len(columns))], list(columns), fontsize=8)
    ax.xaxis.tick_top()
    says = [textwrap.fill(f"{row.says} [{row.where}]", 62) for row in claims.itertuples()]
    ax.set_yticks(range(len(claims)), [_two_lines(text) for text in says], fontsize=7.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _tasks(ours: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Tasks and encoders in which any claim was run."""
    run = ours[ours["verdict"] != "not run"]
    keys = list(dict.fromkeys(zip(run["protocol"], run["dataset"], run["encoder"])))
    same = [(ours["protocol"] == p) & (ours["dataset"] == d) & (ours["encoder"] == e) for p, d, e in keys]
    return [((p or d, e), ours[rows]) for (p, d, e), rows in zip(keys, same)]


def _task(name: str, key: tuple[str, str], rows: pd.DataFrame) -> str:
    """The head of a column: where the records come from, task, encoder, seeds."""
    task, encoder = key
    seeds = sorted({seed for row in rows["seeds"] for seed in row})
    return f"{name}\n{task}\n{encoder.split()[0]}\nseeds {', '.join(map(str, seeds)) or 'none'}"


def _cell(ax: Axes, at: float, row: int, decided: pd.DataFrame) -> None:
    """A coloured box with the verdict and the points; several settings or tables with their range."""
    kinds = list(dict.fromkeys(decided["verdict"])) or ["not run"]
    kind = kinds[0] if len(kinds) == 1 else "settings differ"
    box = plt.Rectangle((at - 0.47, row - 0.44), 0.94, 0.88, facecolor=to_rgba(COLOURS[kind]), lw=0)
    ax.add_patch(box)
    points = sorted({f"{round(x, 1) + 0:+.1f}" for x in decided["difference"].dropna()}, key=float)  # + 0: no -0.0
    text = "" if not points else points[0] if len(points) == 1 else f"{points[0]} to {points[-1]}"
    colour = "#777777" if kind.startswith("not") else "black"
    verdict = f"{SIGNS.get(kind, '')} {kind}\n{text}".strip()
    ax.text(at, row, verdict, ha="center", va="center", fontsize=7.5, color=colour)


def _two_lines(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(lines if len(lines) < 3 else [*lines[:1], shorten(" ".join(lines[1:]), 66)])
