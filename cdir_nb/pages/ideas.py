"""The page "Which ideas hold, and when", docs/results/ideas.md, and its first part in the README.

    python -m cdir_nb.pages.ideas

All numbers come from the committed records. The sentences are in ideas.yaml, each with the comparisons of numbers
that it states. If records change so that a comparison is reversed, or a difference can no longer be told from zero, no
page is written.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby
from pathlib import Path
from statistics import mean, stdev

import typer
import yaml

from cdir_nb.conventions import BY_VALIDATION_CLASSES, LAST_EPOCH, NOTHING_SELECTED
from cdir_nb.data import load_card
from cdir_nb.data.protocols import dataset_of, protocol_directions
from cdir_nb.encoders.pretraining import NOTE
from cdir_nb.errors import CdirError
from cdir_nb.methods import METHODS
from cdir_nb.methods.reference import SEES_TEST_IMAGES
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import Record, reproduced_records
from cdir_nb.results.printed import markdown
from cdir_nb.results.significance import by_run, class_interval, seed_differences

TEXTS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
RULES = (LAST_EPOCH, BY_VALIDATION_CLASSES, NOTHING_SELECTED)  # the first that a method has is shown
ABOVE, BELOW, LEVEL = "above", "below", "level"
SIGNS = {ABOVE: " ▲", BELOW: " ▼", LEVEL: " ="}
BEGIN, END = "<!-- ideas: written by python -m cdir_nb.pages.ideas -->", "<!-- ideas: end -->"
ZERO_SHOT = re.compile("accuracy:zero-shot, among")
PLACEHOLDER = re.compile(r"\{([^{}|]+)\|([^{}|]+)\}")  # {row|column} in a sentence: the row's mean


@dataclass(frozen=True)
class Column:
    """A column of the tables: a task, an encoder and a metric. `optional`: left out while it has no records."""

    name: str
    task: str
    encoder: str
    metric: str
    directions: tuple[tuple[str, str], ...]
    optional: bool = False

    @classmethod
    def read(cls, name: str, fields: Mapping) -> "Column":
        directions = [tuple(pair) for pair in fields.get("directions", protocol_directions(fields["task"]))]
        return cls(name, fields["task"], fields["encoder"], fields["metric"], tuple(directions), "optional" in fields)

    @cached_property
    def classes(self) -> int:
        """The number of query classes."""
        card = load_card(dataset_of(self.task))
        spec = card.protocols[self.task]
        return len(card.labelled_for(spec).fractions(spec.query))


@dataclass(frozen=True)
class Gap:
    """`a` minus `b` in points: mean over directions and seeds, one value per seed, 95 % interval over classes.

    The interval is None unless the values of single queries are stored for both.
    """

    points: float
    by_seed: tuple[float, ...]
    interval: tuple[float, float] | None

    @property
    def relation(self) -> str:
        """Above or below if the interval excludes zero (without an interval: if all seeds agree); otherwise level."""
        low, high = self.interval or (min(self.by_seed), max(self.by_seed))
        return ABOVE if low > 0 else BELOW if high < 0 else LEVEL

    def __str__(self) -> str:
        """The difference and its interval, such as `+6.0 (+4.1 to +8.2)`."""
        if self.interval:
            text = "{:+.1f} ({:+.1f} to {:+.1f})".format(self.points, *self.interval)
        elif len(self.by_seed) > 1:
            text = f"{self.points:+.1f} (seeds {', '.join(f'{points:+.1f}' for points in self.by_seed)})"
        else:
            text = f"{self.points:+.1f} (no interval)"
        return text + (" **cannot be told from zero**" if self.relation == LEVEL else "")


@dataclass
class Table:
    """The means of all rows in all columns, and their differences.

    texts  rows, columns and sentences of a page, as in ideas.yaml
    rows   {row: names of methods, of which the first with records is shown}
    """

    records: Sequence[Record]
    texts: Mapping = field(default_factory=lambda: TEXTS)

    def __post_init__(self) -> None:
        self.rows, self.columns = row_methods(self.texts), columns(self.texts)
        stored: dict[tuple[str, str, str, str], list[Record]] = defaultdict(list)
        for record in self.records:
            encoder = record.encoder.split()[0]
            stored[record.protocol, encoder, record.metric, record.method].append(record)
        self._cells = {
            (row, column.name): records
            for column in self.columns.values()
            for row, names in self.rows.items()
            if (records := next(filter(None, (_complete(stored, column, name) for name in names)), None))
        }
        self.columns = {
            name: c for name, c in self.columns.items() if not c.optional or ("frozen", name) in self._cells
        }

    def cell(self, row: str, column: str) -> list[Record]:
        """The records of a row in a column. Raises CdirError if there are none."""
        if (row, column) not in self._cells:
            raise CdirError(f"no committed records of {row} in {column} for all directions: measure them")
        return self._cells[row, column]

    def has(self, row: str, column: str) -> bool:
        """Whether there are records of a row in a column."""
        return (row, column) in self._cells

    def percents(self, row: str, column: str) -> list[float]:
        """For each seed, the mean over directions, in percent."""
        return [100 * mean(r.value for r in run.values()) for run in by_run(self.cell(row, column)).values()]

    def percent(self, row: str, column: str) -> str:
        """The mean over seeds with its standard deviation, with one decimal."""
        values = self.percents(row, column)
        spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
        return f"{mean(values):.1f}{spread}"

    def gap(self, row: str, other: str, column: str) -> Gap:
        """`row` minus `other` in a column. Raises CdirError if either was not measured there."""
        a, b = self.cell(row, column), self.cell(other, column)
        by_seed = tuple(seed_differences(a, b).values())
        known = all(record.queries for record in (*a, *b))
        return Gap(mean(by_seed), by_seed, class_interval(a, b, self.columns[column].metric) if known else None)


def columns(texts: Mapping = TEXTS) -> dict[str, Column]:
    """{name: column of the table}, in its order."""
    return {name: Column.read(name, fields) for name, fields in texts["columns"].items()}


def row_methods(texts: Mapping = TEXTS) -> dict[str, list[str]]:
    """{row: names of methods}; "FROZEN + ..." stands for a step on each of the frozen encoders."""
    frozen = texts["rows"]["frozen"]["methods"]

    def expand(name: str) -> list[str]:
        return [*dict.fromkeys(name.replace("FROZEN", base) for base in frozen)]

    return {row: [*chain(*map(expand, fields["methods"]))] for row, fields in texts["rows"].items()}


def _complete(stored: Mapping, column: Column, method: str) -> list[Record] | None:
    """A method's records of one setting in all directions of a column: of the first rule, and with the most seeds."""
    records = stored.get((column.task, column.encoder, column.metric, method), [])
    records = [r for r in records if (r.query_domain, r.gallery_domain) in column.directions]
    rule = next((rule for rule in RULES if any(r.selection_rule == rule for r in records)), None)
    settings: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.selection_rule == rule:
            settings[record.settings_digest, record.train_set].append(record)
    runs = [by_run(sorted(part, key=lambda record: not record.queries)) for part in settings.values()]
    complete = [part for part in runs if all(len(run) == len(column.directions) for run in part.values())]
    finished = ([*chain(*map(dict.values, part.values()))] for part in complete)
    return max(finished, key=len, default=None)


# ---- texts --------------------------------------------------------------------------------------------------------


def summary(table: Table) -> str:
    """The part of the page that is also in the README: table, findings, decision rule and caveats."""
    parts = [TEXTS["intro"], means_table(table, "clip"), TEXTS["legend"], "**What we found**"]
    parts += ["\n".join(findings(table, "findings")), "**Which method would you use?** The first line that applies:"]
    parts += ["\n".join(findings(table, "rule")), _quoted(TEXTS["caveats"])]
    return "\n\n".join(parts)


def means_table(table: Table, name: str) -> str:
    """Means of all rows; a mark shows whether the difference from the frozen encoder can be told from zero."""
    shown = [table.columns[column] for column in table.texts["tables"][name] if column in table.columns]
    head = ["", *(table.texts["columns"][column.name]["title"] for column in shown)]
    lines = [
        ["*encoder*", *(column.encoder for column in shown)],
        ["*queries whose class it names correctly*", *(_knows(table, column) for column in shown)],
        ["*classes*", *(str(column.classes) for column in shown)],
        ["*metric*", *(column.metric.replace(":hits_over_k", "").replace(":", " ") for column in shown)],
    ]
    for group, rows in groupby(table.texts["rows"].items(), key=lambda item: item[1]["group"]):
        cells = [[fields["label"], *(_cell(table, row, column.name) for column in shown)] for row, fields in rows]
        cells = [line for line in cells if any(line[1:])]
        lines += [[f"**{group}**", *[""] * len(shown)], *cells] if cells else []
    return markdown(head, lines).strip()


def _cell(table: Table, row: str, column: str) -> str:
    if not table.has(row, column):
        return ""
    text = table.percent(row, column)
    if row == "frozen":
        return text
    gap = table.gap(row, "frozen", column)
    return text + (SIGNS[gap.relation] if gap.interval else "") + _mark_of_images(table.cell(row, column))


def _mark_of_images(records: Sequence[Record]) -> str:
    """The mark (1) if training images are test images, (2) if the encoder saw some in its pretraining; else empty."""
    train_set = records[0].train_set
    is_frozen = records[0].selection_rule == NOTHING_SELECTED
    return " (1)" if SEES_TEST_IMAGES in train_set else " (2)" if is_frozen and NOTE in train_set else ""


def _knows(table: Table, column: Column) -> str:
    """Zero-shot accuracy among the query classes, mean over query domains; empty if not measured on this task."""
    named = [r for r in table.records if r.encoder.split()[0] == column.encoder and ZERO_SHOT.match(r.metric)]
    among = re.compile(rf"{ZERO_SHOT.pattern} (the|all) {column.classes} ")
    accuracies = {r.query_domain: r.value for r in named if r.protocol == column.task and among.match(r.metric)}
    if not named:
        return "no texts"
    return f"{100 * mean(accuracies.values()):.0f} %" if accuracies else ""


def findings(table: Table, section: str) -> Iterator[str]:
    """One line per finding, with its evidence. Raises CdirError for a sentence that the records do not support."""
    for number, finding in enumerate(table.texts[section], start=1):
        evidence: dict[str, list[str]] = defaultdict(list)
        for row, relation, other, *names in finding["because"]:
            pair = " minus ".join(table.texts["rows"][part]["short"] for part in (row, other))
            for name in (name for name in names if name in table.columns):
                gap = table.gap(row, other, name)
                if gap.relation != relation:
                    raise CdirError(
                        f"{section} {number}: {row} is not {relation} {other} in {name}, "
                        f"but {gap.relation} ({gap}): change the sentence"
                    )
                evidence[pair].append(f"{table.texts['columns'][name]['short']} {gap}")
        texts = ". ".join(f"{pair}: {'; '.join(gaps)}" for pair, gaps in evidence.items())
        text = PLACEHOLDER.sub(lambda match: table.percent(*match.groups()).partition(" ")[0], finding["text"])
        text = text.format(**_query_sets())
        yield f"{number}. {text}" + (f"<br><sub>{texts}.</sub>" if texts and section == "findings" else "")


def _query_sets() -> dict[str, str]:
    """Numbers of docs/results/frozen-queries.csv for the text: {protocol_method_number: percent}."""
    tasks = {"sketchy_mini-21-heldout": "sketchy", "world-unseen": "world"}
    methods = {"vanilla CLIP": "raw", "test means": "test", "training means": "training"}
    with (ROOT / "docs" / "results" / "frozen-queries.csv").open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row["queries"] == "of n classes"]
    return {
        f"{tasks[row['protocol']]}_{methods[row['method']]}_{row['number']}": f"{float(row['P@10']):.1f}"
        for row in rows
    }


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def page(table: Table) -> str:
    """The text of docs/results/ideas.md."""
    parts = [
        "# Which ideas hold, and when",
        summary(table),
        TEXTS["without_texts"],
        means_table(table, "without_texts"),
    ]
    parts += [TEXTS["other_encoders"], encoders_table(table)]
    parts += [TEXTS["differences"], *(differences_table(table, name) for name in TEXTS["tables"])]
    parts += [TEXTS["map"], learns_from(), TEXTS["details"]]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def encoders_table(table: Table) -> str:
    """Means of the reference rows by encoder, on one task."""
    rows = TEXTS["encoder_rows"]
    head = ["encoder", *(TEXTS["rows"][row]["short"] for row in rows)]
    cells = [[table.columns[name].encoder, *(table.percent(row, name) for row in rows)] for name in TEXTS["encoders"]]
    return markdown(head, cells).strip()


def differences_table(table: Table, name: str) -> str:
    """Differences of all rows from the frozen encoder, with their intervals."""
    shown = [column for column in table.texts["tables"][name] if column in table.columns]
    head, lines = ["", *(table.texts["columns"][column]["short"] for column in shown)], []
    for row, fields in table.texts["rows"].items():
        has = [row != "frozen" and table.has(row, column) for column in shown]
        if any(has):
            gaps = [str(table.gap(row, "frozen", column)) if there else "" for column, there in zip(shown, has)]
            lines.append([f"{fields['group']}: {fields['label']}", *gaps])
    return markdown(head, lines).strip()


def learns_from() -> str:
    """A table of what methods learn from, what they are fitted for, and what they use besides the query."""
    head, lines = ["method", "learns from", "fitted for", "besides the query, it uses"], []
    for name in TEXTS["map_methods"]:
        method = METHODS[name]
        learns = ", ".join(method.learns_from) or "nothing"
        lines.append([name, learns, method.fitted_for, TEXTS["at_test"].get(name, "–")])
    return markdown(head, [*lines, *TEXTS["map_references"]]).strip()


def in_readme(readme: str, text: str) -> str:
    """The README with the text between the two marks. Raises CdirError unless each mark occurs once."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise CdirError(f"README.md must have the lines {BEGIN} and {END} once each")
    before, _, end = readme.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{end.partition(END)[2]}"


def main() -> None:
    """Write docs/results/ideas.md and the part between the marks in the README."""
    table = Table(reproduced_records())
    readme = ROOT / "README.md"
    texts = {
        ROOT / "docs" / "results" / "ideas.md": page(table),
        readme: in_readme(readme.read_text(encoding="utf-8"), summary(table)),
    }
    for path, text in texts.items():
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
