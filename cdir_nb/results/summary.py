"""Summary of records: for each task one line per method, with the headline precision of its protocol.

The headline is the first precision in the protocol's card, with its convention. If no method was measured with it, or
every ranking scores the same (a cut-off at the end of every gallery), the next precision in the card is used; without a
card (your own images), the first precision in the records; if no precision is left, an average precision.
"""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false, reportOperatorIssue=false, reportReturnType=false

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

from cdir_nb.conventions import FROZEN, Metric
from cdir_nb.data.protocols import protocol_spec
from cdir_nb.results.aggregate import differing, means, plus_minus, range_text
from cdir_nb.results.alike import differs, identified, is_constant, labelled
from cdir_nb.results.records import BASELINE, DERIVED, DIRECTION, SAME, SETTING, TASK, is_baseline

if TYPE_CHECKING:
    import pandas as pd

BLOCK = [*TASK, "test_set", "image_set"]
# What two settings of one method may differ in, within a block and a metric; the settings' values are named first.
WITHIN = sorted(
    {*SETTING, "train_pool"} - {*BLOCK, *DERIVED, "method", "metric"},
    key=lambda name: (name != "settings_digest", name),
)
TEXTS = {"train_pool": "set {} of images to train on"}
WIDTH = 80  # characters per line of a printed block
NARROW = 20  # the least width of the column of names, in characters
ALL_QUERIES, PARTIAL = " *", " †"  # marks of names, explained by NOTES below a block
NOTES = {
    ALL_QUERIES: "* uses all queries at test time",
    PARTIAL: "† a mean over some of the directions, not comparable with the others",
}
COLUMNS = ("method", "{metric}", "steps", "vs vanilla", "better in")


@dataclass(frozen=True)
class Line:
    """One method on one task.

    percent         mean over directions of the mean over seeds
    spread          standard deviation over seeds of the mean over directions; None for one seed or if directions are
                    missing
    directions      number of directions with a number
    all_directions  number of directions in which any method on the task has a number
    steps           training steps of the reported states, such as `92 to 184`; empty if not known
    gain            points above the baseline, over the directions that both have; None without such directions
    better_in       (number of directions in which it is above the baseline, number of directions that both have)
    test_time_data  data at test time besides the query itself, such as "all queries, gallery"
    """

    method: str
    percent: float
    spread: float | None
    seeds: int
    directions: int
    all_directions: int
    steps: str
    gain: float | None
    better_in: tuple[int, int]
    selection_rule: str
    test_time_data: str

    @property
    def is_partial(self) -> bool:
        """Whether its mean is over fewer directions than other methods' means, and so not comparable with these."""
        return self.directions < self.all_directions

    @property
    def name(self) -> str:
        """The method's name, marked if it uses all queries."""
        return labelled(self.method, self.test_time_data)

    @property
    def marked_name(self) -> str:
        """The method's name with the marks of NOTES."""
        return self.method + ALL_QUERIES * (self.name != self.method) + PARTIAL * self.is_partial

    @property
    def texts(self) -> tuple[str, ...]:
        """Name, precision, seeds, steps, gain, directions: the columns of the table at the end of a run."""
        gain, directions = "", f"(of {self.directions})"
        if self.gain is not None:
            gain, directions = f"{self.gain:+.2f}", "{} of {}".format(*self.better_in)
        percent = plus_minus(self.percent, self.spread)
        percent += f", {self.directions} of {self.all_directions}" if self.is_partial else ""
        return self.name, percent, str(self.seeds), self.steps, gain, directions


@dataclass(frozen=True)
class Block:
    """One task on one set of images, with the line of the baseline first.

    image_set  number of the set of images, if the task was measured on several; otherwise ""
    counts     the dataset's number of images if it differs from the card's, such as "168 of 9,991 images"; otherwise ""
    without    methods without a number in the headline metric

    `str` gives the printed table, at most `WIDTH` characters wide: methods by selection rule.
    """

    dataset: str
    protocol: str
    encoder: str
    test_set: str
    image_set: str
    counts: str
    metric: Metric
    lines: tuple[Line, ...]
    without: tuple[str, ...]

    @property
    def task(self) -> str:
        """Dataset, protocol, set of images and encoder in words."""
        protocol = "" if self.protocol in self.test_set else self.protocol
        images = self.image_set and f"set {self.image_set} of images"
        parts = (self.dataset, self.counts, protocol, self.test_set, images, self.encoder)
        return ", ".join(filter(None, parts))

    @property
    def measure(self) -> str:
        """Metric, convention, what was averaged, and the number of seeds for lines that do not state their own."""
        spread = f" ± standard deviation over {self._seeds} seeds" if self._seeds > 1 else ""
        has_gains = any(line.gain is not None for line in self.lines)
        gains = "; vs vanilla and better in: directions that both have" if has_gains else ""
        return f"{self.metric} in percent, mean over directions{spread}{gains}"

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns of `row`."""
        return tuple(name.format(metric=self.metric.short) for name in COLUMNS)

    @property
    def notes(self) -> list[str]:
        """The meaning of the marks in this block, and the methods that it lacks."""
        names = [line.marked_name for line in self.lines]
        marks = [note for mark, note in NOTES.items() if any(mark in name for name in names)]
        return [*marks, *([f"without {self.metric.short}: {'; '.join(self.without)}"] if self.without else [])]

    @property
    def rules(self) -> dict[str, list[Line]]:
        """{selection rule: its lines}"""
        rules = dict.fromkeys(line.selection_rule for line in self.lines)
        return {rule: [line for line in self.lines if line.selection_rule == rule] for rule in rules}

    def row(self, line: Line) -> tuple[str, ...]:
        """The texts of a line: marked name, percent, steps, gain, directions.

        The number of seeds is added to a percentage that has no spread, and to one for which it differs from the
        number that the block states.
        """
        percent = plus_minus(line.percent, line.spread)
        if line.spread is None or line.seeds != self._seeds:
            percent += f" ({line.seeds} seed{'s' if line.seeds > 1 else ''})"
        steps, *gain = line.texts[3:]
        return line.marked_name, percent, steps.replace(" to ", "–"), *gain

    @property
    def _seeds(self) -> int:
        """The number of seeds behind most of the spreads; 1 if there is no spread."""
        counts = [line.seeds for line in self.lines if line.spread is not None]
        return max(counts, key=counts.count, default=1)

    def __str__(self) -> str:
        rows = [self.header, *(self.row(line) for line in self.lines)]
        used = [i for i in range(1, len(self.header)) if any(row[i] for row in rows[1:])]
        widths = [max(len(row[i]) for row in rows) for i in used]
        room = max(NARROW, WIDTH - 4 - sum(widths) - 2 * len(widths))
        width = min(room, max(len(name) for name, *_ in rows))

        def printed(row: tuple[str, ...], indent: str) -> list[str]:
            """The printed lines of a row: name and numbers, then the rest of a long name."""
            name, *more = textwrap.wrap(row[0], width, subsequent_indent="  ")
            numbers = "  ".join(row[i].ljust(w) for i, w in zip(used, widths))
            return [f"{indent}{name:<{width + 4 - len(indent)}}  {numbers}".rstrip(), *(indent + text for text in more)]

        table = printed(self.header, "  ")
        for rule, lines in self.rules.items():
            table += [f"  {rule}", *(text for line in lines for text in printed(self.row(line), "    "))]
        return "\n".join([_fill(self.task), _fill(self.measure), *table, *(_fill(f"  {note}") for note in self.notes)])


def _fill(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="    ")


def summarise(frame: "pd.DataFrame", metric: str = "") -> list[Block]:
    """One block per dataset, protocol, test set, set of images and encoder; only rankings between two domains count.

    frame   a table of records from `to_frame`
    metric  the metric of every block, such as `mAP@200:over_found`; tasks without it are left out. Default: the
            headline of each task
    """
    frame = identified(frame)
    across = (frame["gallery_domain"] != "") & (frame["query_domain"] != frame["gallery_domain"])
    ranked = frame["metric"].map(lambda name: Metric.parse(name).kind != "accuracy")
    frame = frame[across & ranked]
    blocks = (_block(task, rows, metric) for task, rows in frame.groupby(BLOCK, sort=False))
    return [block for block in blocks if block]


def _block(task: tuple[str, ...], rows: "pd.DataFrame", name: str) -> Block | None:
    """The block of a task; None if the metric was not measured or, without a name, if every ranking scores the same."""
    metric = Metric.parse(name) if name else _headline(task[1], rows)
    if metric is None or str(metric) not in set(rows["metric"]):
        return None
    measured = rows[rows["metric"] == str(metric)]
    without = [name for name in rows["method"].unique() if name not in set(measured["method"])]
    settings = [setting for _, part in measured.groupby("method", sort=False) for setting in _settings(part)]
    baseline = _baseline([part for _, part in settings])
    settings.sort(key=lambda setting: setting[1] is not baseline)  # stable: others as recorded
    lines = _lines(settings, has_baseline=baseline is not None)
    image_counts = ", ".join(filter(None, measured["image_counts"].unique()))
    return Block(*task, image_counts, metric, tuple(lines), tuple(without))


def _headline(protocol: str, rows: "pd.DataFrame") -> Metric | None:
    """The headline metric; see the module docstring."""
    galleries = rows.fillna({"gallery_images": 0}).groupby("metric", sort=False)["gallery_images"].unique()
    recorded = [Metric.parse(name) for name, sizes in galleries.items() if not is_constant(Metric.parse(name), sizes)]
    spec = protocol_spec(protocol)
    listed = [entry.metric for entry in spec.metrics if entry.kind == "precision"] if spec else []
    other = sorted(recorded, key=lambda metric: metric.kind != "precision")
    return next((metric for metric in [*listed, *other] if metric in recorded), None)


def _settings(rows: "pd.DataFrame") -> Iterator[tuple[str, "pd.DataFrame"]]:
    """A name and the rows for each setting of a method; a setting that repeats the numbers of another is left out.

    If there are several, the name states the fields that differ, except for the selection rule.
    """
    columns = [name for name in WITHIN if differs(rows, name)]
    parts = [part for _, part in rows.groupby(columns, sort=False)] if columns else [rows]
    parts = [part for i, part in enumerate(parts) if not any(_repeats(part, other) for other in parts[:i])]
    settings = dict(pair for part in parts for pair in zip(part["settings_digest"], part["settings"]))
    words = differing(settings)
    for part in parts:
        first, more = part.iloc[0], []
        for name in columns:
            if name != "selection_rule" and len({other[name].iloc[0] for other in parts}) > 1:
                more.append(
                    words[first[name]] if name == "settings_digest" else TEXTS.get(name, "{}").format(first[name])
                )
        yield ": ".join([first["method"], ", ".join(more)] if more else [first["method"]]), part


def _repeats(rows: "pd.DataFrame", other: "pd.DataFrame") -> bool:
    """Whether all numbers of one setting are also those of another, from the same selection rule and data."""
    cell = ["seed", *DIRECTION, "selection_rule", "data_at_test_time"]
    values = rows.groupby(cell)["value"].max()
    return bool(((values - other.groupby(cell)["value"].max().reindex(values.index)).abs() <= SAME).all())


def _baseline(settings: Sequence["pd.DataFrame"]) -> "pd.DataFrame | None":
    """The rows of the baseline: those named BASELINE, or else those of the only frozen encoder, if any."""
    frozen = [rows for rows in settings if all(map(is_baseline, rows.itertuples()))]
    called = [rows for rows in frozen if rows["method"].iloc[0] == BASELINE]
    certain = [rows for rows in frozen if (rows["train_set"] == FROZEN).all()]
    return next(iter(called or (certain if len(certain) == 1 else [])), None)


def _lines(settings: Sequence[tuple[str, "pd.DataFrame"]], has_baseline: bool) -> list[Line]:
    """One line for each setting (name, rows); the first setting may be the baseline."""
    import pandas as pd

    rows = pd.concat([part.assign(setting=i) for i, (_, part) in enumerate(settings)])
    results, count = means(rows, by="setting"), len(rows.drop_duplicates(list(DIRECTION)))
    by_direction = rows.groupby(["setting", *DIRECTION])["value"].mean()
    lines = []
    for i, (name, part) in enumerate(settings):
        result, gain, better_in = results.loc[i], None, (0, 0)
        if has_baseline and i > 0:
            gains = (by_direction.loc[i] - by_direction.loc[0]).dropna()
            gain = 100 * float(gains.mean()) if len(gains) else None
            better_in = (int((gains > SAME).sum()), len(gains))
        lines.append(
            Line(
                method=name,
                percent=100 * result["mean"],
                spread=None if isnan(result["spread"]) else 100 * result["spread"],
                seeds=len(result["seeds"]),
                directions=int(result["directions"]),
                all_directions=count,
                steps=range_text(part["steps"]),
                gain=gain,
                better_in=better_in,
                selection_rule=part["selection_rule"].iloc[0],
                test_time_data=part["data_at_test_time"].iloc[0],
            )
        )
    return lines
