"""The page of ideas: its numbers against the tables of records, and records that contradict its sentences."""

import re

import numpy as np
import pandas as pd
import pytest

from cdir_nb.conventions import BY_VALIDATION_CLASSES, LAST_EPOCH, NOTHING_SELECTED
from cdir_nb.errors import CdirError
from cdir_nb.pages import ideas
from cdir_nb.paths import ROOT
from cdir_nb.results import reproduced_records
from cdir_nb.results.files import REPRODUCED, TABLES
from cdir_nb.results.queries import QueryValues

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def records():
    tasks = {column.task for column in ideas.columns().values()}
    return [record for record in reproduced_records() if record.protocol in tasks]


@pytest.fixture(scope="module")
def table(records):
    return ideas.Table(records)


def test_the_committed_page_and_readme_are_those_of_the_records(table):
    assert (ROOT / "docs" / "results" / "ideas.md").read_text(encoding="utf-8") == ideas.page(table)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert ideas.in_readme(readme, ideas.summary(table)) == readme


def test_every_mean_in_the_tables_is_found_in_the_records(table):
    """Recomputed with pandas from the csv files, for each cell of both tables on the page."""
    files = [path for path in sorted(REPRODUCED.iterdir()) if path.name.endswith(TABLES)]
    stored = pd.concat([pd.read_csv(path, low_memory=False) for path in files])
    stored["encoder"] = stored["encoder"].str.partition(" ")[0]
    rules, checked = [LAST_EPOCH, BY_VALIDATION_CLASSES, NOTHING_SELECTED], 0
    for row, methods in table.rows.items():
        for name, column in table.columns.items():
            if not table.has(row, name):
                continue
            rows = stored[
                (stored["protocol"] == column.task)
                & (stored["encoder"] == column.encoder)
                & (stored["metric"] == column.metric)
                & stored["method"].isin(methods)
            ]
            rows = rows[[pair in column.directions for pair in zip(rows["query_domain"], rows["gallery_domain"])]]
            rows = rows[rows["selection_rule"] == next(rule for rule in rules if rule in set(rows["selection_rule"]))]
            means = rows.groupby(["settings_digest", "train_set", "seed"], dropna=False)["value"].mean()
            shown = float(table.percent(row, name).partition(" ")[0])
            sets = means.groupby(["settings_digest", "train_set"], dropna=False).mean()
            assert np.isclose(100 * sets, shown, atol=0.06).any(), (row, name)
            checked += 1
    assert checked > 40


def test_every_number_in_a_sentence_is_the_mean_of_its_row(table):
    sentences = [finding["text"] for section in ("findings", "rule") for finding in ideas.TEXTS[section]]
    cells = [match.groups() for text in sentences for match in ideas.PLACEHOLDER.finditer(text)]
    shown = ideas.summary(table)
    assert cells and all(table.percent(*cell).partition(" ")[0] in shown for cell in cells)
    written = ideas.PLACEHOLDER.sub("", " ".join(sentences))
    assert re.findall(r"\d+\.\d", written) == [], "numbers are filled in, not written"


def changed(records, method, task, points):
    """The records with all values of one method on a task raised by `points`."""
    found = []
    for record in records:
        if record.method == method and record.protocol == task:
            value = min(max(record.value + points / 100, 0), 1)
            queries = record.queries
            if queries is not None:
                numerator = queries.numerator + np.float32(points / 100) * queries.denominator
                queries = QueryValues(numerator, queries.denominator, queries.labels)
            record = record.model_copy(update={"value": value}).with_queries(queries)
        found.append(record)
    return found


def test_a_record_that_reverses_a_comparison_stops_the_page(records):
    for method, task, points, message in (
        ("CLAIR w/o freezing", "sketchy_mini-21", -10, "clair_tower is not above expanded in sketchy, but below"),
        ("vanilla CLIP", "pacs-heldout", 20, "trained_means is not above frozen in pacs, but below"),
        ("SnMpNet", "sketchy_quickdraw-ucdr-quickdraw", 5, "snmpnet is not below base in doodles, but above"),
        ("TKI", "sketchy_mini-21", 30, "tki is not below frozen in sketchy, but above"),
    ):
        with pytest.raises(CdirError, match=re.escape(message)) as error:
            ideas.summary(ideas.Table(changed(records, method, task, points)))
        assert "\n" not in str(error.value)


def test_a_difference_that_can_no_longer_be_told_from_zero_stops_the_page(records, table):
    gap = table.gap("expanded", "trained_means", "drawn")
    expanded = table.rows["expanded"][0]
    with pytest.raises(CdirError, match="expanded is not above trained_means in drawn, but level"):
        ideas.summary(ideas.Table(changed(records, expanded, "world-unseen", -gap.points)))


def test_a_record_that_keeps_the_order_changes_the_number(records, table):
    method = table.rows["q"][0]
    assert f"| {table.percent('q', 'sketchy')} ▲" in ideas.means_table(table, "clip")
    other = ideas.Table(changed(records, method, "sketchy_mini-21", 0.4))
    assert float(other.percent("q", "sketchy")) == pytest.approx(float(table.percent("q", "sketchy")) + 0.4, abs=0.11)


def test_a_column_without_records_is_left_out_only_if_it_may_be(records):
    without = [record for record in records if record.protocol != "emoji-all"]
    assert "emoji" not in ideas.Table(without).columns
    with pytest.raises(CdirError, match="no committed records of trained_means in sketchy"):
        ideas.summary(ideas.Table([record for record in records if record.protocol != "sketchy_mini-21"]))


def test_gaps_without_values_of_queries_are_decided_by_seeds():
    assert ideas.Gap(1.0, (0.5, 1.5), None).relation == "above"
    assert ideas.Gap(0.1, (-0.5, 0.7), None).relation == "level"
    assert ideas.Gap(1.0, (0.5, 1.5), (-0.1, 2.0)).relation == "level"
    assert ideas.Gap(-1.0, (-1.0,), (-2.0, -0.1)).relation == "below"


def test_the_readme_needs_one_pair_of_marks():
    marks = f"a\n{ideas.BEGIN}\nold\n{ideas.END}\nb\n"
    assert ideas.in_readme(marks, "new") == f"a\n{ideas.BEGIN}\n\nnew\n\n{ideas.END}\nb\n"
    for text in ("none", marks + marks):
        with pytest.raises(CdirError, match="once each"):
            ideas.in_readme(text, "new")
