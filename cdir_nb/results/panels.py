"""Published tables, and reproduced numbers for the same methods in separate panels.

A number is valid only for the images that it was measured on, so a panel never mixes published and reproduced numbers.
"""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportReturnType=false, reportUnhashable=false

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cdir_nb.conventions import SHORT, Metric
from cdir_nb.results.aggregate import differing, means
from cdir_nb.results.alike import differs, identified, require_alike
from cdir_nb.results.claims.verdicts import as_in_card
from cdir_nb.results.published import own_method, papers, published, published_frame
from cdir_nb.results.records import BASELINE, DIRECTION, TASK

if TYPE_CHECKING:
    import pandas as pd

MOST_COLUMNS = 14  # with more directions, numbers are averaged over galleries
MEAN = "mean"
SAME_IN_ALL = "ours, the paper's images, task and encoder"
DIFFERENCE = "difference, ours minus published"
TRAINED_ON = ("data_at_test_time", "train_set", "train_pool")
SMALL_K = 10  # cut-off for tasks with few relevant images


def belongs_to(method: str, paper: str) -> bool:
    """Whether a method in our records is the paper's method, or a variant or state of it (`CLAIR, first epoch`)."""
    from cdir_nb.methods.table import METHODS  # takes a second to import

    name = own_method(paper)
    return method == name or method in METHODS[name].variants or method.startswith(f"{name},")


@dataclass(frozen=True)
class View:
    """One metric at one cut-off in a published table, which may print it in several conventions."""

    paper: str
    table: str
    kind: str
    k: int | None

    def __str__(self) -> str:
        cutoff = "all" if self.k is None else self.k
        return f"{own_method(self.paper)}, Table {self.table.replace('_', ' ')}: {SHORT[self.kind]}@{cutoff}"

    def shows(self, metric: str) -> bool:
        """True if a metric's name has this view's kind and cut-off."""
        parts = Metric.parse(metric)
        return (parts.kind, parts.k) == (self.kind, self.k)


@dataclass(frozen=True)
class Panel:
    """Numbers from one source, in percent: one row per method, one column per direction, and their mean last.

    source         a description: the paper's table, or our task, encoder, metric, seeds and date
    comparable     whether images, task, backbone and measure are the paper's: only then may numbers be subtracted
    is_difference  whether the panel was made by `minus`; its numbers are then percentage points
    """

    source: str
    percent: "pd.DataFrame"
    comparable: bool = False
    is_difference: bool = False

    @property
    def reference(self) -> str:
        """The reference row: vanilla CLIP, else the paper's own method; "" if there is neither."""
        return next((name for name in (BASELINE, *map(own_method, papers())) if name in self.percent.index), "")

    @property
    def gains(self) -> "pd.DataFrame":
        """Points above the reference row, which is left out; empty if there is no reference."""
        if not self.reference:
            return self.percent.iloc[:0]
        return (self.percent - self.percent.loc[self.reference]).drop(index=self.reference)

    @property
    def points(self) -> "pd.DataFrame":
        """The differences of a difference panel; for other panels, the points above the reference."""
        return self.percent if self.is_difference else self.gains

    def minus(self, other: "Panel") -> "Panel":
        """The differences from another panel, in percentage points, for cells in which both have a number."""
        rows = [name for name in other.percent.index if name in self.percent.index]
        columns = [name for name in other.percent if name in self.percent]
        points = self.percent.loc[rows, columns] - other.percent.loc[rows, columns]
        return Panel(f"{DIFFERENCE}: {self.source}", points, is_difference=True)


def views() -> list[View]:
    """Every metric and cut-off of every published table, in the order of `papers`."""
    available = []
    for paper in papers():
        cells = published(paper)[["table", "metric"]].drop_duplicates()
        measures = [(table, Metric.parse(metric)) for table, metric in cells.itertuples(index=False)]
        available += dict.fromkeys(View(paper, table, metric.kind, metric.k) for table, metric in measures)
    return available


@lru_cache
def printed_panel(view: View) -> Panel:
    """The published numbers of a view, or averages if only these are printed. Methods that we run have our names."""
    cells = _cells(view)
    single = cells[~cells["average"]]
    overall = _averages(cells)
    percent = _by_column(single, _columns(single)) if len(single) else overall
    percent[MEAN] = percent[MEAN].fillna(overall[MEAN])  # where a cell is lost but the average is not
    conventions = ", ".join(_conventions(cells))
    data = ", ".join(dict.fromkeys(cells["dataset"]))
    return Panel(f"published: {view} ({conventions}), {data}", percent)


@lru_cache
def _cells(view: View) -> "pd.DataFrame":
    """The view's published numbers; `row` is the method, with its backbone if the table has several."""
    cells = published_frame(view.paper, view.table)
    cells = cells[cells["metric"].map(view.shows).astype(bool)]
    rows = cells["method"].copy()
    if cells["encoder"].replace("", None).nunique() > 1:
        rows += (" (" + cells["encoder"] + ")").where(cells["encoder"] != "", "")
    return cells.assign(row=rows)


def _conventions(rows: "pd.DataFrame") -> list[str]:
    """The conventions of the rows' metrics, each once, in order."""
    return list(dict.fromkeys(Metric.parse(metric).convention for metric in rows["metric"].unique()))


def _columns(cells: "pd.DataFrame") -> list[str]:
    """A column name for each cell: its direction, or the printed row group and column if directions are not unique."""
    directions = _directions(cells)
    if not cells.assign(heading=directions).duplicated(["row", "heading"]).any():
        return directions
    printed = [f"{setting} {column}".strip() for setting, column in zip(cells["setting"], cells["column"])]
    return [re.sub(r" Search Set| \S+@\d+", "", text) for text in printed]


def _directions(cells: "pd.DataFrame") -> list[str]:
    return [" → ".join(filter(None, pair)) for pair in cells[list(DIRECTION)].itertuples(index=False)]


def _by_column(cells: "pd.DataFrame", columns: list[str]) -> "pd.DataFrame":
    """Percent, rows x columns, with the mean in the last column; with too many columns, galleries are averaged.

    An average is left out if others in its column are over more directions, since they are not comparable.
    """
    cells = cells.assign(heading=columns, direction=columns)
    overall = 100 * means(cells, by="row", over=["heading"])["mean"]
    is_lost = cells["value"].isna().groupby(cells["row"]).any()
    if cells["heading"].nunique() > MOST_COLUMNS:
        cells["heading"] = "from " + cells["query_domain"]
    rows, columns = (list(dict.fromkeys(cells[name])) for name in ("row", "heading"))
    table = 100 * cells.pivot_table(index="row", columns="heading", values="value", dropna=False)
    counts = cells.groupby(["row", "heading"])["direction"].nunique().unstack()
    table = table.where(counts == counts.max()).reindex(index=rows, columns=columns)
    all_counts = counts.sum(axis=1)
    return table.assign(**{MEAN: overall.where(~is_lost & (all_counts == all_counts.max()))}).rename_axis(
        index=None, columns=None
    )


def _averages(cells: "pd.DataFrame") -> "pd.DataFrame":
    """The averages over all directions as printed in the paper, in percent."""
    cells = cells[cells["average"] & (cells[list(DIRECTION)] == "").all(axis=1)]
    percent = 100 * cells.set_index("row")[["value"]]
    return percent.set_axis([MEAN], axis=1).rename_axis(index=None)


def our_panels(view: View, frame: "pd.DataFrame", collection: str = "") -> list[Panel]:
    """One panel for each dataset, task, encoder and set of images on which the view's methods were run.

    frame       a table from `to_frame`, of one collection of records without repeated runs of a setting
    collection  name of this collection, for the panels' captions
    Seeds are averaged. The convention is the table's if our records have it, else the first one available; the cut-off
    is the table's or the one in the task's card. Columns are the table's directions if the task has them, else the
    task's own.
    """
    cells = _cells(view)
    methods = [name for name in dict.fromkeys(cells["row"]) if name in set(cells["our_method"])]
    same_kind = frame["metric"].map(lambda metric: Metric.parse(metric).kind == view.kind).astype(bool)
    frame = identified(frame)
    usable = (frame["seen_in_pretraining"] == 0) & (frame["pipeline_test"] == "")
    across = frame["query_domain"] != frame["gallery_domain"]
    frame = frame[usable & across & same_kind & frame["method"].isin(methods)]
    panels = [
        _our_panel(view, rows, methods, collection)
        for _, rows in frame.groupby([*TASK, "test_set", "image_set"], sort=False)
    ]
    return [panel for panel in panels if panel]


def _our_panel(view: View, rows: "pd.DataFrame", methods: list[str], collection: str) -> Panel | None:
    cells = _cells(view)
    rows = _measured_alike(view, rows, _conventions(cells))
    if rows["method"].nunique() < min(2, len(methods)):
        return None
    rows = rows.assign(row=_row_names(rows))
    require_alike(rows, by="row")
    rows = rows.drop_duplicates(["row", *DIRECTION, "seed"])  # vanilla CLIP of several notebooks
    columns = _directions(rows)
    requested = list(dict.fromkeys(_columns(cells[~cells["average"]])))
    common, count = set(requested) & set(columns), str(len(set(columns)))
    if len(requested) <= MOST_COLUMNS and common and common in (set(requested), set(columns)):
        rows = rows[[column in common for column in columns]]
        columns = [column for column in columns if column in common]
        count = f"{len(common)} of {count}" if str(len(common)) != count else count
    percent = _by_column(rows, columns)
    printed = [column for column in printed_panel(view).percent if column in percent and column != MEAN]
    percent = percent[[*printed, *(column for column in percent if column not in printed)]]
    order = sorted(percent.index, key=lambda name: next(i for i, m in enumerate(methods) if name.startswith(m)))
    likeness, difference = _likeness(cells, rows.iloc[0]), _other_measure(view, rows)
    source = f"{likeness}: {_source(rows, difference, count, collection)}"
    return Panel(source, percent.loc[order], likeness == SAME_IN_ALL and not difference)


def _likeness(cells: "pd.DataFrame", where: "pd.Series") -> str:
    """Whether our run has the paper's images, task and encoder, in words."""
    run = cells[cells["our_method"] != ""]
    backbones = {name.replace("/", "-").replace("ResNet-", "RN") for name in run["encoder"]} - {""}
    if set(run["dataset"]) != {where["dataset"]}:
        return "ours, NOT the paper's images"
    if set(run["protocol"]) != {where["protocol"]}:
        return "ours, the paper's images in another task"
    if not backbones:  # the table gives no backbone
        return "ours, the paper's images and task"
    same = len(backbones) == 1 and re.split(r"-quickgelu|[: ]", where["encoder"])[0] in backbones
    return SAME_IN_ALL if same else "ours, the paper's images with another encoder"


def _other_measure(view: View, rows: "pd.DataFrame") -> str:
    """A remark if our rows have another convention or cut-off than the table, so are not comparable; else ""."""
    metric = Metric.parse(rows["metric"].iloc[0])
    same = {"convention": metric.convention in _conventions(_cells(view)), "cut-off": metric.k == view.k}
    different = " and ".join(name for name, is_same in same.items() if not is_same)
    return f", another {different} than the table's" if different else ""


def _measured_alike(view: View, rows: "pd.DataFrame", conventions: list[str]) -> "pd.DataFrame":
    """Rows of one metric, in the table's first convention that we have, at the cut-off with the most methods."""
    recorded = _conventions(rows)
    convention = next(name for name in [*conventions, *recorded] if name in recorded)
    methods = rows.groupby("metric")["method"].nunique()
    card = as_in_card(tuple(Metric(view.kind, k, convention) for k in (view.k, SMALL_K)), rows["protocol"].iloc[0])
    alike = [metric for metric in map(Metric.parse, methods.index) if metric.convention == convention]
    preferred = [*card, *sorted(alike, key=lambda metric: (metric.k is None, metric.k))]
    best = max(preferred, key=lambda metric: methods.get(str(metric), 0))  # the first of equals
    return rows[rows["metric"] == str(best)]


def _row_names(rows: "pd.DataFrame") -> list[str]:
    """Names of methods, with selection rule, settings or training images where a method has several."""
    names = rows["method"].copy()
    for method, part in rows[rows["method"] != BASELINE].groupby("method"):
        words = differing(dict(zip(part["settings_digest"], part["settings"])))
        columns = [name for name in ("selection_rule", "settings_digest", *TRAINED_ON) if differs(part, name)]
        more = [part[name].map(words) if name == "settings_digest" else part[name] for name in columns]
        if more:
            names[part.index] = [f"{method} ({', '.join(texts)})" for texts in zip(*more)]
    return names.tolist()


def _source(rows: "pd.DataFrame", difference: str, directions: str, collection: str) -> str:
    """Where our numbers come from, in one line."""
    where = rows.iloc[0]
    seeds, dates = (", ".join(map(str, sorted(set(rows[name])))) for name in ("seed", "date"))
    encoder = where["encoder"].partition(" [")[0]
    parts = [where["protocol"] or where["dataset"], encoder, f"{where['metric']}{difference}"]
    return ", ".join(filter(None, [*parts, f"{directions} directions", f"seeds {seeds}", dates, collection]))
