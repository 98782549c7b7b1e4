"""Which jobs are reused, from this run folder and from those beside it; the jobs are finished by hand."""

import json
import re
from dataclasses import asdict

import pytest
from tiny_notebooks import save, write_notebook, write_profile
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.errors import CdirError
from cdir_nb.paths import ROOT
from cdir_nb.run.plan import make_plan
from cdir_nb.run.profile import Entry, Experiment, Profile, load_profile, profile_names
from cdir_nb.run.reuse import adopt, find, preview
from cdir_nb.run.worker import _mark_done


@pytest.fixture
def notebooks(tmp_path):
    for name in ("01_first", "02_second"):
        write_notebook(tmp_path / f"{name}.ipynb", save())
    return tmp_path


def plan(folder, *settings, only=()):
    profile = load_profile(str(write_profile(folder)))
    return make_plan(profile.only(only) if only else profile, settings=settings)


def finish(job, run_dir, seconds=60):
    """The job's folder as a worker leaves it."""
    folder = run_dir / job.folder
    folder.mkdir(parents=True)
    (folder / "params.json").write_text(json.dumps({**asdict(job), "notebook": str(job.notebook)}))
    (folder / "r.jsonl").write_text("a result\n")
    _mark_done({"digest": job.digest}, folder, seconds)


def lines(a_plan, run_dir, **options):
    """{notebook: (run or reuse, reason)}, and the last line of the preview."""
    *jobs, last = preview(a_plan, run_dir, **options)
    return {line.split()[1]: (line.split()[0], line.partition("(")[2]) for line in jobs}, last


def test_a_job_that_another_run_finished_is_reused_and_only_the_changed_one_runs(notebooks):
    runs, first = notebooks / "runs", plan(notebooks)
    for job in first.jobs:
        finish(job, runs / first.folder, seconds=90)
    second = plan(notebooks, "02.seed=1")
    assert second.folder != first.folder
    jobs, last = lines(second, runs / second.folder)
    assert jobs["01_first"][0] == "reuse" and first.folder in jobs["01_first"][1]
    assert jobs["02_second"][0] == "run" and "parameters" in jobs["02_second"][1] and "1:30" in jobs["02_second"][1]
    assert last.startswith("1 of 2 would run") and "1:30" in last
    assert [job.label for job in second.jobs if find(job, runs / second.folder)] == ["01_first"]


def test_a_copy_is_complete_and_the_original_stays(notebooks):
    runs, (job, _) = notebooks / "runs", plan(notebooks).jobs
    finish(job, runs / "a")
    copy = adopt(find(job, runs / "b"), runs / "b" / job.folder)
    assert copy.folder == runs / "b" / job.folder and (copy.folder / "r.jsonl").read_text() == "a result\n"
    assert find(job, runs / "a").folder.parent == runs / "a" and not list((runs / "b").glob(".*"))


def test_a_damaged_job_is_neither_reused_nor_copied(notebooks):
    runs, a_plan = notebooks / "runs", plan(notebooks)
    job = a_plan.jobs[0]
    finish(job, runs / "a")
    found = find(job, runs / "b")
    (runs / "a" / job.folder / "r.jsonl").write_text("another result\n")
    assert find(job, runs / "b") is None and adopt(found, runs / "b" / job.folder) is None
    assert not (runs / "b" / job.folder).exists()
    assert "damaged" in lines(a_plan, runs / "b")[0]["01_first"][1]


def test_the_reason_for_running_is_what_changed(notebooks):
    runs, before = notebooks / "runs", plan(notebooks)
    for job in before.jobs:
        finish(job, runs / before.folder)
    write_notebook(notebooks / "01_first.ipynb", save(), "1 + 1")
    jobs, _ = lines(plan(notebooks), runs / before.folder)
    assert jobs["01_first"][0] == "run" and "cells" in jobs["01_first"][1] and jobs["02_second"][0] == "reuse"
    jobs, last = lines(plan(notebooks), runs / before.folder, force=True)
    assert {kind for kind, _ in jobs.values()} == {"run"} and last.startswith("2 of 2")
    assert "not known" in lines(plan(notebooks), notebooks / "elsewhere" / "run")[1]


def test_one_notebook_is_chosen_with_those_that_it_comes_after(notebooks):
    assert [job.name for job in plan(notebooks, only=["02"]).jobs] == ["02_second"]
    write_notebook(
        notebooks / "03_last.ipynb", save(), parameters='dataset = "world"\nseed = 0\nout_dir = ""\nrun_folders = ""'
    )
    entries = [{"notebook": "01_first.ipynb"}, {"notebook": "02_second.ipynb"},
               {"notebook": "03_last.ipynb", "after": "01_first"}]  # fmt: skip
    profile = load_profile(str(write_profile(notebooks, notebooks=entries)))
    assert [entry.name for entry in profile.only(["03"]).notebooks] == ["01_first", "03_last"]
    with pytest.raises(CdirError, match="0.*01_first, 02_second, 03_last"):
        profile.only(["0"])


def test_every_bundled_profile_states_its_cost():
    profiles = map(load_profile, profile_names())
    assert [profile.name for profile in profiles if not profile.cost] == []


def test_the_documented_profile_is_valid(tmp_path):
    text = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
    profile = load_profile(str(tmp_path / "my.yaml"))
    documented = set(re.findall(r"(?m)^[ -]*(\w+):", text))
    fields = {*Profile.model_fields, *Entry.model_fields, *Experiment.model_fields} - {"folder"}
    assert len(profile.notebooks) == 3 and fields <= documented | {"experiments"}


def test_one_notebook_then_all_then_a_dry_run_with_the_command(notebooks):
    """Notebook 01 runs once, although the runs of it alone and of the profile are in folders of their own."""

    def reproduce(*words):
        words = ["reproduce", "--profile", write_profile(notebooks), "--out", notebooks / "runs", *words]
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "2 of 2 would run" in reproduce("--dry-run") and not (notebooks / "runs").exists()
    one = reproduce("--notebook", "01")
    assert "done    01_first" in one and "02_second" not in one
    both = reproduce()
    assert "kept    01_first" in both and "done    02_second" in both
    again = reproduce("--dry-run")
    assert again.count("reuse") == 2 and "0 of 2 would run" in again
