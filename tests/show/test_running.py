"""The running table: means of the committed tables, recomputed here from their csv files; one task per table."""

import csv
import gzip
from statistics import mean, stdev

import pytest

from cdir_nb.errors import CdirError
from cdir_nb.results.files import REPRODUCED
from cdir_nb.show import running_table
from cdir_nb.show.running import IDEAS, METRIC


def rows_of(markdown):
    """The cells of the heading and of all rows."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in markdown.splitlines() if "| " in line]


def by_hand(table, protocol, method, directions=None):
    """Mean over directions for each seed, in percent, in the last epoch."""
    opened = gzip.open if table.endswith(".gz") else open
    with opened(REPRODUCED / table, "rt") as handle:
        values = {
            (row["seed"], row["query_domain"], row["gallery_domain"]): 100 * float(row["value"])
            for row in csv.DictReader(handle)
            if (row["method"], row["protocol"], row["metric"]) == (method, protocol, METRIC)
            and row["selection_rule"] in ("last epoch", "nothing selected")
        }
    chosen = [key for key in values if directions is None or key[1:] in directions]
    return [mean(values[key] for key in chosen if key[0] == seed) for seed in sorted({key[0] for key in chosen})]


@pytest.fixture(scope="module")
def chapter_10():
    """The tables of chapter 10, one per task."""
    return str(running_table("10").data).split("\n\n\n")


def test_a_chapter_shows_the_ideas_so_far_and_its_own_in_bold():
    head, *rows = rows_of(running_table("04").data)
    assert head[-1] == "P@10, 30 directions"
    assert [row[:2] for row in rows] == [
        ["01", "CLIP as it is"], ["03", "centred"], ["03", "centred, query expanded"], ["**04**", "**Q**"],
    ]  # fmt: skip
    (clip,), (q,) = (by_hand("q-world.csv", "world-unseen", method) for method in ("vanilla CLIP", "CLIP + Q"))
    assert [rows[0][-1], rows[-1][-1]] == [f"{clip:.1f}", f"**{q:.1f}**"]


def test_a_chapter_without_an_idea_repeats_the_table():
    assert running_table("02").data == str(running_table("01").data).replace("**", "")


@pytest.mark.medium
def test_an_idea_with_fewer_directions_is_compared_within_these(chapter_10):
    head, *rows = rows_of(chapter_10[0])
    assert head[-2:] == ["P@10, 30 directions", "P@10, 4 directions that all have"]
    pairs = ("quickdraw", "real"), ("clipart", "sketch")
    four = [*pairs, *(pair[::-1] for pair in pairs)]
    clair, lvm = ([row for row in rows if name in row[1]] for name in ("CLAIR", "SketchLVM"))
    for (row,), table, method in ((clair, "clair-world.csv.gz", "CLAIR"), (lvm, "sketchlvm.csv.gz", "SketchLVM")):
        values = by_hand(table, "world-unseen", method, four)
        assert row[-1].strip("*") == f"{mean(values):.1f} ± {stdev(values):.1f}"
    assert lvm[0][-2] == ""
    values = by_hand("clair-world.csv.gz", "world-unseen", "CLAIR")
    assert clair[0][-2] == f"{mean(values):.1f} ± {stdev(values):.1f}"


@pytest.mark.medium
def test_other_tasks_have_tables_of_their_own(chapter_10):
    _, closed, universal = chapter_10
    values = by_hand("ucdir-world.csv.gz", "world-closed", "UCDIR")
    assert rows_of(closed)[-1] == ["08", "UCDIR", "unlabelled images", f"{mean(values):.1f} ± {stdev(values):.1f}"]
    assert [row[1] for row in rows_of(universal)[1:]] == [idea.name for idea in IDEAS if idea.chapter == "09"]
    found = [
        by_hand("snmpnet-world.csv.gz", f"world-ucdr-{domain}", "frozen backbone")[0]
        for domain in ("painting", "clipart", "infograph", "sketch", "quickdraw")
    ]
    assert rows_of(universal)[1][-1] == f"{mean(found):.1f}"


@pytest.mark.parametrize("chapter", ["6", "six", "06_prompt_learning", ""])
def test_something_else_than_a_chapter_is_refused(chapter):
    with pytest.raises(CdirError, match=repr(chapter)):
        running_table(chapter)
