"""UCDIR's and SnMpNet's tables: as many cells as the papers print, cells typed a second time, averages that add up."""

import re

import pytest

from cdir_nb.data import load_card
from cdir_nb.errors import CdirError
from cdir_nb.results.published import load_paper, misprints, published, reader, recomputed_averages, tables, wide

# rows x columns counted in the papers; the averages (and UCDIR's gains) that stand in them
CELLS = {
    ("ucdir", "1"): 5 * 12 * 3 + 5 * 3 + 3,
    ("ucdir", "2"): 5 * 12 * 3 + 5 * 3 + 3,
    ("ucdir", "3"): 4 * 12 * 3 + 4 * 3,
    ("snmpnet", "1"): 11 * 2,
    ("snmpnet", "2"): 5 * 3 * 4 + 3 * 4,
    ("snmpnet", "3"): 2 * 3 * 4,
    ("snmpnet", "4"): 3 * 2,
    ("snmpnet", "5"): 6 * 2,
}
LOST = {  # how many cells our scan lost, counted row by row in it
    ("1", "ID"): 1,
    ("1", "ProtoNCE"): 2,
    ("1", "CDS"): 3,
    ("1", "PCS"): 2,
    ("1", "Ours"): 6,
    ("2", "ID"): 2,
    ("2", "ProtoNCE"): 1,
    ("2", "CDS"): 3,
    ("2", "PCS"): 1,
    ("2", "Ours"): 1,
    ("3", "Our full model"): 1,
}
TASKS = {
    ("ucdir", "1"): ("office_home", {"officehome-ucdir"}),
    ("ucdir", "2"): ("domainnet_cleaned", {"domainnet-ucdir7"}),
    ("ucdir", "3"): ("domainnet_cleaned", {"domainnet-ucdir7"}),
    ("snmpnet", "1"): ("sketchy_extended", {"sketchy-21"}),
    ("snmpnet", "2"): (
        "domainnet_cleaned",
        {"", *(f"domainnet-ucdr-{d}" for d in ("sketch", "quickdraw", "painting", "infograph", "clipart"))},
    ),
    ("snmpnet", "3"): ("domainnet_cleaned", {"", "domainnet-uccdr-sketch", "domainnet-uccdr-quickdraw"}),
    ("snmpnet", "4"): ("domainnet_cleaned", {""}),
    ("snmpnet", "5"): ("sketchy_extended", {"sketchy-21"}),
}
TYPED_AGAIN = [  # paper, table, method, setting, query, gallery, metric, average, text
    ("ucdir", "1", "ID", "", "art", "real", "P@1", False, "35.89"),
    ("ucdir", "1", "CDS", "", "real", "art", "P@15", False, "35.53"),
    ("ucdir", "1", "ProtoNCE", "", "clipart", "real", "P@5", False, "22.66"),
    ("ucdir", "1", "Ours", "", "product", "real", "P@15", False, "47.90"),
    ("ucdir", "1", "Ours", "", "product", "clipart", "P@1", False, "42.26"),
    ("ucdir", "1", "PCS", "", "clipart", "product", "P@15", False, "24.92"),
    ("ucdir", "1", "Ours", "", "clipart", "art", "P@15", False, "20.53"),
    ("ucdir", "1", "PCS", "", "art", "product", "P@15", False, "29.53"),
    ("ucdir", "1", "ID", "", "product", "art", "P@5", False, "25.94"),
    ("ucdir", "1", "CDS", "", "real", "clipart", "P@1", False, "38.88"),
    ("ucdir", "1", "PCS", "", "real", "product", "P@5", False, "47.11"),
    ("ucdir", "1", "Ours", "", "art", "clipart", "P@5", False, "30.79"),
    ("ucdir", "1", "PCS", "", "", "", "P@5", True, "35.01"),
    ("ucdir", "2", "Ours", "", "painting", "clipart", "P@50", False, "66.42"),
    ("ucdir", "2", "CDS", "", "sketch", "infograph", "P@50", False, "46.27"),
    ("ucdir", "2", "PCS", "", "painting", "quickdraw", "P@50", False, "25.12"),
    ("ucdir", "2", "ProtoNCE", "", "quickdraw", "painting", "P@50", False, "23.95"),
    ("ucdir", "2", "CDS", "", "real", "quickdraw", "P@200", False, "15.82"),
    ("ucdir", "2", "ProtoNCE", "", "clipart", "sketch", "P@200", False, "36.35"),
    ("ucdir", "2", "Ours", "", "sketch", "clipart", "P@100", False, "57.26"),
    ("ucdir", "2", "PCS", "", "infograph", "real", "P@200", False, "29.68"),
    ("ucdir", "2", "ID", "", "real", "infograph", "P@100", False, "31.77"),
    ("ucdir", "2", "ProtoNCE", "", "infograph", "sketch", "P@50", False, "28.24"),
    ("ucdir", "2", "ID", "", "clipart", "painting", "P@200", False, "35.56"),
    ("ucdir", "2", "CDS", "", "quickdraw", "real", "P@100", False, "19.14"),
    ("ucdir", "2", "CDS", "", "", "", "P@100", True, "31.84"),
    ("ucdir", "3", "L_IW (v1)", "", "sketch", "infograph", "P@50", False, "40.84"),
    ("ucdir", "3", "L_IW + L_CW (v2)", "", "sketch", "infograph", "P@50", False, "43.81"),
    ("ucdir", "3", "L_IW + L_CW + L_SE (v3)", "", "real", "quickdraw", "P@50", False, "33.19"),
    ("ucdir", "3", "Our full model", "", "real", "infograph", "P@50", False, "57.74"),
    ("ucdir", "3", "L_IW + L_CW (v2)", "", "", "", "P@200", True, "32.31"),
    ("snmpnet", "1", "CVAE (ECCV, 2018)", "Existing SOTA", "sketch", "photo", "P@200", False, "0.333"),
    ("snmpnet", "1", "SAKE-512 (our evaluation)", "Existing SOTA", "sketch", "photo", "mAP@200",
     False, "0.6246"),
    ("snmpnet", "1", "SAKE-300-w/o Label*", "SAKE-variants", "sketch", "photo", "P@200", False, "0.4605"),
    ("snmpnet", "4", "CuMix-retrieval", "", "sketch", "real", "mAP@200", False, "0.2703"),
    ("snmpnet", "5", "Base N/W + L_CE^mix + L_Mp", "", "sketch", "photo", "P@200", False, "0.4989"),
]  # fmt: skip
SEARCHES = [  # table, setting, method, query; unseen classes: mAP, Prec; seen and unseen: mAP, Prec
    ("2", "Sketch", "EISNet-retrieval", "sketch", "0.2611 0.2061 0.2286 0.1805"),
    ("2", "Quickdraw", "SnMpNet", "quickdraw", "0.1736 0.1284 0.1512 0.1111"),
    ("2", "Painting", "CuMix-retrieval", "painting", "0.3710 0.3001 0.3400 0.2751"),
    ("2", "Infograph", "SnMpNet", "infograph", "0.2079 0.1717 0.1800 0.1496"),
    ("2", "Clip-art", "EISNet-retrieval", "clipart", "0.3585 0.2792 0.3251 0.2496"),
    ("2", "Average", "CuMix-retrieval", "", "0.2689 0.2126 0.2417 0.1905"),
    ("3", "QuickDraw", "SnMpNet", "quickdraw", "0.2888 0.2314 0.2366 0.1918"),
    ("3", "Sketch", "CuMix-retrieval", "sketch", "0.3689 0.3069 0.3300 0.2714"),
]


def numbers(paper, table):
    """{(method, setting, column): printed number}, straight from the table as printed."""
    frame = wide(paper, table)
    columns = tables(paper)[table].columns
    cells = {
        (row["method"], row["setting"], column): row[column] for row in frame.to_dict("records") for column in columns
    }
    return {key: float(text) for key, text in cells.items() if text not in ("", "lost")}


@pytest.mark.parametrize("paper,table", CELLS)
def test_every_cell_is_there(paper, table):
    header, frame = tables(paper)[table], wide(paper, table)
    assert header.cells == CELLS[paper, table]
    assert (frame[list(header.columns)] != "").to_numpy().sum() == CELLS[paper, table]
    gains = 3 * len(header.differences)
    assert len(published(paper, table)) == CELLS[paper, table] - gains


@pytest.mark.parametrize("paper,table", TASKS)
def test_tables_name_their_task(paper, table):
    frame = published(paper, table)
    assert (set(frame["dataset"]), set(frame["protocol"])) == ({TASKS[paper, table][0]}, TASKS[paper, table][1])


def test_lost_cells_are_those_of_the_scan():
    lost = published("ucdir")[lambda frame: frame["printed"] == "lost"]
    assert lost.groupby(["table", "method"]).size().to_dict() == LOST
    assert lost["value"].isna().all()
    assert not (published("snmpnet")["printed"] == "lost").any()


@pytest.mark.parametrize("paper,table,method,setting,query,gallery,measure,average,text", TYPED_AGAIN)
def test_cells_typed_again(paper, table, method, setting, query, gallery, measure, average, text):
    frame = published(paper, table)
    frame = frame[frame["metric"].str.startswith(f"{measure}:")]
    expected = {"method": method, "setting": setting, "query_domain": query, "gallery_domain": gallery}
    expected |= {"average": average}
    found = frame[(frame[list(expected)] == list(expected.values())).all(axis=1)]
    assert found["printed"].tolist() == [text]
    assert found["value"].item() == pytest.approx(float(text) / (100 if paper == "ucdir" else 1))


@pytest.mark.parametrize("table,setting,method,query,texts", SEARCHES)
def test_search_sets_typed_again(table, setting, method, query, texts):
    frame = published("snmpnet", table)
    row = frame[(frame["setting"] == setting) & (frame["method"] == method)]
    assert row["printed"].tolist() == texts.split()
    assert row["metric"].str.split(":").str[0].tolist() == ["mAP@200", "P@200"] * 2
    assert set(row["query_domain"]) == {query} and set(row["gallery_domain"]) == {"real"}
    assert set(row["average"]) == {setting == "Average"}
    # the search set of seen and unseen classes cannot be repeated: no protocol of ours claims to
    assert row["protocol"].tolist()[2:] == ["", ""]
    assert all(row["protocol"][:2]) == (setting != "Average")


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


def test_every_direction_is_averaged():
    for header in tables("ucdir").values():
        directions = [column for column, context in header.columns.items() if context.average_of is None]
        averages = [context.average_of for context in header.columns.values() if context.average_of is not None]
        assert [len(set(parts)) for parts in averages] == [12] * 3
        assert sorted(directions) == sorted(part for parts in averages for part in parts)


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


def test_what_is_printed_twice_agrees():
    two, three = numbers("ucdir", "2"), numbers("ucdir", "3")
    pairs = [(v, three.get(("Our full model", s, c))) for (m, s, c), v in two.items() if m == "Ours"]
    both = [(a, b) for a, b in pairs if b is not None]
    assert len(both) == 39 - 2 and all(a == b for a, b in both)  # each table lost one of the 39
    one, five = numbers("snmpnet", "1"), numbers("snmpnet", "5")
    for column in ("mAP@200", "Prec@200"):
        assert one["SnMpNet", "", column] == five["SnMpNet", "", column]


def test_either_table_has_what_the_other_lost():
    """With Table 3's Clipart→Sketch the P@100 of Table 2 averages as printed, and the other way round."""
    two, three = numbers("ucdir", "2"), numbers("ucdir", "3")
    parts = {c: v for (m, _, c), v in two.items() if m == "Ours" and "→" in c and c.endswith("P@100")}
    parts |= {c: v for (m, _, c), v in three.items() if m == "Our full model" and "→" in c and c.endswith("P@100")}
    assert len(parts) == 12 and abs(sum(parts.values()) / 12 - 43.47) <= 0.01


def test_numbers_in_the_text_of_ucdir():
    two, three = numbers("ucdir", "2"), numbers("ucdir", "3")
    gain = two["Ours", "", "Painting→Quickdraw P@50"] - two["PCS", "", "Painting→Quickdraw P@50"]
    assert gain == pytest.approx(14.60)
    for direction, said in ("Real→Infograph", 0.66), ("Real→Quickdraw", 8.71):
        full, without_dd = (
            three[method, "", f"{direction} P@50"] for method in ("Our full model", "L_IW + L_CW + L_SE (v3)")
        )
        assert full - without_dd == pytest.approx(said)


def test_office_home_precision_falls_with_the_cutoff():
    """The paper says so of every row; a cell in the wrong column would break it."""
    cells = numbers("ucdir", "1")
    for (method, _, column), first in cells.items():
        direction = column.removesuffix(" P@1")
        if direction != column and method != "Improvement":
            rest = [cells[key] for k in (5, 15) if (key := (method, "", f"{direction} P@{k}")) in cells]
            assert [first, *rest] == sorted([first, *rest], reverse=True), (method, direction)


@pytest.mark.parametrize("paper", ["ucdir", "snmpnet"])
def test_context_is_what_the_cards_say(paper):
    """Directions and metrics of each cell stand in its protocol's card, but for rows from other papers."""
    frame = published(paper)[lambda f: (f["protocol"] != "") & ~f["average"]]
    for (dataset, name), cells in frame.groupby(["dataset", "protocol"]):
        spec = load_card(dataset).protocols[name]
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


def test_output_dimensions_stand_beside_the_backbone():
    rows = wide("snmpnet", "1").set_index("method")
    assert rows.loc["CVAE (ECCV, 2018)", ["backbone", "output dim."]].tolist() == ["VGG-16", "1024"]
    assert rows.loc["SAKE-300-w/o Label*", ["backbone", "output dim."]].tolist() == ["SE-ResNet50", "300"]
    assert rows["output dim."].value_counts().to_dict() == {"300": 7, "512": 3, "1024": 1}


@pytest.mark.parametrize(
    "old,new,complaint",
    [
        ("      mAP@200: {convention: voc", "      mAP@100: {convention: voc", "exceptions has columns"),
        ("      CVAE (ECCV, 2018):", "      CVAE:", "has no row for methods"),
        ("notes: [output dim.]", "notes: []", "output dim."),
        ("convention: over_min_k_relevant", "convention: by_eye", "by_eye"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, monkeypatch, old, new, complaint):
    for path in reader.FOLDER.glob("snmpnet*"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    text = (reader.FOLDER / "snmpnet.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "snmpnet.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr(reader, "FOLDER", tmp_path)
    with pytest.raises(CdirError, match=complaint):
        wide("snmpnet", "1")


def test_gain_is_refused_where_it_is_no_difference(tmp_path, monkeypatch):
    for path in reader.FOLDER.glob("ucdir*"):
        text = path.read_text(encoding="utf-8")
        text = text.replace("    differences: {Improvement: [Ours, PCS]}\n", "")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(reader, "FOLDER", tmp_path)
    with pytest.raises(CdirError, match=r"Improvement, Average P@1: '\+2.60' is not a number"):
        wide("ucdir", "1")
