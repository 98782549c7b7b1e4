"""Published tables: every cell is there, averages and repeated numbers agree but for the listed misprints, and a
damaged file is refused by name."""

import math
from decimal import Decimal

import pytest
import yaml

from cdir_nb.conventions import Metric
from cdir_nb.data.manifest import load_card
from cdir_nb.errors import CdirError
from cdir_nb.results.published import misprints, papers, published, reader, recomputed_averages, tables, wide

KEYS = ["method", "setting", "backbone"]
PLACE = ["paper", "table", "method", "setting", "column"]


def places(frame):
    return set(frame[PLACE].itertuples(index=False, name=None))


# rows x columns, counted in the papers: a direction is one number in CLAIR, mAP and Prec in TKI; dashes count
@pytest.mark.parametrize(
    "paper,table,cells,dashes",
    [
        ("clair", "1", 2 * 8 * 3, 1),  # two halves of 8 methods, 3 datasets; Sketch3T has a dash
        ("clair", "2", 6 * (12 + 1), 0),
        ("clair", "3_left", 2 * (12 + 1), 0),
        ("clair", "3_right", 9 + 2 + 1, 0),
        ("tki", "2", 6 * 2 * (6 + 1) * 2, 6 * 2 * 2),  # a domain with itself is a dash
        ("tki", "3_left", 4 * 2 * (3 + 1) * 2, 0),  # four blocks of 3 directions and their average
        ("tki", "3_right", 4 * 2 * (3 + 1) * 2, 0),
        ("tki", "4_left", 4 * 2 * (3 + 1) * 2, 0),
        ("tki", "4_right", 4 * 2 * (3 + 1) * 2, 0),
        ("tki", "5", 4 * (3 + 1) * 2, 0),
        ("tki", "6", 3 * (3 + 1) * 2, 0),
        ("tki", "7", 6 * 3 * (6 + 1), 6 * 3),
    ],
)
def test_every_cell_is_there(paper, table, cells, dashes):
    frame = published(paper, table)
    assert len(frame) == cells
    assert (frame["printed"] == "-").sum() == dashes
    assert frame["value"].isna().sum() == dashes + (frame["printed"] == "lost").sum()


def test_all_tables_are_listed_above():
    assert list(tables("clair")) == ["1", "2", "3_left", "3_right"]
    assert list(tables("tki")) == ["2", "3_left", "3_right", "4_left", "4_right", "5", "6", "7"]


# typed again from the papers
@pytest.mark.parametrize(
    "paper,table,method,setting,column,printed",
    [
        ("clair", "1", "CLAIR-B", "WS ZS", "TUBerlin P@100", "72.11"),
        ("clair", "1", "TVT", "FS ZS", "Quickdraw P@200", "29.3"),
        ("clair", "2", "CLIP-UCDIR", "", "S → I", "35.02"),
        ("clair", "2", "CLAIR-A", "", "R → Q", "51.14"),
        ("clair", "2", "CoDA", "", "I → R", "35.31"),
        ("clair", "3_left", "w/ mapping", "", "C → P", "69.73"),
        ("clair", "3_right", "w/o L_ID", "(i) Leave one out", "Avg. P@50", "50.11"),
        ("tki", "2", "Our TKI", "Quickdraw", "Infograph mAP", "0.66"),
        ("tki", "2", "Vanilla CLIP", "Clip-art", "Real Prec", "29.93"),
        ("tki", "3_left", "Our TKI", "P", "→ C mAP", "93.35"),
        ("tki", "3_right", "Vanilla CLIP", "C", "→ R Prec", "14.58"),
        ("tki", "4_left", "Our TKI", "S", "→ A mAP", "48.40"),
        ("tki", "4_right", "Vanilla CLIP", "S", "Avg. Prec", "67.14"),
        ("tki", "5", "L_max -, L_min ✓", "", "A → P Prec", "65.99"),
        ("tki", "6", "Strategy 2", "", "A → S mAP", "68.42"),
        ("tki", "7", "Ours w/ Euclidean MLP", "Infograph", "Quickdraw", "18.23"),
    ],
)
def test_cells_say_what_is_printed(paper, table, method, setting, column, printed):
    frame = published(paper, table)
    (row,) = frame[
        (frame["method"] == method) & (frame["setting"] == setting) & (frame["column"] == column)
    ].itertuples()
    assert (row.printed, row.value) == (printed, pytest.approx(float(Decimal(printed) / 100)))


# context, typed from what the papers say
@pytest.mark.parametrize(
    "paper,table,setting,column,expected",
    [
        ("clair", "2", "", "Q → P", ("domainnet-zs", "quickdraw", "painting", "P@50")),
        ("clair", "2", "", "Avg", ("domainnet-zs", "", "", "P@50")),
        ("clair", "1", "US ZS", "TUBerlin P@100", ("tuberlin-30", "sketch", "photo", "P@100")),
        ("tki", "2", "Clip-art", "Real mAP", ("domainnet-tki", "clipart", "real", "mAP@200")),
        ("tki", "2", "Clip-art", "Avg. Prec", ("domainnet-tki", "clipart", "", "P@200")),
        ("tki", "3_left", "C", "→ P Prec", ("pacs-all", "cartoon", "photo", "P@200")),
        ("tki", "3_right", "C", "→ P mAP", ("officehome-tki", "clipart", "product", "mAP@200")),
        ("tki", "5", "", "Avg. mAP", ("pacs-all", "art_painting", "", "mAP@200")),
        ("tki", "7", "Real", "Clipart", ("domainnet-tki", "real", "clipart", "P@1")),
    ],
)
def test_cells_carry_their_context(paper, table, setting, column, expected):
    frame = published(paper, table)
    rows = frame[(frame["setting"] == setting) & (frame["column"] == column)]
    context = rows[["protocol", "query_domain", "gallery_domain"]].assign(measure=rows["metric"].map(short))
    assert context.drop_duplicates().to_numpy().tolist() == [list(expected)]
    assert set(rows["average"]) == {column.startswith("Av")}


def short(metric):
    return Metric.parse(metric).short


@pytest.mark.parametrize("paper", ["clair", "tki"])
def test_contexts_are_those_of_the_cards(paper):
    fields = ["dataset", "protocol", "query_domain", "gallery_domain", "metric", "average"]
    for row in published(paper)[fields].drop_duplicates().itertuples():
        card = load_card(row.dataset)
        assert {row.query_domain, row.gallery_domain} <= {"", *card.domains}
        spec = card.protocols[row.protocol]
        assert row.metric in [str(entry.metric) for entry in spec.metrics]
        if not row.average and spec.directions != "all":
            assert [row.query_domain, row.gallery_domain] in spec.directions


def test_every_direction_of_a_protocol_is_printed_once():
    for paper, table, directions in [("clair", "2", 12), ("clair", "3_left", 12), ("tki", "7", 30), ("tki", "2", 30)]:
        frame = published(paper, table)
        frame = frame[~frame["average"] & (frame["printed"] != "-")]
        each = frame.groupby(["method", "metric", "query_domain", "gallery_domain"]).size()
        assert set(each) == {1}
        assert set(each.groupby(["method", "metric"]).size()) == {directions}


def means_by_hand():
    """Every average of CLAIR and TKI: the mean of the other numbers of its row, of its metric where there are two."""
    for paper, table in [("clair", t) for t in tables("clair")] + [("tki", t) for t in tables("tki")]:
        for row in wide(paper, table).to_dict("records"):
            for column in [name for name in row if name.startswith("Av")]:
                metric = column.removeprefix("Avg. ") if paper == "tki" and table != "7" else ""
                others = [n for n in row if n.endswith(metric) and not n.startswith("Av") and n not in KEYS]
                parts = [Decimal(row[name]) for name in others if row[name] not in ("", "-")]
                if parts:
                    where = (paper, table, row["method"], row["setting"], column)
                    yield where, row[column], sum(parts) / len(parts)


WRONG_AVERAGES = {
    ("tki", "2", "Vanilla CLIP", "Quickdraw", "Avg. mAP"),
    ("tki", "3_left", "Our TKI", "P", "Avg. Prec"),
    ("tki", "4_right", "Vanilla CLIP", "C", "Avg. mAP"),
}


def test_averages_are_recomputed():
    frame = recomputed_averages()
    frame = frame[frame["paper"].isin(["clair", "tki"])]
    computed = dict(zip(frame[PLACE].itertuples(index=False, name=None), frame["computed"], strict=True))
    by_hand = {where: float(mean) for where, _, mean in means_by_hand()}
    assert computed == pytest.approx(by_hand)
    # CLAIR: 6 + 2 rows. TKI: two metrics in 12 + 4 * 8 + 4 + 3 rows, one in 18
    assert len(frame) == 8 + 2 * (12 + 4 * 8 + 4 + 3) + 18


def test_wrong_averages_are_those_that_rounding_cannot_explain():
    """Two decimals everywhere: half a unit for the average, half a unit at most for the mean of its parts."""
    off = {where for where, printed, mean in means_by_hand() if abs(Decimal(printed) - mean) > Decimal("0.01")}
    frame = recomputed_averages()
    assert off == WRONG_AVERAGES
    assert places(frame[~frame["agrees"] & frame["paper"].isin(["clair", "tki"])]) == WRONG_AVERAGES


def printed_twice():
    """Numbers of one thing, in one paper, that differ."""
    frame = published()
    frame = frame[(frame["our_method"] != "") & (frame["protocol"] != "") & frame["value"].notna()]
    same = ["paper", "our_method", "backbone", "protocol", "query_domain", "gallery_domain", "average"]
    groups = [group for _, group in frame.groupby([*same, frame["metric"].map(short)])]
    assert sum(len(group) > 1 for group in groups) > 40
    return [group for group in groups if group["printed"].nunique() > 1]


def test_misprints_are_wrong_averages_and_numbers_printed_twice():
    listed = misprints()
    for group in printed_twice():
        again = listed.merge(group, on=PLACE)
        assert len(again) == len(group) - 1, "all but one of the differing numbers stand in the list"
        assert set(again["computed"]) == set(group["printed"]) - set(again["printed_x"])
    twice = {place for group in printed_twice() for place in places(group)}
    two = listed[listed["paper"].isin(["clair", "tki"])]
    assert places(two) - twice == WRONG_AVERAGES
    assert places(two) & twice == {
        ("clair", "3_left", "w/o mapping", "", "I → R"),
        ("clair", "3_left", "w/o mapping", "", "Q → R"),
        ("clair", "3_right", "Full model", "", "Avg. P@50"),
    }


def test_wrong_averages_of_all_papers_are_listed():
    frame = recomputed_averages()
    assert places(frame[~frame["agrees"]]) <= places(misprints())


def test_what_misprints_give_is_what_is_computed():
    frame = recomputed_averages().merge(misprints(), on=PLACE)
    assert len(frame) >= len(WRONG_AVERAGES)
    for row in frame.itertuples():
        places_after_dot = len(row.computed_y.partition(".")[2])
        assert f"{row.computed_x:.{places_after_dot}f}" == row.computed_y


def test_our_names_are_those_of_the_records():
    frame = published("clair")
    assert set(frame["our_method"]) == {
        "", "vanilla CLIP", "CLIP + Q", "CLAIR", "CLAIR w/o prompts", "CLAIR w/o mapping", "CLAIR w/o refinement",
        "CLAIR w/o freezing", "CLAIR w/o L_KL", "CLAIR w/o L_II", "CLAIR w/o L_IC", "CLAIR w/o L_ID",
        "CLAIR, expanded class list", "CLAIR, expanded list without training names", "CLAIR, mismatched categories",
    }  # fmt: skip
    ablation = frame[(frame["table"] == "3_right") & (frame["method"] == "w/o mapping")]
    assert ablation["our_method"].tolist() == ["CLAIR w/o mapping"]
    names = {"vanilla CLIP", "TKI", "TKI, L_max only", "TKI, L_min only", "TKI, strategy 2", "TKI, Euclidean"}
    assert set(published("tki")["our_method"]) == names


def test_whole_and_chosen_tables():
    assert {"clair", "tki"} <= set(papers())
    everything = published()["paper"].value_counts().to_dict()
    assert everything == {paper: len(published(paper)) for paper in papers()}
    assert (everything["clair"], everything["tki"]) == (164, 606)
    assert set(published("tki", "7")["table"]) == {"7"}
    assert wide("clair", "2").shape == (6, 3 + 13)
    with pytest.raises(CdirError, match="no paper is called 'clar'; known: .*clair"):
        published("clar")
    for read in (published, wide):
        with pytest.raises(CdirError, match="clair: no table '3'; known: 1, 2, 3_left, 3_right"):
            read("clair", "3")
    with pytest.raises(CdirError, match="clair, .*: no table '8'; known: 1, 2, 3_left, 3_right, "):
        published(table="8")
    assert set(published(table="7")["paper"]) == {"tki"}


HEADER = {
    "file": "toy_table1.csv",
    "about": "A toy.",
    "dataset": "pacs",
    "unit": "fraction",
    "cells": 6,
    "common": {"metric": "precision", "k": 1, "convention": "hits_over_k", "certainty": "stated", "why": "toy"},
    "settings": {"P": {"query": "photo"}},
    "columns": {"→ C": {"gallery": "cartoon"}, "→ S": {"gallery": "sketch"}, "Avg": {"average_of": ["→ C", "→ S"]}},
}
TEXT = "method,setting,backbone,→ C,→ S,Avg\nours,P,,.25,0.50,.380\ntheirs,P,,-,lost,0.1\n"
LOST = {"table": "1", "method": "theirs", "setting": "P", "column": "→ S", "note": "toy"}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Writes a paper of one table, with changes to its header, its paper fields, or its cells; then reads it."""
    monkeypatch.setattr(reader, "FOLDER", tmp_path)
    reader._load.cache_clear()

    def write(text=TEXT, paper=None, **changes):
        header = {key: value for key, value in {**HEADER, **changes}.items() if value is not None}
        spec = {
            "paper": "toy",
            "method": "CLAIR",
            "order": 1,
            "citation": "us",
            "tables": {"1": header},
            "lost": [LOST],
            **(paper or {}),
        }
        (tmp_path / "toy.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True, sort_keys=False), encoding="utf-8")
        (tmp_path / "toy_table1.csv").write_text(text, encoding="utf-8")
        return published("toy")

    return write


def test_a_small_table(toy):
    frame = toy(paper={"our_names": {"ours": "TKI", "theirs": "not TKI"}}, our_names={"theirs": "CLAIR"})
    nan = math.nan
    assert frame["value"].tolist() == pytest.approx([0.25, 0.5, 0.38, nan, nan, 0.1], nan_ok=True)
    assert frame["our_method"].tolist() == 3 * ["TKI"] + 3 * ["CLAIR"]
    assert frame["query_domain"].tolist() == 6 * ["photo"]
    assert frame["gallery_domain"].tolist() == 2 * ["cartoon", "sketch", ""]
    ours, theirs = recomputed_averages().itertuples()
    # .25 may be .255, 0.50 may be 0.505 and .380 .3795: .375 is half a hundredth and as much off, so it agrees
    assert (ours.computed, ours.difference, ours.agrees) == (0.375, pytest.approx(0.005), True)
    assert math.isnan(theirs.difference) and theirs.agrees is not True and theirs.agrees is not False


@pytest.mark.parametrize("printed,agrees", [(".381", False), (".380", True), (".370", True), (".369", False)])
def test_rounding_allows_half_a_unit_of_the_average_and_of_its_parts(toy, printed, agrees):
    toy(TEXT.replace(".380", printed))
    assert recomputed_averages()["agrees"].iloc[0] == agrees


def test_averages_over_rows(toy):
    toy(
        "method,setting,backbone,→ C\nours,P,,.2\nours,S,,.4\nours,all,,.3\n",
        paper={"lost": []},
        cells=3,
        columns={"→ C": {"gallery": "cartoon"}},
        settings={"P": {"query": "photo"}, "S": {"query": "sketch"}, "all": {"average_of": ["P", "S"]}},
    )
    (row,) = recomputed_averages().itertuples()
    assert (row.setting, row.computed) == ("all", pytest.approx(0.3))
    assert published("toy")[["query_domain", "gallery_domain", "average"]].to_numpy().tolist() == [
        ["photo", "cartoon", False],
        ["sketch", "cartoon", False],
        ["", "cartoon", True],
    ]


@pytest.mark.parametrize(
    "message,change",
    [
        ("toy_table1.csv: has 6 cells, but its yaml says 7", {"cells": 7}),
        ("toy_table1.csv: has 5 cells, but its yaml says 6", {"text": TEXT.replace(",0.1", ",")}),
        ("toy_table1.csv: columns differ from the yaml: Avg, Mean", {"text": TEXT.replace("Avg", "Mean")}),
        ("toy_table1.csv: columns differ from the yaml: their order", {"text": TEXT.replace("→ C,→ S", "→ S,→ C")}),
        ("toy_table1.csv: ours, → C: '2.5' is not a number from 0 to 1", {"text": TEXT.replace(".25", "2.5")}),
        ("toy_table1.csv: ours, → C: 'TLI7' is not a number", {"text": TEXT.replace(".25", "TLI7")}),
        ("toy_table1.csv: ours, → C: ' .25' is not a number", {"text": TEXT.replace(".25", " .25")}),
        ("toy_table1.csv: lines with too few or too many cells: 3", {"text": TEXT.replace(",0.1", "")}),
        ("toy_table1.csv: rows that appear twice: ours / P /", {"text": TEXT.replace("theirs", "ours")}),
        ("toy_table1.csv: settings that are not in its yaml: Q", {"text": TEXT.replace("theirs,P", "theirs,Q")}),
        ("toy_table1.csv: has no row for methods in its yaml's our_names, .*: mine", {"our_names": {"mine": "TKI"}}),
        ("toy_table1.csv: cannot be read", {"text": ""}),
        ("other.csv: cannot be read", {"file": "other.csv"}),
        ("toy.yaml: tables.1.unit: ", {"unit": "percents"}),
        ("toy.yaml: tables.1.colour: ", {"colour": "blue"}),
        ("toy.yaml: tables.1.common.certainty: ", {"common": {**HEADER["common"], "certainty": "sure"}}),
        (
            "toy_table1.csv: ours, → C: .*context in its yaml: why: Field required",
            {"common": {k: v for k, v in HEADER["common"].items() if k != "why"}},
        ),
        (
            "toy_table1.csv: ours, → C: .*no convention 'over_found'",
            {"common": {**HEADER["common"], "convention": "over_found"}},
        ),
        ("toy.yaml: .*average_of has names .* → X", {"columns": {"→ C": {"average_of": ["→ X"]}}}),
        ("toy.yaml: our_names: not in any table: mine", {"paper": {"our_names": {"mine": "TKI"}}}),
        ("toy.yaml: lost: the list and the lost cells differ in .*theirs", {"paper": {"lost": []}}),
        ("toy.yaml: paper is 'tok'", {"paper": {"paper": "tok"}}),
    ],
)
def test_damaged_files_are_refused_by_name(toy, message, change):
    with pytest.raises(CdirError, match=message) as caught:
        toy(**change)
    assert "\n" not in str(caught.value)


def test_misprints_must_be_printed(toy):
    wrong = {"table": "1", "method": "ours", "setting": "P", "column": "→ C", "printed": ".26", "computed": ".25"}
    with pytest.raises(CdirError, match="toy.yaml: misprints: no cell .*ours.* is printed as '.26'"):
        toy(paper={"misprints": [{**wrong, "note": "toy"}]})


def test_broken_yaml(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "FOLDER", tmp_path)
    (tmp_path / "toy.yaml").write_text("paper: [toy", encoding="utf-8")
    with pytest.raises(CdirError, match="toy.yaml: not valid YAML: "):
        published("toy")
