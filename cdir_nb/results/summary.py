"""Summary of records: for each task one line per method, with the headline precision of its protocol.

The headline is the first precision in the protocol's card, with its convention. If no method was measured with it, the
next precision in the card is used; without a card (your own images), the first precision in the records.
"""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportReturnType=false

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

from cdir_nb.conventions import Metric
from cdir_nb.data.protocols import protocol_spec
from cdir_nb.results.aggregate import BASELINE, differing, means, plus_minus, steps_taken
from cdir_nb.results.records import DERIVED, DIRECTION, SAME, SETTING, TASK

if TYPE_CHECKING:
    import pandas as pd

BLOCK = [*TASK, "test_set"]
# What two settings of one method may differ in, within a block and a metric; the settings' values are named first.
WITHIN = sorted({*SETTING} - {*BLOCK, *DERIVED, "method", "metric"}, key=lambda name: (name != "settings_digest", name))
WIDTH = 100  # characters per line of a printed block
NAME = 40  # longer method names are shortened


@dataclass(frozen=True)
class Line:
    """One method on one task.

    percent    mean over directions of the mean over seeds
    spread     standard deviation over seeds of the mean over directions; None for one seed or if directions are missing
    steps      training steps of the reported states, such as `92 to 184`; empty if not known
    gain       points above vanilla CLIP, over the directions that both have; None without such directions
    better_in  (number of directions in which it is above vanilla CLIP, number of directions that both have)
    """

    method: str
    percent: float
    spread: float | None
    seeds: int
    directions: int
    steps: str
    gain: float | None
    better_in: tuple[int, int]
    selection_rule: str

    @property
    def texts(self) -> tuple[str, ...]:
        """Name, precision, seeds, steps, gain, directions: the columns of a printed block."""
        gain, directions = "", f"(of {self.directions})"
        if self.gain is not None:
            gain, directions = f"{self.gain:+.2f}", "{} of {}".format(*self.better_in)
        name = textwrap.shorten(self.method, NAME, placeholder=" ...")
        return name, plus_minus(self.percent, self.spread), str(self.seeds), self.steps, gain, directions


@dataclass(frozen=True)
class Block:
    """One task, with the line of vanilla CLIP first. `without`: methods without a number in the headline metric.

    `str` gives the printed table, at most `WIDTH` characters wide: methods by selection rule.
    """

    dataset: str
    protocol: str
    encoder: str
    test_set: str
    metric: Metric
    lines: tuple[Line, ...]
    without: tuple[str, ...]

    def __str__(self) -> str:
        measure = self.metric.short
        protocol = "" if self.protocol in self.test_set else self.protocol
        header = ("method, by selection rule", measure, "seeds", "steps", "vs vanilla", "better in")
        rows = [(f"  {name}", *rest) for name, *rest in (line.texts for line in self.lines)]
        # A rule has its own line, so that it does not widen the column of the names.
        widths = [max(map(len, column)) for column in zip(header, *rows)]
        table = ["  ".join(map(str.ljust, header, widths))]
        for rule in dict.fromkeys(line.selection_rule for line in self.lines):
            table.append(rule)
            for line, row in zip(self.lines, rows):
                if line.selection_rule == rule:
                    table.append("  ".join(map(str.ljust, row, widths)))
        return "\n".join(
            [
                _fill(", ".join(filter(None, (self.dataset, protocol, self.test_set, self.encoder)))),
                f"{self.metric} in percent, mean over directions; last two columns: common directions",
                *(f"  {row.rstrip()}" for row in table),
                *([_fill(f"  without {measure}: {'; '.join(self.without)}")] if self.without else []),
            ]
        )


def _fill(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="    ")


def summarise(frame: "pd.DataFrame") -> list[Block]:
    """One block per dataset, protocol, test set and encoder that has a precision from one domain to another.

    frame  from `to_frame`
    """
    across = (frame["gallery_domain"] != "") & (frame["query_domain"] != frame["gallery_domain"])
    rows = frame[across & frame["metric"].map(_is_precision).astype(bool)]
    return [_block(task, task_rows) for task, task_rows in rows.groupby(BLOCK, sort=False)]


def _is_precision(metric: str) -> bool:
    return Metric.parse(metric).kind == "precision"


def _block(task: tuple[str, ...], rows: "pd.DataFrame") -> Block:
    metric = _headline(task[1], rows)
    measured = rows[rows["metric"] == str(metric)]
    names = sorted(measured["method"].unique(), key=lambda name: name != BASELINE)  # stable: others as recorded
    without = [name for name in rows["method"].unique() if name not in names]
    settings = [part for name in names for part in _settings(measured[measured["method"] == name])]
    vanilla = [part for name, part in settings if name == BASELINE]
    lines = [_line(name, part, vanilla[0] if vanilla else None) for name, part in settings]
    return Block(*task, metric, tuple(lines), tuple(without))


def _headline(protocol: str, rows: "pd.DataFrame") -> Metric:
    """The headline precision; see the module docstring."""
    recorded, spec = list(map(Metric.parse, rows["metric"].unique())), protocol_spec(protocol)
    listed = [entry.metric for entry in spec.metrics] if spec else []
    return next(metric for metric in [*listed, *recorded] if metric in recorded)


def _settings(rows: "pd.DataFrame") -> Iterator[tuple[str, "pd.DataFrame"]]:
    """A method's name and rows; settings with different numbers are separate, named by the fields that differ, except
    for the selection rule.
    """
    method = rows["method"].iloc[0]
    values = rows.groupby(["seed", *DIRECTION])["value"]
    if (values.max() - values.min()).max() <= SAME:
        yield method, rows
        return
    words = differing(dict(zip(rows["settings_digest"], rows["settings"])))
    columns = [column for column in WITHIN if rows[column].nunique() > 1]
    for key, part in rows.groupby(columns, sort=False):
        fields = {column: value for column, value in zip(columns, key) if column != "selection_rule"}
        more = [words[value] if column == "settings_digest" else str(value) for column, value in fields.items()]
        yield ": ".join([method, ", ".join(more)] if more else [method]), part


def _line(name: str, rows: "pd.DataFrame", vanilla: "pd.DataFrame | None") -> Line:
    result = means(rows, by="method").iloc[0]
    gain, better_in = None, (0, 0)
    if vanilla is not None and name != BASELINE:
        gains = (_by_direction(rows) - _by_direction(vanilla)).dropna()
        gain = 100 * float(gains.mean()) if len(gains) else None
        better_in = (int((gains > SAME).sum()), len(gains))
    rules = ", ".join(rows["selection_rule"].unique())
    percent, spread = 100 * result["mean"], None if isnan(result["spread"]) else 100 * result["spread"]
    seeds, directions = len(result["seeds"]), int(result["directions"])
    return Line(name, percent, spread, seeds, directions, steps_taken(rows), gain, better_in, rules)


def _by_direction(rows: "pd.DataFrame") -> "pd.Series":
    """Mean over seeds, per direction."""
    return rows.groupby(list(DIRECTION))["value"].mean()
