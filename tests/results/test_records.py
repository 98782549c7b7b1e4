"""Records: refused without context, kept whole, found again."""

import datetime
import json
import math
import subprocess

import numpy as np
import pandas as pd
import pytest
from run_folders import GOOD

from cdir_nb import sources
from cdir_nb.conventions import Metric
from cdir_nb.errors import CdirError
from cdir_nb.results import (
    Record,
    files,
    load_records,
    reproduced_records,
    save_records,
    save_table,
    settings_digest,
    to_frame,
)


def refusal(**changes) -> str:
    values = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    with pytest.raises(CdirError) as caught:
        Record(**values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("field", ["seed", "selection_rule", "encoder", "dataset", "metric"])
def test_a_record_without_context_is_refused(field):
    assert f"{field}: missing, but every record needs it" in refusal(**{field: ...})


@pytest.mark.parametrize("metric", ["", "precision", "P@10", "P@10:over_found", "mAP:over_found", 10, None])
def test_a_metric_without_all_its_parts_is_refused(metric):
    assert "metric: " in refusal(metric=metric) and "P@K:CONVENTION" in refusal(metric=metric)


def test_the_parts_of_the_metric_can_be_read():
    record = Record(**{**GOOD, "metric": "mAP@all:over_relevant"})
    assert (record.kind, record.k, record.convention) == ("average_precision", None, "over_relevant")
    assert Record(**{**GOOD, "metric": Metric("precision", 10, "hits_over_k")}) == Record(**GOOD)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 45.2])
def test_a_value_that_is_no_fraction_is_refused(value):
    assert "value: must be a finite fraction in [0, 1] (percent is only" in refusal(value=value)


@pytest.mark.parametrize("field", ["measuring_commit", "training_commit"])
@pytest.mark.parametrize("commit", ["inf", "7.42e+98", "912000000.0"])
def test_a_commit_that_a_spreadsheet_took_for_a_number_is_refused(field, commit):
    assert f"{field}: " in refusal(**{field: commit})
    assert getattr(Record(**{**GOOD, field: "912e518-dirty"}), field) == "912e518-dirty"


def test_a_measurement_has_a_commit_and_a_training_may_have_none():
    assert "measuring_commit: " in refusal(measuring_commit="")
    assert Record(**GOOD).training_commit == "" != Record(**GOOD).measuring_commit


def test_data_used_at_test_time_is_a_set_of_known_names():
    record = Record(**{**GOOD, "data_at_test_time": {"gallery", "all queries"}})
    assert record.data_at_test_time == ("all queries", "gallery")
    assert Record(**{**GOOD, "data_at_test_time": ["gallery", "all queries", "gallery"]}) == record
    assert "data_at_test_time: labels is unknown: use gallery, " in refusal(data_at_test_time=["labels", "gallery"])


def test_an_unknown_field_is_refused():
    assert "notes: unknown name" in refusal(notes="x")


def test_numpy_and_torch_scalars_are_taken():
    import torch

    record = Record(**{**GOOD, "value": torch.tensor(0.25), "seed": np.int64(3), "steps": np.int32(5)})
    assert (record.value, record.seed, record.steps) == (0.25, 3, 5)
    assert Record(**{**GOOD, "value": np.float32(0.5)}).value == 0.5


@pytest.mark.parametrize("encoder", ["ViT-B-32:random (RANDOM WEIGHTS, a pipeline test) [1a]", "ViT-B-32:random"])
def test_random_weights_are_labelled(encoder):
    assert Record(**{**GOOD, "encoder": encoder}).pipeline_test == "random weights"
    assert Record(**GOOD).pipeline_test == ""


def test_records_come_back_from_any_number_of_folders(tmp_path):
    first, second = Record(**GOOD), Record(**{**GOOD, "metric": "mAP@all:over_found", "seed": 1})
    save_records([first], tmp_path / "a", "one")
    save_records([second, first], tmp_path / "b" / "deep", "two")
    assert load_records([tmp_path / "a", tmp_path / "b"]) == [first, second]
    assert load_records(tmp_path / "a") == [first]


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"metric": "P@5:hits_over_k"},
        {"settings": {"rate": 0.1}},
        {"selection_rule": "best on test"},
        {"data_at_test_time": ["gallery"]},
    ],
)
def test_what_differs_in_its_setting_is_two_numbers(changes, tmp_path):
    save_records([Record(**GOOD), Record(**{**GOOD, **changes, "value": 0.1})], tmp_path, "one")
    assert [r.value for r in load_records(tmp_path)] == [0.5, 0.1]


def test_a_second_run_with_equal_values_counts_once(tmp_path):
    first = Record(**{**GOOD, "measuring_commit": "a1", "date": "2026-01-02", "threads": 2, "moved": {"head": 0.1}})
    again = Record(**{**GOOD, "measuring_commit": "b2", "date": "2026-03-04", "value": 0.5 + 4e-7, "threads": 4})
    save_records([first], tmp_path / "a", "one")
    save_records([again], tmp_path / "b", "one")
    assert load_records([tmp_path / "a", tmp_path / "b"]) == [first]
    assert load_records([tmp_path / "b", tmp_path / "a"]) == [again]


def test_a_second_run_with_other_values_is_refused_and_both_are_named(tmp_path):
    save_records([Record(**{**GOOD, "measuring_commit": "a1", "date": "2026-01-02"})], tmp_path / "a", "one")
    save_records(
        [Record(**{**GOOD, "measuring_commit": "b2", "date": "2026-03-04", "value": 0.51})], tmp_path / "b", "two"
    )
    with pytest.raises(CdirError) as caught:
        load_records([tmp_path / "a", tmp_path / "b"])
    message = str(caught.value)
    assert "two values of one setting (zero-shot, world, real -> sketch, P@10:hits_over_k, seed 0)" in message
    assert f"0.500000 in {tmp_path / 'a' / 'one.jsonl'} (commit a1, 2026-01-02)" in message
    assert f"0.510000 in {tmp_path / 'b' / 'two.jsonl'} (commit b2, 2026-03-04)" in message


def test_equal_values_on_different_images_are_refused_and_unknown_images_are_taken(tmp_path):
    for name in ("aa", "bb", ""):
        save_records([Record(**{**GOOD, "query_fingerprint": name})], tmp_path / f"run {name}", "one")
    with pytest.raises(CdirError, match="on different images"):
        load_records([tmp_path / "run aa", tmp_path / "run bb"])
    assert len(load_records([tmp_path / "run aa", tmp_path / "run "])) == 1


def test_a_record_has_the_day_of_its_run_and_none_is_made_up(tmp_path):
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    assert Record(**GOOD).date in (day, datetime.datetime.now(datetime.UTC).date().isoformat())
    assert "date: should match pattern" in refusal(date="yesterday")
    old = {name: value for name, value in Record(**GOOD).model_dump().items() if name != "date"}
    (tmp_path / "old.jsonl").write_text(json.dumps({k: v for k, v in old.items() if k != "settings"}) + "\n")
    assert load_records(tmp_path)[0].date == "unknown"


FULL = {
    "method": 'CLAIR, "full"\nlist',
    "metric": "mAP@all:over_found",
    "value": 1 / 3,
    "protocol": "NA",
    "settings": {"rate": 0.1, "parts": {"names": ["a", "b"]}, "none": None},
    "steps": 12,
    "moved": {"Q, mapped": 0.5, "norms": 1e-9},
    "query_images": 3,
    "query_fingerprint": "0012345678",
    "train_images": 0,
    "data_at_test_time": ["gallery", "training images"],
    "threads": 2,
    "training_commit": "912e518",
}


@pytest.mark.parametrize("name", ["n.csv", "n.csv.gz"])
def test_a_table_gives_equal_records_back(tmp_path, name):
    found = [Record(**GOOD), Record(**{**GOOD, **FULL})]
    save_table(found, tmp_path / name)
    assert load_records(tmp_path / name) == found
    save_records(found[1:], tmp_path / "run", "one")
    assert load_records([tmp_path / "run", tmp_path / name]) == found[::-1]


AFTER = {
    "a byte-order mark": lambda frame, path: frame.to_csv(path, index=False, encoding="utf-8-sig"),
    "semicolons": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    "semicolons and decimal commas": lambda frame, path: frame.to_csv(path, index=False, sep=";", decimal=","),
    "tabs": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "pandas' index": lambda frame, path: frame.to_csv(path),
    "pandas' index, twice": lambda frame, path: frame.reset_index().to_csv(path),
    "empty rows at the end": lambda frame, path: path.write_text(
        frame.to_csv(index=False) + 2 * ("," * (len(frame.columns) - 1) + "\n"), encoding="utf-8"
    ),
    "Parquet": lambda frame, path: frame.to_parquet(path),
    "Parquet with a column as index": lambda frame, path: frame.set_index("method").to_parquet(path),
}


@pytest.mark.parametrize("form", AFTER)
@pytest.mark.parametrize("whole", [True, False])
def test_a_table_is_read_after_a_spreadsheet_or_pandas(tmp_path, form, whole):
    """`whole`: the frame of the records; otherwise the table of `cdir results`, read and written again by pandas."""
    found = [
        Record(**{**GOOD, "settings": {"rate": 0.1}}),
        Record(**{**GOOD, **FULL, "protocol": "p", "training_commit": "a12"}),
    ]
    save_table(found, tmp_path / "n.csv")
    frame = to_frame(found) if whole else pd.read_csv(tmp_path / "n.csv", dtype={"query_fingerprint": str})
    path = tmp_path / ("n.parquet" if form.startswith("Parquet") else "M.CSV")
    AFTER[form](frame, path)
    assert load_records(path) == found


def test_another_format_is_refused_with_the_formats_that_are_read(tmp_path):
    (tmp_path / "book.xlsx").write_bytes(b"PK")
    with pytest.raises(CdirError, match=r"book.xlsx.*\.csv.*\.parquet"):
        load_records(tmp_path / "book.xlsx")


def test_parquet_of_our_own_is_read(tmp_path):
    found = [Record(**GOOD), Record(**{**GOOD, **FULL})]
    save_table(found, tmp_path / "n.parquet", parquet=True)
    assert load_records(tmp_path / "n.parquet") == found


@pytest.mark.parametrize(
    ("written", "read"), [("31.1.2026", "2026-01-31"), ("2026-01-31 00:00:00", "2026-01-31"), ("1/2/2026", "unknown")]
)
def test_dates_of_spreadsheets(tmp_path, written, read):
    save_table([Record(**{**GOOD, "date": "2026-01-31"})], tmp_path / "n.csv")
    text = (tmp_path / "n.csv").read_text().replace("2026-01-31", written)
    (tmp_path / "n.csv").write_text(text)
    assert load_records(tmp_path / "n.csv")[0].date == read


@pytest.mark.parametrize(
    ("field", "value"), [("settings_digest", "123456789"), ("query_fingerprint", "5.1E+29"), ("date", "yesterday")]
)
def test_values_that_a_spreadsheet_has_changed_are_named(tmp_path, field, value):
    save_table([Record(**{**GOOD, **FULL})], tmp_path / "n.csv")
    frame = pd.read_csv(tmp_path / "n.csv", dtype=str).assign(**{field: value})
    frame.to_csv(tmp_path / "n.csv", index=False)
    with pytest.raises(CdirError, match=f"n.csv, line 2: not a record .*{field}.*") as caught:
        load_records(tmp_path / "n.csv")
    assert value in str(caught.value) and "\n" not in str(caught.value)


def test_tables_of_before_a_field_existed_are_read(tmp_path):
    save_table([Record(**GOOD)], tmp_path / "n.csv")
    frame = pd.read_csv(tmp_path / "n.csv").drop(columns=["train_pool_fingerprint", "image_counts"])
    frame.to_csv(tmp_path / "n.csv", index=False)
    assert load_records(tmp_path / "n.csv") == [Record(**GOOD)]


def test_two_values_of_one_setting_say_what_differs(tmp_path):
    one = Record(**{**GOOD, "threads": 1, "measuring_commit": "a1"})
    save_records([one], tmp_path / "one", "r")
    save_records([one.model_copy(update={"value": 0.7, "threads": 2})], tmp_path / "two", "r")
    save_records([one.model_copy(update={"value": 0.7})], tmp_path / "three", "r")
    with pytest.raises(CdirError, match="they differ in threads 1 and 2;"):
        load_records([tmp_path / "one", tmp_path / "two"])
    with pytest.raises(CdirError, match="they agree in threads, training_commit, measuring_commit,"):
        load_records([tmp_path / "one", tmp_path / "three"])


@pytest.mark.parametrize("moved", ["null", "None", "3", "[1]", "{", "{1}"])
def test_a_cell_that_should_be_a_mapping_and_is_none_is_refused(tmp_path, moved):
    save_table([Record(**{**GOOD, "moved": {"head": 0.5}})], tmp_path / "n.csv")
    text = (tmp_path / "n.csv").read_text(encoding="utf-8")
    (tmp_path / "n.csv").write_text(text.replace('"{""head"": 0.5}"', moved), encoding="utf-8")
    with pytest.raises(CdirError, match="line 2: not a record"):
        load_records(tmp_path / "n.csv")


def test_a_cut_table_is_refused(tmp_path):
    save_table([Record(**GOOD), Record(**{**GOOD, **FULL})], tmp_path / "n.csv.gz")
    (tmp_path / "cut.csv.gz").write_bytes((tmp_path / "n.csv.gz").read_bytes()[:-20])
    with pytest.raises(CdirError, match="cut.csv.gz, line .*: not a record .*; export it again"):
        load_records(tmp_path / "cut.csv.gz")


def test_a_csv_file_without_a_column_is_refused(tmp_path):
    save_table([Record(**GOOD)], tmp_path / "n.csv")
    pd.read_csv(tmp_path / "n.csv").drop(columns=["metric", "date"]).to_csv(tmp_path / "n.csv", index=False)
    with pytest.raises(CdirError, match=r"n.csv, line 2: not a record \(missing columns: metric, date\); export it"):
        load_records(tmp_path / "n.csv")


# ---- settings --------------------------------------------------------------------------------------------------


def settings_in(folder) -> dict:
    return json.loads((folder / "settings.json").read_text())


def test_settings_are_stored_once_for_all_files_of_a_folder(tmp_path):
    rates = {rate: Record(**{**GOOD, "settings": {"rate": rate}}) for rate in (0.1, 0.2)}
    save_records([rates[0.1], Record(**{**GOOD, "settings": {"rate": 0.1}, "seed": 1})], tmp_path, "one")
    save_records([rates[0.2]], tmp_path, "two")
    assert settings_in(tmp_path) == {record.settings_digest: record.settings for record in rates.values()}
    assert "rate" not in (tmp_path / "one.jsonl").read_text()
    assert [record.settings["rate"] for record in load_records(tmp_path)] == [0.1, 0.1, 0.2]


def test_the_digest_of_settings_is_that_of_their_content():
    assert settings_digest({"a": 1, "b": [2.0]}) == settings_digest({"b": (2.0,), "a": 1})
    assert settings_digest({"a": 1}) != settings_digest({"a": 2})
    assert settings_digest({"a": np.float64(0.5)}) == settings_digest({"a": 0.5})
    record = Record(**{**GOOD, "settings": {"b": (np.float64(0.5),), "a": 1}})
    assert record.settings == {"a": 1, "b": [0.5]} and record.settings_digest == settings_digest({"a": 1, "b": [0.5]})
    assert Record(**GOOD).settings == {} and Record(**GOOD).settings_digest == settings_digest({})
    with pytest.raises(CdirError, match="not plain data"):
        Record(**{**GOOD, "settings": {"a": object()}})


def test_without_their_file_settings_are_unknown_and_stay_so(tmp_path):
    save_table([Record(**{**GOOD, **FULL})], tmp_path / "n.csv")
    (tmp_path / "settings.json").unlink()
    (found,) = load_records(tmp_path / "n.csv")
    assert found.settings is None and found.settings_digest == Record(**{**GOOD, **FULL}).settings_digest
    save_table([found], tmp_path / "copy" / "n.csv")
    assert settings_in(tmp_path / "copy") == {} and load_records(tmp_path / "copy" / "n.csv") == [found]


@pytest.mark.parametrize("content", ["{", "[1]", '{"0123456789": {"rate": 0.1}}', '{"x": 3}'])
def test_a_damaged_or_edited_file_of_settings_is_refused(tmp_path, content):
    save_table([Record(**GOOD)], tmp_path / "n.csv")
    (tmp_path / "settings.json").write_text(content)
    for use in (load_records, lambda path: save_table([Record(**{**GOOD, **FULL})], path)):
        with pytest.raises(CdirError, match=r"settings\.json") as caught:
            use(tmp_path / "n.csv")
        assert "\n" not in str(caught.value)
    assert (tmp_path / "settings.json").read_text() == content


@pytest.mark.medium
def test_committed_records_agree_with_each_other_and_stay_small():
    found = reproduced_records()
    assert not [record for record in found if record.pipeline_test or record.settings is None]
    assert all(record.query_images and record.query_fingerprint for record in found)
    assert not [record for record in found if "dirty" in record.training_commit + record.measuring_commit]
    untrained = [record for record in found if record.train_set.startswith(("none", "no image"))]
    assert all((record.train_images == 0) == ("training images" not in record.train_set) for record in untrained)
    assert all(path.stat().st_size < 700_000 for path in files.REPRODUCED.iterdir())


def test_committed_tables_can_be_read_one_by_one():
    tables = "clip-ucdir-world", "q-world"
    expected = load_records(files.REPRODUCED / f"{name}.csv" for name in tables)
    assert [(r.method, r.value) for r in reproduced_records(*tables)] == [(r.method, r.value) for r in expected]
    with pytest.raises(CdirError, match="'q_world'.*sketchlvm"):
        reproduced_records("q_world")


def test_no_out_dir_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_records([Record(**GOOD)], "", "one")
    assert not list(tmp_path.iterdir())


def test_a_failing_save_leaves_the_old_file(tmp_path):
    save_records([Record(**GOOD)], tmp_path, "one")
    with pytest.raises(CdirError):
        save_records((Record(**{**GOOD, "value": v}) for v in (0.1, 2)), tmp_path, "one")
    assert load_records(tmp_path) == [Record(**GOOD)]


def test_only_current_and_finished_results_of_a_run_count(tmp_path):
    for seed, folder in enumerate(["now", "superseded", "half", "later.failed", ".now.7.partial"]):
        save_records([Record(**{**GOOD, "seed": seed})], tmp_path / folder, "one")
    assert [r.seed for r in load_records(tmp_path)] == [2, 0, 1]  # no listing: all but failed and working folders
    (tmp_path / "run.json").write_text(json.dumps({"folders": ["now", "half", "missing"]}))
    (tmp_path / "now" / "done").touch()
    (tmp_path / "superseded" / "done").touch()
    assert [r.seed for r in load_records(tmp_path)] == [0]


def test_a_damaged_line_is_named(tmp_path):
    save_records([Record(**GOOD)], tmp_path, "one")
    with open(tmp_path / "one.jsonl", "a") as handle:
        handle.write('{"method": "cut o')
    with pytest.raises(CdirError, match=r"one.jsonl, line 2: not a record .*run its notebook again"):
        load_records(tmp_path)


def test_a_missing_run_folder_is_named(tmp_path):
    with pytest.raises(CdirError, match="no run folder .*nowhere: give a folder made by `cdir reproduce`"):
        load_records(tmp_path / "nowhere")


def test_frame_has_the_same_columns_for_no_records():
    frame = to_frame([Record(**{**GOOD, "steps": 3}), Record(**GOOD)])
    assert list(frame.columns) == list(Record.model_fields) == list(to_frame([]).columns)
    assert frame["steps"].isna().tolist() == [False, True]
    assert frame["value"].tolist() == [0.5, 0.5]


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def test_commit_says_dirty_and_is_unknown_elsewhere(tmp_path, monkeypatch):
    def commit(root):
        monkeypatch.setattr(sources, "ROOT", root)
        sources.current_commit.cache_clear()
        return sources.current_commit()

    assert commit(tmp_path) == "unknown"
    git(tmp_path, "init")
    (tmp_path / "inner").mkdir()
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    clean = commit(tmp_path)
    assert len(clean) >= 7 and not clean.endswith("-dirty")
    (tmp_path / "file").write_text("2")
    assert commit(tmp_path) == f"{clean}-dirty"
    assert commit(tmp_path / "inner") == "unknown"  # an installed copy inside somebody's repository
    sources.current_commit.cache_clear()


def test_the_selection_rule_is_one_of_a_closed_list():
    assert "selection_rule: should be 'nothing selected', 'last epoch'" in refusal(selection_rule="none: frozen")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", bytes(range(256)), b"method\n" + b'"' + b"x" * 200_000])
def test_a_csv_file_that_is_none_is_one_line(tmp_path, content):
    (tmp_path / "n.csv").write_bytes(content)
    with pytest.raises(CdirError, match=r"n\.csv, line \d+: not a record .*export it again"):
        load_records(tmp_path / "n.csv")
