"""The script that puts records of runs into a committed table."""

import pytest
from scripts_by_path import load_script

from cdir_nb.results import Record, load_records, save_records, to_frame


@pytest.fixture
def merge():
    return load_script("merge_records").main


def record(value: float, method: str = "TKI", k: int = 10) -> Record:
    return Record(
        method=method, dataset="world", protocol="world-unseen", query_domain="real", gallery_domain="sketch",
        metric="precision", convention="hits_over_k", k=k, value=value, seed=0,
        encoder="tiny-clip [ab]", selection_rule="last epoch",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_new_numbers_replace_old_ones_and_the_table_keeps_its_measures(merge, tmp_path, name, capsys):
    table = tmp_path / name
    to_frame([record(0.25), record(0.5, "vanilla CLIP")]).to_csv(table, index=False)
    save_records([record(0.75), record(0.125, "CLAIR"), record(0.1, k=200)], tmp_path / "run")
    merge(table, [tmp_path / "run"])
    assert "1 replaced, 1 added, 3 in all" in capsys.readouterr().out
    found = {(r.method, r.k): r.value for r in load_records(table)}
    assert found == {("TKI", 10): 0.75, ("vanilla CLIP", 10): 0.5, ("CLAIR", 10): 0.125}
    before = table.read_bytes()
    merge(table, [tmp_path / "run"])
    assert table.read_bytes() == before, "equal records give an equal file"
