"""A published table and, beside it but never in the same table, our numbers for the methods in it.

A number is valid only for the images that it was measured on. Our numbers on other images are in separate panels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cdir_nb.conventions import SHORT, Metric
from cdir_nb.results.claims.verdicts import CONTEXT, as_in_card
from cdir_nb.results.differing import differing
from cdir_nb.results.published import own_method, papers, published

if TYPE_CHECKING:
    import pandas as pd

MOST_COLUMNS = 14  # with more directions, numbers are averaged over galleries
MEAN = "mean"
SAME_IN_ALL = "ours, the paper's images, task and encoder"
DIFFERENCE = "difference, ours minus published"
BASELINE = "vanilla CLIP"
SMALL_K = 10  # cut-off for tasks with few relevant images


def is_own(method: str, paper: str) -> bool:
    """True if a method in our records is the paper's own, a variant of it, or a state of it (`CLAIR, first epoch`)."""
    from cdir_nb.methods.table import METHODS  # takes a second to import

    own = own_method(paper)
    return method == own or method in METHODS[own].variants or method.startswith(f"{own},")


@dataclass(frozen=True)
class View:
    """One metric at one cut-off, in one published table; a table may have it in several conventions."""

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
    comparable     True for our numbers on the paper's images, task and backbone, in its measure: only these may be
                   subtracted
    is_difference  True if made by `minus`: then the numbers are percentage points
    """

    source: str
    percent: "pd.DataFrame"
    comparable: bool = False
    is_difference: bool = False

    @property
    def reference(self) -> str:
        """The row that others are compared with: vanilla CLIP, else the paper's own method; "" if there is neither."""
        return next((name for name in (BASELINE, *map(own_method, papers())) if name in self.percent.index), "")

    @property
    def gains(self) -> "pd.DataFrame":
        """Points above the reference row, which is left out; empty if there is no reference."""
        if not self.reference:
            return self.percent.iloc[:0]
        return (self.percent - self.percent.loc[self.reference]).drop(index=self.reference)

    @property
    def points(self) -> "pd.DataFrame":
        """The signed numbers: the differences of a difference panel, else the points above the reference."""
        return self.percent if self.is_difference else self.gains

    def minus(self, other: "Panel") -> "Panel":
        """The differences to another panel, in points, where both have a number."""
        rows = [name for name in other.percent.index if name in self.percent.index]
        columns = [name for name in other.percent if name in self.percent]
        points = self.percent.loc[rows, columns] - other.percent.loc[rows, columns]
        return Panel(f"{DIFFERENCE}: {self.source}", points, is_difference=True)


def views() -> list[View]:
    """Every metric and cut-off of every published table, in the order of `papers`."""
    found = []
    for paper in papers():
        cells = published(paper)[["table", "metric"]].drop_duplicates()
        measures = [(table, Metric.parse(metric)) for table, metric in cells.itertuples(index=False)]
        found += dict.fromkeys(View(paper, table, metric.kind, metric.k) for table, metric in measures)
    return found


@lru_cache
def printed_panel(view: View) -> Panel:
    """The published numbers, with our name for methods that we run. If only averages are printed, these."""
    cells = _cells(view)
    single = cells[~cells["average"]]
    overall = _averages(cells)
    percent = _by_place(single, _places(single)) if len(single) else overall
    percent[MEAN] = percent[MEAN].fillna(overall[MEAN])  # where a cell is lost but the average is not
    conventions = ", ".join(_conventions(cells))
    data = ", ".join(dict.fromkeys(cells["dataset"]))
    return Panel(f"published: {view} ({conventions}), {data}", percent)


@lru_cache
def _cells(view: View) -> "pd.DataFrame":
    """The view's published cells in percent; `row` is the method, with its backbone if the table has several."""
    cells = published(view.paper, view.table)
    cells = cells[cells["printed"] != "-"]
    cells = cells[cells["metric"].map(view.shows).astype(bool)]
    rows = cells["our_method"].where(cells["our_method"] != "", cells["method"])
    if cells["backbone"].replace("", None).nunique() > 1:
        rows += (" (" + cells["backbone"] + ")").where(cells["backbone"] != "", "")
    return cells.assign(row=rows, percent=100 * cells["value"])


def _conventions(rows: "pd.DataFrame") -> list[str]:
    """The conventions of the rows' metrics, each once, in order."""
    return list(dict.fromkeys(Metric.parse(metric).convention for metric in rows["metric"].unique()))


def _places(cells: "pd.DataFrame") -> list[str]:
    """A column name for each cell: its direction, or the printed row group and column if directions are not unique."""
    directions = [_direction(q, g) for q, g in zip(cells["query_domain"], cells["gallery_domain"])]
    if not cells.assign(place=directions).duplicated(["row", "place"]).any():
        return directions
    printed = [f"{setting} {column}".strip() for setting, column in zip(cells["setting"], cells["column"])]
    return [re.sub(r" Search Set| \S+@\d+", "", place) for place in printed]


def _direction(query: str, gallery: str) -> str:
    return f"{query} → {gallery}" if gallery else query


def _by_place(cells: "pd.DataFrame", places: list[str]) -> "pd.DataFrame":
    """Percent, rows x places, with the mean in the last column; too many places are averaged over galleries."""
    cells = cells.assign(place=places)
    if cells["place"].nunique() > MOST_COLUMNS:
        cells["place"] = "from " + cells["query_domain"]
    order = {name: list(dict.fromkeys(cells[name])) for name in ("row", "place")}
    table = cells.pivot_table(index="row", columns="place", values="percent", dropna=False)
    table = table.reindex(index=order["row"], columns=order["place"])
    overall = cells.groupby("row")["percent"].mean()
    complete = cells.groupby("row")["percent"].count() == cells.groupby("row")["percent"].size()
    return table.assign(**{MEAN: overall.where(complete)}).rename_axis(index=None, columns=None)


def _averages(cells: "pd.DataFrame") -> "pd.DataFrame":
    """The printed averages over all directions."""
    cells = cells[cells["average"] & (cells["query_domain"] == "") & (cells["gallery_domain"] == "")]
    return cells.set_index("row")[["percent"]].set_axis([MEAN], axis=1).rename_axis(index=None)


def our_panels(view: View, frame: "pd.DataFrame", kept: str = "") -> list[Panel]:
    """One panel for each dataset, task and encoder with which the view's methods were run; seeds are averaged.

    frame  from `to_frame`, of one collection of records without repeated runs of a setting
    kept   a description of this collection, for the panels' captions
    The convention is the table's if our records have it, else the first one available; the cut-off is the table's or
    the one in the task's card. Columns are the table's directions if the task has them, else the task's own.
    """
    cells = _cells(view)
    methods = [name for name in dict.fromkeys(cells["row"]) if name in set(cells["our_method"])]
    frame = frame[frame["seen_in_pretraining"] == 0]
    same_kind = frame["metric"].map(lambda metric: Metric.parse(metric).kind == view.kind).astype(bool)
    frame = frame[(frame["pipeline_test"] == "") & same_kind & frame["method"].isin(methods)]
    frame = frame[frame["query_domain"] != frame["gallery_domain"]]
    groups = frame.groupby(CONTEXT, sort=False)
    contexts = [({**dict(zip(CONTEXT, key)), "kept": kept}, rows) for key, rows in groups]
    return [panel for where, rows in contexts if (panel := _our_panel(view, where, rows, methods))]


def _our_panel(view: View, where: Mapping[str, str], rows: "pd.DataFrame", methods: list[str]) -> Panel | None:
    cells = _cells(view)
    rows = _measured_alike(view, where["protocol"], rows, _conventions(cells))
    if rows["method"].nunique() < min(2, len(methods)):
        return None
    rows = rows.assign(row=_row_names(rows), percent=100 * rows["value"])
    rows = rows.drop_duplicates(["row", "query_domain", "gallery_domain", "seed"])  # vanilla CLIP of several notebooks
    places = [_direction(q, g) for q, g in zip(rows["query_domain"], rows["gallery_domain"])]
    wanted = list(dict.fromkeys(_places(cells[~cells["average"]])))
    common = [place for place in wanted if place in places]
    count, there = str(len(set(places))), set(common)
    if len(wanted) <= MOST_COLUMNS and common and there in (set(wanted), set(places)):
        rows = rows[[place in there for place in places]]
        places = [place for place in places if place in there]
        count = f"{len(there)} of {count}" if str(len(there)) != count else count
    percent = _by_place(rows, places)
    theirs = [place for place in printed_panel(view).percent if place in percent and place != MEAN]
    percent = percent[[*theirs, *(place for place in percent if place not in theirs)]]
    order = sorted(percent.index, key=lambda name: next(i for i, m in enumerate(methods) if name.startswith(m)))
    likeness, other = _likeness(cells, where), _other_measure(view, rows)
    source = f"{likeness}: {_source(where, rows, other, count)}"
    return Panel(source, percent.loc[order], likeness == SAME_IN_ALL and not other)


def _likeness(cells: "pd.DataFrame", where: Mapping[str, str]) -> str:
    """How close our run is to the paper's: same images, task and encoder?"""
    run = cells[cells["our_method"] != ""]
    backbones = {name.replace("/", "-").replace("ResNet-", "RN") for name in run["backbone"]} - {""}
    if set(run["dataset"]) != {where["dataset"]}:
        return "ours, NOT the paper's images"
    if set(run["protocol"]) != {where["protocol"]}:
        return "ours, the paper's images in another task"
    if not backbones:  # the table gives no backbone
        return "ours, the paper's images and task"
    same = len(backbones) == 1 and re.split(r"-quickgelu|[: ]", where["encoder"])[0] in backbones
    return SAME_IN_ALL if same else "ours, the paper's images with another encoder"


def _other_measure(view: View, rows: "pd.DataFrame") -> str:
    """How the measure of our rows differs from the table's (numbers in two measures are not comparable), or ""."""
    first = Metric.parse(rows["metric"].iloc[0])
    same = {"convention": first.convention in _conventions(_cells(view)), "cut-off": first.k == view.k}
    different = " and ".join(name for name, is_same in same.items() if not is_same)
    return f", another {different} than the table's" if different else ""


def _measured_alike(view: View, protocol: str, rows: "pd.DataFrame", conventions: list[str]) -> "pd.DataFrame":
    """Rows of one metric, in the first of the table's conventions that we have, at the cut-off with most methods."""
    ours = _conventions(rows)
    convention = next(name for name in [*conventions, *ours] if name in ours)
    methods = rows.groupby("metric")["method"].nunique()
    table = as_in_card(tuple(Metric(view.kind, k, convention) for k in (view.k, SMALL_K)), protocol)
    recorded = [metric for metric in map(Metric.parse, methods.index) if metric.convention == convention]
    wanted = [*table, *sorted(recorded, key=lambda metric: (metric.k is None, metric.k))]
    first = max(wanted, key=lambda metric: methods.get(str(metric), 0))  # the first of equals
    return rows[rows["metric"] == str(first)]


def _row_names(rows: "pd.DataFrame") -> list[str]:
    """Names of methods, with selection rule or settings where a method has several."""
    names = rows["method"].copy()
    for method, part in rows[rows["method"] != BASELINE].groupby("method"):
        words = differing(dict(zip(part["settings_digest"], part["settings"])))
        settings = part["settings_digest"].map(words) if len(words) > 1 else None
        more = [part["selection_rule"]] * (part["selection_rule"].nunique() > 1) + [settings] * (len(words) > 1)
        if more:
            names[part.index] = [f"{method} ({', '.join(texts)})" for texts in zip(*more)]
    return names.tolist()


def _source(where: Mapping[str, str], rows: "pd.DataFrame", other: str, directions: str) -> str:
    """Where our numbers come from, in one line."""
    seeds, dates = (", ".join(map(str, sorted(set(rows[name])))) for name in ("seed", "date"))
    measure = f"{rows['metric'].iloc[0]}{other}"
    task = where["protocol"] or where["dataset"]
    encoder = where["encoder"].partition(" [")[0]
    parts = [task, encoder, measure, f"{directions} directions", f"seeds {seeds}", dates, where["kept"]]
    return ", ".join(filter(None, parts))
