"""The script that puts records of runs into a committed table."""

import pytest
from merge_records import main as merge

from cdir_nb.errors import CdirError
from cdir_nb.results import Record, load_records, save_records, save_table


def record(value: float, method: str = "TKI", k: int = 10, **more) -> Record:
    return Record(
        method=method, dataset="world", protocol="world-unseen", query_domain="real", gallery_domain="sketch",
        metric=f"P@{k}:hits_over_k", value=value, seed=0, encoder="tiny-clip [ab]", selection_rule="last epoch",
        settings={"steps": 3}, **more,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_new_numbers_replace_old_ones_and_the_table_keeps_its_measures(tmp_path, name, capsys):
    table = tmp_path / name
    save_table([record(0.25), record(0.5, "vanilla CLIP")], table)
    save_records([record(0.75), record(0.125, "CLAIR"), record(0.1, k=200)], tmp_path / "run")
    merge(table, [tmp_path / "run"])
    assert "1 replaced, 1 added, 3 in all" in capsys.readouterr().out
    found = {(r.method, r.k): r.value for r in load_records(table)}
    assert found == {("TKI", 10): 0.75, ("vanilla CLIP", 10): 0.5, ("CLAIR", 10): 0.125}
    before = table.read_bytes()
    merge(table, [tmp_path / "run"])
    assert table.read_bytes() == before, "equal records give an equal file"


def test_records_whose_settings_nobody_has_are_not_merged(tmp_path):
    save_table([record(0.25)], tmp_path / "table.csv")
    save_records([record(0.75)], tmp_path / "run")
    (tmp_path / "run" / "settings.json").unlink()
    before = (tmp_path / "table.csv").read_bytes()
    with pytest.raises(CdirError, match=record(0).settings_digest) as caught:
        merge(tmp_path / "table.csv", [tmp_path / "run"])
    assert "\n" not in str(caught.value) and (tmp_path / "table.csv").read_bytes() == before


def test_numbers_on_other_images_are_not_put_into_the_table(tmp_path):
    save_table([record(0.25, query_fingerprint="aa"), record(0.3, "CLAIR")], tmp_path / "table.csv")
    save_records([record(0.75, query_fingerprint="bb")], tmp_path / "run")
    with pytest.raises(CdirError, match="world-unseen: measured on other images than in table.csv"):
        merge(tmp_path / "table.csv", [tmp_path / "run"])
    save_records([record(0.75, query_fingerprint="aa"), record(0.4, "CLAIR", query_fingerprint="aa")], tmp_path / "run")
    merge(tmp_path / "table.csv", [tmp_path / "run"])  # the table's CLAIR is on unknown images
    assert [r.value for r in load_records(tmp_path / "table.csv")] == [0.75, 0.4]
