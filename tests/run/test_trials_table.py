"""Tables of trials, from run folders written by hand."""

import csv
import json

import pytest
import typer
from run_folders import record
from trials_table import main

from cdir_nb.conventions import BY_PSEUDO_LABELS, BY_SEEN_LABELS, NOTHING_SELECTED
from cdir_nb.results import save_records


def write_run(folder, profile, jobs):
    """A run of `experiment`; jobs: (parameters, records, history) of each."""
    for i, (parameters, records, history) in enumerate(jobs):
        place = folder / f"experiment-{i}"
        save_records(records, place)
        (place / "params.json").parent.mkdir(exist_ok=True, parents=True)
        (place / "params.json").write_text(json.dumps({"parameters": parameters, "commit": "abc1234"}))
        (place / "done").write_text(json.dumps({"seconds": 1, "finished": "2026-01-02T03:04:05+00:00"}))
        (place / "experiment.html").write_text("")
        (place / "history.csv").write_text(history)
    names = [f"experiment-{i}" for i in range(len(jobs))]
    listing = {"profile": profile, "about": "a trial", "dataset": "world", "notebooks": names, "folders": names}
    (folder / "run.json").write_text(json.dumps(listing))
    return folder


def table_of(folder):
    main(folder / "trials.csv", [folder])
    return list(csv.DictReader((folder / "trials.csv").open()))


def measured(method, metric, value, rule="last epoch", **changes):
    return record(method=method, metric=metric, value=value, selection_rule=rule, **changes)


def test_a_search_by_scores_has_a_row_per_epoch_named_by_what_differs(tmp_path):
    history = f"domains,steps,epoch,{BY_PSEUDO_LABELS},{BY_SEEN_LABELS},labels changed,seconds\n"
    history += "a-b,0,0,0.1,0.2,,\na-b,8,1,0.125,0.25,0.5,3\n"
    jobs = [
        ({"encoder": "tiny-clip", "settings": {"patience": 9, **more}}, [], history) for more in ({}, {"prompts": 0})
    ]
    rows = table_of(write_run(tmp_path, "clair-grid-world", jobs))
    assert [row["changed"] for row in rows] == ["as chosen", "as chosen", "prompts = 0", "prompts = 0"]
    assert [row["steps"] for row in rows] == ["0", "8"] * 2 and rows[1]["P@5, pseudo-labels"] == "12.5"


def test_the_defaults_count_for_every_setting_that_is_tried(tmp_path):
    metric = "mAP@200:over_min_k_relevant"
    jobs = []
    for value, settings in (
        (0.5, {}),
        (0.25, {"words": 2}),
        (0.75, {"geometry": "euclidean", "temperature": 0.3}),
        (0.4, {"strategy": 2, "other_names": 0}),
    ):
        found = [measured("TKI", metric, v, query_domain=d) for v, d in ((value, "real"), (0.1, "clipart"))]
        found += [
            measured("vanilla CLIP", metric, 0.125, NOTHING_SELECTED, query_domain=d) for d in ("real", "clipart")
        ]
        jobs.append(({"encoder": "tiny-clip", "seed": 0, "settings": settings}, found, ""))
    rows = table_of(write_run(tmp_path, "tki-sensitivity-world", jobs))
    shown = [(row["setting"], row["value"], float(row["percent"]), row["default"]) for row in rows]
    assert shown == [
        ("words", "20", 30.0, "True"),
        ("words", "2", 17.5, "False"),
        ("geometry = euclidean, temperature", "0.3", 42.5, "False"),
        ("strategy 2", "other_names = 0", 25.0, "False"),
    ]
    assert {float(row["vanilla"]) for row in rows} == {12.5}


def test_a_gain_is_over_the_directions_that_the_method_was_fitted_for(tmp_path):
    metric = "P@10:hits_over_k"
    records = [
        measured("CLAIR", metric, 0.5, steps=8),
        measured("CLAIR", metric, 0.9, "validation by pseudo-labels", steps=4),
        measured("vanilla CLIP", metric, 0.25, NOTHING_SELECTED),
        measured("vanilla CLIP", metric, 0.75, NOTHING_SELECTED, query_domain="clipart"),
    ]
    records += [
        measured("vanilla CLIP", "accuracy:zero-shot, among 2", v, NOTHING_SELECTED, query_domain=d, gallery_domain="")
        for d, v in (("real", 0.5), ("clipart", 0.7))
    ]
    (row,) = table_of(write_run(tmp_path, "when-does-it-pay-world", [({}, records, "")]))
    assert (row["method"], row["P@10"], row["vanilla"]) == ("CLAIR", "50.0", "25.0")
    assert (row["zero-shot accuracy"], row["directions"], row["steps"]) == ("60.0", "1", "8")


def test_other_profiles_and_unfinished_runs_are_refused(tmp_path):
    folder = write_run(tmp_path, "when-does-it-pay-world", [({}, [measured("TKI", "P@10:hits_over_k", 0.5)], "")])
    (folder / "experiment-0" / "done").unlink()
    with pytest.raises(typer.BadParameter, match="experiment-0"):
        table_of(folder)
    with pytest.raises(typer.BadParameter, match="clair-grid"):
        table_of(write_run(tmp_path, "world", [({}, [], "")]))
