"""Published tables: the files are those that were checked against the papers and match their headers, and averages and
repeated numbers agree but for the listed misprints."""

import csv
import hashlib
import math
import re
from decimal import Decimal

import pytest
import yaml

from cdir_nb.conventions import Metric
from cdir_nb.data import load_card
from cdir_nb.errors import CdirError
from cdir_nb.results import Record
from cdir_nb.results import published as module
from cdir_nb.results.published import (
    load_paper,
    misprints,
    papers,
    published,
    published_frame,
    recomputed_averages,
    tables,
    wide,
)

KEYS = ["method", "setting", "backbone"]
PLACE = ["paper", "table", "method", "setting", "column"]
CHECKED = {  # table: start of the SHA-256 of its file when every cell had been compared with the paper
    "clair_table1": "fe57bca056ac",
    "clair_table2": "3ddf798def23",
    "clair_table3_left": "8e2cfe7585d1",
    "clair_table3_right": "13d518afe57b",
    "snmpnet_table1": "bf5a301fbd3d",
    "snmpnet_table2": "ef396d825b3a",
    "snmpnet_table3": "1608a088a888",
    "snmpnet_table4": "52bb39222be5",
    "snmpnet_table5": "4b8df8509b1d",
    "tki_table2": "87014f7d5c11",
    "tki_table3_left": "67ea0054e2ab",
    "tki_table3_right": "5d1cfaf22e87",
    "tki_table4_left": "8d0b9b5d3421",
    "tki_table4_right": "6df6f4dd5b09",
    "tki_table5": "569115370a62",
    "tki_table6": "46621f6f33cb",
    "tki_table7": "fc07c735dca7",
    "ucdir_table1": "49a029f47516",
    "ucdir_table2": "81c367b27c38",
    "ucdir_table3": "1110865f5d52",
}


def places(frame):
    return set(frame[PLACE].itertuples(index=False, name=None))


def short(metric):
    return Metric.parse(metric).short


def test_every_table_is_as_it_was_checked():
    found = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in module.FOLDER.glob("*.csv")}
    assert found == CHECKED


@pytest.mark.parametrize("paper,table", [(paper, table) for paper in papers() for table in tables(paper)])
def test_a_table_matches_its_header(paper, table):
    header = tables(paper)[table]
    with open(module.FOLDER / header.file, newline="", encoding="utf-8") as file:
        columns, *lines = csv.reader(file)
    assert columns == [*KEYS, *header.notes, *header.columns] and {len(line) for line in lines} == {len(columns)}
    frame = wide(paper, table)
    pairs = {row for pair in header.differences.values() for row in pair}
    assert not frame.duplicated(KEYS).any() and set(frame["setting"]) <= {"", *header.settings}
    assert {*header.our_names, *header.exceptions, *header.differences, *pairs} <= set(frame["method"])
    assert {column for cells in header.exceptions.values() for column in cells} <= set(header.columns)
    for contexts in (header.settings, header.columns):
        assert {part for context in contexts.values() for part in context.average_of or []} <= set(contexts)
    texts = [text for text in frame[list(header.columns)].to_numpy().ravel() if text]
    assert len(texts) == header.cells
    assert all(re.fullmatch(r"\+?\d*\.?\d+|-|lost", text) for text in texts)
    cells = published(paper, table)
    assert (cells["value"].isna() == cells["printed"].isin(["-", "lost"])).all()
    assert cells["value"].dropna().between(0, 1).all() and (cells[["dataset", "certainty", "why"]] != "").all(axis=None)


@pytest.mark.parametrize("paper", papers())
def test_misprints_and_lost_cells_have_the_positions_that_are_printed(paper):
    spec, names = load_paper(paper), ["table", *KEYS, "column"]
    printed = published(paper).set_index(names)["printed"]
    assert spec.paper == paper and set(spec.our_names) <= set(printed.index.get_level_values("method"))
    assert all(printed[tuple(getattr(item, name) for name in names)] == item.printed for item in spec.misprints)
    assert set(printed[printed == "lost"].index) == {tuple(getattr(item, n) for n in names) for item in spec.lost}


def test_published_numbers_have_the_columns_of_records():
    frame = published_frame("tki", "7")
    assert list(Record.model_fields) == list(frame.columns[: len(Record.model_fields)])
    rows = frame[(frame["query_domain"] == "infograph") & (frame["gallery_domain"] == "quickdraw")]
    (row,) = rows[rows["method"] == "TKI, Euclidean"].itertuples()
    assert row.value == pytest.approx(0.1823) and row.seed is None and not row.average


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


def test_unknown_tables_are_refused():
    with pytest.raises(CdirError, match="'clar'.*clair"):
        published("clar")
    for read in (published, wide):
        with pytest.raises(CdirError, match="clair.*'3'.*1, 2, 3_left, 3_right"):
            read("clair", "3")
    with pytest.raises(CdirError, match="'8'"):
        published(table="8")
    assert set(published(table="7")["paper"]) == {"tki"}


def numbers(paper, table):
    """{(method, setting, column): printed number}, straight from the table as printed."""
    frame = wide(paper, table)
    columns = tables(paper)[table].columns
    cells = {
        (row["method"], row["setting"], column): row[column] for row in frame.to_dict("records") for column in columns
    }
    return {key: float(text) for key, text in cells.items() if text not in ("", "lost")}


def ucdir_averages():
    """Average of the 12 directions of every method and cut-off, where no cell is lost: (printed, recomputed)."""
    for table in "123":
        cells = numbers("ucdir", table)
        for (method, _, column), average in cells.items():
            cutoff = column.removeprefix("Average ")
            parts = [v for (m, _, c), v in cells.items() if m == method and "→" in c and c.endswith(f" {cutoff}")]
            if column != cutoff and len(parts) == 12:
                yield (table, method, column), average, sum(parts) / 12


def test_ucdir_averages_agree_but_for_the_misprints():
    """Twelve cells and their average, each off by at most 0.005: together by at most 0.01."""
    found = {key: (printed, computed) for key, printed, computed in ucdir_averages()}
    wrong = {key: pair for key, pair in found.items() if abs(pair[0] - pair[1]) > 0.01 + 1e-9}
    listed = misprints("ucdir").set_index(["table", "method", "column"])
    assert len(found) == 3 * 14 - (8 + 5 + 1)  # 14 rows of three averages; those with a lost part, by table
    assert set(wrong) == set(listed.index)
    for key, (printed, computed) in wrong.items():
        assert listed.loc[key, ["printed", "computed"]].tolist() == [f"{printed:.2f}", f"{computed:.2f}"]


def test_lost_cells_are_bounded_by_the_averages():
    """The sum that the average leaves for the lost cells of a row stands in their notes."""
    for item in load_paper("ucdir").lost:
        direction, cutoff = item.column.split()
        frame = wide("ucdir", item.table).set_index("method")
        row = {c: text for c, text in frame.loc[item.method].items() if c.endswith(f" {cutoff}")}
        lost = {column.split()[0] for column, text in row.items() if text == "lost"}
        known = [float(text) for text in row.values() if text != "lost"]
        left = 12 * known.pop() - sum(known)  # the average stands last
        assert float(re.search(r"leaves (\S+)", item.note)[1]) == pytest.approx(left, abs=0.005)
        assert set(re.findall(r"\w+→\w+", item.note)) == lost - {direction}


def test_snmpnet_averages_agree():
    cells = numbers("snmpnet", "2")
    averages = {key: value for key, value in cells.items() if key[1] == "Average"}
    assert len(averages) == 12
    for (method, _, column), printed in averages.items():
        parts = [v for (m, s, c), v in cells.items() if (m, c) == (method, column) and s != "Average"]
        assert len(parts) == 5 and abs(sum(parts) / 5 - printed) <= 0.0001 + 1e-9
    assert misprints("snmpnet").empty


def test_reader_recomputes_the_same():
    frame = recomputed_averages().set_index(["paper", "table", "method", "column", "setting"])
    for (table, method, column), printed, computed in ucdir_averages():
        row = frame.loc[("ucdir", table, method, column, "")]
        assert float(row["printed"]) == printed and row["computed"] == pytest.approx(computed)
    assert frame.loc["snmpnet"]["agrees"].all() and len(frame.loc["snmpnet"]) == 12


@pytest.mark.parametrize("table", ["1", "2"])
def test_gains_are_over_the_best_baseline(table):
    cells = numbers("ucdir", table)
    for column in [c for c in tables("ucdir")[table].columns if c.startswith("Average")]:
        baselines = [cells[method, "", column] for method in ("ID", "ProtoNCE", "CDS", "PCS")]
        gain = cells["Ours", "", column] - max(baselines)
        assert max(baselines) == cells["PCS", "", column]
        assert abs(cells["Improvement", "", column] - gain) <= 0.015 + 1e-9  # three roundings
    assert "Improvement" in set(wide("ucdir", table)["method"])
    assert "Improvement" not in set(published("ucdir", table)["method"])


def test_either_table_has_what_the_other_lost():
    """With Table 3's Clipart→Sketch the P@100 of Table 2 averages as printed, and the other way round."""
    two, three = numbers("ucdir", "2"), numbers("ucdir", "3")
    parts = {c: v for (m, _, c), v in two.items() if m == "Ours" and "→" in c and c.endswith("P@100")}
    parts |= {c: v for (m, _, c), v in three.items() if m == "Our full model" and "→" in c and c.endswith("P@100")}
    assert len(parts) == 12 and abs(sum(parts.values()) / 12 - 43.47) <= 0.01


def test_numbers_that_are_printed_twice_agree():
    """Cells of UCDIR's full model in Tables 2 and 3, SnMpNet's in Tables 1 and 5."""
    two, three = numbers("ucdir", "2"), numbers("ucdir", "3")
    one, five = numbers("snmpnet", "1"), numbers("snmpnet", "5")
    repeated = {c: (v, three["Our full model", "", c]) for (m, _, c), v in two.items()
                if m == "Ours" and ("Our full model", "", c) in three}  # fmt: skip
    assert len(repeated) == 39 - 2 and all(a == b for a, b in repeated.values())  # each table lost one of the 39
    assert all(one["SnMpNet", "", c] == five["SnMpNet", "", c] for c in ("mAP@200", "Prec@200"))


@pytest.mark.parametrize(
    "table,method,baseline,direction,points",
    [
        ("2", "Ours", "PCS", "Painting→Quickdraw", 14.60),
        ("3", "Our full model", "L_IW + L_CW + L_SE (v3)", "Real→Infograph", 0.66),
        ("3", "Our full model", "L_IW + L_CW + L_SE (v3)", "Real→Quickdraw", 8.71),
    ],
)
def test_numbers_in_the_text_of_ucdir(table, method, baseline, direction, points):
    cells = numbers("ucdir", table)
    assert cells[method, "", f"{direction} P@50"] - cells[baseline, "", f"{direction} P@50"] == pytest.approx(points)


def test_office_home_precision_falls_with_the_cutoff():
    """A cell in the wrong column would break it."""
    cells = numbers("ucdir", "1")
    for method, direction in {(m, c.rpartition(" ")[0]) for m, _, c in cells if m != "Improvement"}:
        row = [cells[key] for k in (1, 5, 15) if (key := (method, "", f"{direction} P@{k}")) in cells]
        assert row == sorted(row, reverse=True), (method, direction)


@pytest.mark.parametrize("paper", papers())
def test_contexts_are_those_of_the_cards(paper):
    """Directions and metrics of each cell are in its protocol's card, but for rows copied from other papers."""
    frame = published(paper)[lambda f: (f["protocol"] != "") & ~f["average"]]
    for (dataset, name), cells in frame.groupby(["dataset", "protocol"]):
        card = load_card(dataset)
        spec = card.protocols[name]
        assert {*cells["query_domain"], *cells["gallery_domain"]} <= {"", *card.domains}
        for cell in cells[~cells["why"].str.startswith("from its own paper")].itertuples():
            assert spec.directions == "all" or [cell.query_domain, cell.gallery_domain] in spec.directions
            assert cell.metric in {str(entry.metric) for entry in spec.metrics}


def test_mean_of_found_only_where_it_can_be():
    """Divided by min(k, relevant), AP@200 cannot exceed P@200 where every class has over 200 photos."""
    cells = published("snmpnet").set_index(["table", "method", "setting", "column"])
    for key, cell in cells[cells["metric"].str.startswith("mAP")].iterrows():
        precision = cells.loc[(*key[:3], key[3].replace("mAP", "Prec"))]
        assert (cell["value"] > precision["value"]) == cell["metric"].endswith(":over_found"), key


def test_training_domains_are_those_of_the_protocol():
    protocols = load_card("domainnet_cleaned").protocols
    for table, groups in ("2", 5), ("3", 2):
        rows = wide("snmpnet", table)[lambda frame: frame["setting"] != "Average"]
        assert rows["setting"].nunique() == groups
        for setting, printed in zip(rows["setting"], rows["Training Domains"], strict=True):
            trained = protocols[tables("snmpnet")[table].settings[setting].protocol].train_domains
            assert set(printed.lower().replace("-", "").split(", ")) == set(trained)


# ---- a small paper

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
    monkeypatch.setattr(module, "FOLDER", tmp_path)

    def clear():
        module._load.cache_clear()
        module.papers.cache_clear()

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
        clear()
        return published("toy")

    yield write
    clear()


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
