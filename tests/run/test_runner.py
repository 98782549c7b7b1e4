"""The runner, with real notebooks in real processes: killed, resumed, failing, locked, parallel."""

import dataclasses
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from tiny_notebooks import CDIR, save, wait_for, write_notebook, write_profile

from cdir_nb import paths
from cdir_nb.errors import CdirError
from cdir_nb.pages.run_folder import clock
from cdir_nb.results import load_records
from cdir_nb.run import processes, reuse, runner
from cdir_nb.run.plan import make_plan
from cdir_nb.run.profile import load_profile
from cdir_nb.run.runner import run_plan

LOOK = """
import os, sys, psutil, ipywidgets
display(ipywidgets.IntSlider())
print(sys.executable, os.environ["OMP_NUM_THREADS"], os.environ["CDIR_HEADLESS"], os.getcwd())"""


def run(folder, **options):
    said = []
    plan = make_plan(load_profile(str(write_profile(folder))), settings=options.pop("settings", ()))
    return run_plan(plan, folder / "run", say=said.append, **options), said


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """One run of three notebooks: a good one, one that fails in a cell, one whose kernel dies."""
    folder = tmp_path_factory.mktemp("mixed")
    write_notebook(folder / "a_fails.ipynb", "print('before')", "def deep():\n    1 / 0\ndeep()", "print('after')")
    write_notebook(folder / "b_good.ipynb", LOOK, save())
    write_notebook(folder / "c_dies.ipynb", "import os\nos.kill(os.getpid(), 9)")
    outcomes, said = run(folder, jobs=2, settings=["seed=4"])
    return folder, {outcome.job.name: outcome for outcome in outcomes}, said


def test_a_failing_notebook_stops_no_other(mixed):
    _, outcomes, said = mixed
    assert {name: o.status for name, o in outcomes.items()} == {
        "a_fails": "failed",
        "b_good": "done",
        "c_dies": "failed",
    }
    assert any(line.startswith("done    b_good") for line in said)


def test_a_failing_notebook_leaves_its_traceback(mixed):
    _, outcomes, said = mixed
    failed = outcomes["a_fails"]
    trace = (failed.folder / "traceback.txt").read_text()
    assert "deep()" in trace and "ZeroDivisionError: division by zero" in trace and "\x1b" not in trace
    assert failed.folder.name.endswith(".failed") and not (failed.folder / "done").exists()
    notebook = nbformat.read(failed.folder / "a_fails.ipynb", as_version=4)
    assert any(o.output_type == "error" for c in notebook.cells for o in c.get("outputs", []))
    assert "ZeroDivisionError" in (failed.folder / "a_fails.html").read_text()
    assert any("FAILED  a_fails" in line and "ZeroDivisionError: division by zero" in line for line in said)


def test_a_dead_kernel_is_a_failure_with_a_reason(mixed):
    failed = mixed[1]["c_dies"]
    assert "Kernel died" in failed.reason and "DeadKernelError" in (failed.folder / "traceback.txt").read_text()


def test_a_finished_folder_is_complete(mixed):
    folder, outcomes, _ = mixed
    good = outcomes["b_good"].folder
    names = {path.name for path in good.iterdir()}
    assert names == {"b_good.ipynb", "b_good.html", "params.json", "r.jsonl", "settings.json", "log.txt", "done"}
    assert json.loads((good / "params.json").read_text())["parameters"]["seed"] == 4
    assert [record.seed for record in load_records(folder / "run")] == [4]
    assert not list((folder / "run").glob(".*.partial"))


def test_the_executed_notebook_keeps_no_widget_and_no_run_folder(mixed):
    _, outcomes, _ = mixed
    text = (outcomes["b_good"].folder / "b_good.ipynb").read_text()
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata and "widget-view" not in text and ".partial" not in text
    assert ".partial" not in (outcomes["b_good"].folder / "b_good.html").read_text()


def test_the_kernel_is_this_python_headless_with_its_share_of_cores(mixed):
    folder, outcomes, _ = mixed
    notebook = nbformat.read(outcomes["b_good"].folder / "b_good.ipynb", as_version=4)
    printed = notebook.cells[3].outputs[-1].text.split()
    cores = len(psutil.Process().cpu_affinity())
    limit = int(os.environ.get("OMP_NUM_THREADS") or cores)
    assert printed == [sys.executable, str(min(limit, max(1, cores // 2))), "1", str(folder)]


@pytest.mark.slow
def test_a_foreign_python3_kernel_is_not_used(tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    write_notebook(tmp_path / "a.ipynb", "1")
    assert run(tmp_path)[0][0].status == "done"


def test_the_second_run_keeps_what_is_finished_and_retries_what_failed(tmp_path):
    write_notebook(tmp_path / "a.ipynb", f"open({str(tmp_path / 'ran')!r}, 'a').write('a')")
    write_notebook(
        tmp_path / "b.ipynb", f"open({str(tmp_path / 'ran')!r}, 'a').write('b'); open({str(tmp_path / 'key')!r})"
    )
    assert [o.status for o in run(tmp_path, jobs=2)[0]] == ["done", "failed"]
    (tmp_path / "key").touch()
    outcomes, said = run(tmp_path)
    assert [o.status for o in outcomes] == ["kept", "done"] and said[0].startswith("kept    a  (")
    assert sorted((tmp_path / "ran").read_text()) == ["a", "b", "b"]
    assert not list((tmp_path / "run").glob("*.failed"))
    assert [o.status for o in run(tmp_path, force=True, jobs=2)[0]] == ["done", "done"]
    assert sorted((tmp_path / "ran").read_text()) == ["a", "a", "b", "b", "b"]


@pytest.mark.slow
def test_two_jobs_overlap_and_one_does_not(tmp_path):
    """Each notebook waits for the other's sign of life: only side by side can both end well."""
    for name, other in ("ab", "ba"):
        write_notebook(
            tmp_path / f"{name}.ipynb",
            f"""
import pathlib, time
here = pathlib.Path({str(tmp_path)!r})
(here / "{name}").touch()
end = time.monotonic() + SECONDS
while not (here / "{other}").exists():
    assert time.monotonic() < end, "alone"
    time.sleep(.05)""".replace("SECONDS", "60"),
        )
    assert [o.status for o in run(tmp_path, jobs=2)[0]] == ["done", "done"]


def test_the_done_marker_is_written_last(tmp_path, monkeypatch):
    from cdir_nb.run import worker

    write_notebook(tmp_path / "a.ipynb", "1")
    (tmp_path / "w").mkdir()
    job = {"name": "a", "notebook": str(tmp_path / "a.ipynb"), "parameters": {}, "digest": "d"}
    (tmp_path / "w/params.json").write_text(json.dumps(job))
    order = []
    monkeypatch.setattr(worker, "_die_with_parent", lambda: None)
    monkeypatch.setattr(worker, "_execute", lambda *_: order.append("run"))
    monkeypatch.setattr(worker, "_publish", lambda *_: order.append(("page", (tmp_path / "w/done").exists())))
    assert worker.main(tmp_path / "w") == 0
    assert order == ["run", ("page", False)] and (tmp_path / "w/done").is_file()


def test_a_worker_that_dies_without_a_word_is_a_failure(tmp_path, monkeypatch):
    write_notebook(tmp_path / "a.ipynb", "1")
    real = subprocess.Popen
    monkeypatch.setattr(
        processes.subprocess,
        "Popen",
        lambda command, **kw: real([sys.executable, "-c", "print('last words'); raise SystemExit(7)"], **kw),
    )
    (outcome,), _ = run(tmp_path)
    assert outcome.status == "failed" and outcome.reason == "worker ended with exit code 7"
    assert "last words" in (outcome.folder / "traceback.txt").read_text()


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_fails_alone(tmp_path):
    for name in "abc":
        write_notebook(tmp_path / f"{name}.ipynb", "1")
    plan = make_plan(load_profile(str(write_profile(tmp_path))))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / plan.jobs[0].folder).touch()  # a file where the folder should be
    (tmp_path / "run" / f".{plan.jobs[1].folder}.{os.getpid()}.partial").touch()
    outcomes, said = run(tmp_path)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed", "done"]
    assert "Not a directory" in outcomes[0].reason and "File exists" in outcomes[1].reason
    assert sum(line.startswith("FAILED") for line in said) == 2


@pytest.mark.slow
def test_any_path_works_with_braces_too(tmp_path):
    folder = tmp_path / "a {b} {0} {{c} 'd' $e:f"
    folder.mkdir()
    write_notebook(folder / "x{y}.ipynb", save())
    (outcome,), _ = run(folder)
    assert (
        outcome.status == "done" and (outcome.folder / "x{y}.html").is_file() and len(load_records(folder / "run")) == 1
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of one notebook that saves a record; it leaves nothing in the temporary folder."""
    folder, scratch = tmp_path_factory.mktemp("finished"), tmp_path_factory.mktemp("scratch")
    write_notebook(folder / "a.ipynb", save())
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(scratch)
    run(folder)
    os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)
    assert not [path.name for path in scratch.iterdir() if path.name.startswith(("cdir-kernel", "tmp"))]
    return folder


DAMAGE = {
    "done": [b"", b"{}", b"\xff\xfe", b"[1]", b"{" * 9, b'{"without": [], "files": 3}'],
    "r.jsonl": [b"", b'{"method": "zero', b"\x00" * 50],
    "a.html": [b""],
}


@pytest.mark.parametrize(("name", "content"), [(name, content) for name in DAMAGE for content in DAMAGE[name]])
def test_a_damaged_job_counts_as_unfinished(finished, tmp_path, name, content):
    shutil.copytree(finished / "run", tmp_path / "run")
    job = make_plan(load_profile(str(finished / "mine.yaml"))).jobs[0]
    folder = tmp_path / "run" / job.folder
    assert reuse.finished(folder).seconds
    (folder / name).write_bytes(content)
    assert reuse.finished(folder) is None
    (folder / name).unlink()
    assert reuse.finished(folder) is None


def test_a_damaged_job_runs_again(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "b")
    (tmp_path / "b/run/run.json").write_bytes(b"\xff")
    with pytest.raises(CdirError, match="run.json is damaged: run `cdir reproduce` again"):
        load_records(tmp_path / "b/run")
    next((tmp_path / "b/run").glob("a-*/r.jsonl")).write_text('{"method": "cut')
    assert [outcome.status for outcome in run(tmp_path / "b")[0]] == ["done"]
    assert len(load_records(tmp_path / "b/run")) == 1


@pytest.mark.slow
def test_what_a_killed_run_left_is_removed_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setenv("CDIR_CACHE", str(tmp_path / "cache"))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mark = paths.process_label().replace(str(os.getpid()), str(dead.pid))
    for name in ("run/.part", "cache/world/.part"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / f"{name}-{mark}x.npy").touch()
    (tmp_path / "run/.a-123.7.partial").mkdir()
    write_notebook(tmp_path / "a.ipynb", "1")
    outcomes, said = run(tmp_path)
    assert outcomes[0].status == "done" and "interrupted" in said[0]
    assert not list(tmp_path.rglob(".part-*")) and not list(tmp_path.rglob("*.partial"))


@pytest.mark.slow
def test_a_notebook_knows_what_is_skipped(tmp_path):
    write_notebook(tmp_path / "a.ipynb", "import os; print(os.environ['CDIR_SKIP'])")
    plan = dataclasses.replace(make_plan(load_profile(str(write_profile(tmp_path)))), skip="bad,unknown")
    (outcome,) = run_plan(plan, tmp_path / "run")
    assert "bad,unknown" in (outcome.folder / "a.ipynb").read_text()


# --- jobs that come after others

SEES = """
from pathlib import Path
from cdir_nb.results import load_records
folders = [folder for folder in run_folders.split(",") if folder]
seen = [record.seed for record in load_records(folders)]
with open({ran!r}, "a") as ran: ran.write(f"{{seen}} ")"""


@pytest.fixture
def chained(tmp_path):
    """Run a sweep over two seeds, the first of which fails without a `key`, and a notebook after it."""
    need = f"assert seed or open({str(tmp_path / 'key')!r})"
    write_notebook(tmp_path / "a.ipynb", "import time\ntime.sleep(seed / 2)", need, save())
    write_notebook(
        tmp_path / "b.ipynb", SEES.format(ran=str(tmp_path / "ran")), parameters='dataset = "world"\nrun_folders = ""'
    )
    notebooks = [{"notebook": "a.ipynb", "sweep": {"seed": [0, 1]}}, {"notebook": "b.ipynb", "after": "all"}]
    plan = make_plan(load_profile(str(write_profile(tmp_path, notebooks=notebooks))))

    def run(**options):
        said = []
        outcomes = run_plan(plan, tmp_path / "run", say=said.append, **options)
        return [outcome.status for outcome in outcomes], said

    return run


@pytest.mark.slow
def test_a_job_after_a_sweep_sees_the_records_of_all(chained, tmp_path):
    (tmp_path / "key").touch()
    statuses, said = chained(jobs=3)
    assert statuses == ["done", "done", "done"] and (tmp_path / "ran").read_text() == "[0, 1] "
    assert said.index("start   b") == 4 and {"start   a seed=0", "start   a seed=1"} == set(said[:2])
    assert chained()[0] == ["kept", "kept", "kept"]
    page = next((tmp_path / "run").glob("b-*/b.html")).read_text()
    assert str(tmp_path / "run") not in page


@pytest.mark.slow
def test_a_job_after_a_failed_one_says_so_and_runs_again_once_it_is_mended(chained, tmp_path):
    statuses, said = chained(jobs=2)
    assert statuses == ["failed", "done", "done"]
    assert "start   b  (without a seed=0, which failed)" in said
    (tmp_path / "key").touch()
    assert chained()[0] == ["done", "kept", "done"] and chained()[0] == ["kept"] * 3
    assert (tmp_path / "ran").read_text() == "[1] [0, 1] "


def test_a_comma_in_the_path_of_jobs_with_successors_is_refused(tmp_path):
    write_notebook(tmp_path / "a.ipynb", "1", parameters='dataset = "world"\nrun_folders = ""')
    write_notebook(tmp_path / "b.ipynb", "1", parameters='dataset = "world"\nrun_folders = ""')
    notebooks = [{"notebook": "a.ipynb"}, {"notebook": "b.ipynb", "after": "a"}]
    plan = make_plan(load_profile(str(write_profile(tmp_path, notebooks=notebooks))))
    with pytest.raises(CdirError, match="the path contains a comma"):
        run_plan(plan, tmp_path / "a,b")


# --- while it runs, and what it warned of

STEPS = """
import time
from tqdm import tqdm
for _ in tqdm(range(50), desc="TKI sketch", unit=" steps"): time.sleep(.05)"""


@pytest.mark.slow
def test_a_long_run_says_where_each_notebook_is(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "REPORT_EVERY", 0.2)
    write_notebook(tmp_path / "a.ipynb", STEPS)
    (outcome,), said = run(tmp_path)
    lines = [line for line in said if line.startswith("running a  ")]
    # With its text and the parameters, twice, it has four cells.
    assert any(re.search(r"  cell 4 of 4, TKI sketch \d+ of 50, 00:0\d left$", line) for line in lines)
    assert outcome.status == "done" and not list((tmp_path / "run").rglob("progress.txt"))


@pytest.mark.slow
def test_a_quick_run_says_nothing_in_between(mixed):
    assert not any(line.startswith("running") for line in mixed[2])


@pytest.mark.slow
def test_a_warning_of_several_notebooks_is_printed_once(tmp_path):
    for name in "abc":
        text = "rare" if name == "c" else "often seen"
        write_notebook(tmp_path / f"{name}.ipynb", f"import warnings\nfor _ in range(3): warnings.warn({text!r})")
    done = subprocess.run(reproduce(tmp_path), capture_output=True, text=True, timeout=300)
    warned = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert warned == ["warning in 2 notebooks: often seen", "warning in 1 notebook: rare"]


# --- killed and resumed


@pytest.fixture
def slow(tmp_path):
    """`cdir reproduce` of a quick and an endless notebook, once the endless one is under way."""
    write_notebook(tmp_path / "a.ipynb", f"open({str(tmp_path / 'ran')!r}, 'a').write('a')")
    write_notebook(
        tmp_path / "b.ipynb",
        f"""
import os, time
open({str(tmp_path / "ran")!r}, "a").write("b")
open({str(tmp_path / "pid")!r}, "w").write(f"{{os.getpid()}} {{os.getppid()}}")
while not os.path.exists({str(tmp_path / "key")!r}): time.sleep(.05)""",
    )
    hears_ctrl_c = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests in the background do not
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(reproduce(tmp_path), preexec_fn=hears_ctrl_c, **pipes)
    try:
        wait_for(lambda: (tmp_path / "pid").is_file() and len((tmp_path / "pid").read_text().split()) == 2)
        yield process
    finally:
        process.kill()
        process.communicate()


def reproduce(folder) -> list[str]:
    return [*CDIR, "reproduce", "--profile", str(write_profile(folder)), "--out", str(folder / "runs")]


def children_of(tmp_path) -> list[int]:
    """Process ids of the kernel and the worker of the endless notebook."""
    return [int(pid) for pid in (tmp_path / "pid").read_text().split()]


def assert_resumes(tmp_path):
    (tmp_path / "key").touch()
    done = subprocess.run(reproduce(tmp_path), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "kept    a" in done.stdout and "done    b" in done.stdout
    assert "interrupted" in done.stdout
    assert (tmp_path / "ran").read_text() == "abb"
    assert not list((tmp_path / "runs").rglob("*.partial"))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_killed_outright_it_leaves_no_process_and_resumes(slow, tmp_path):
    slow.kill()
    slow.wait()
    wait_for(lambda: not any(map(alive, children_of(tmp_path))), seconds=20)
    assert list((tmp_path / "runs").glob("*/.b-*.partial"))
    assert_resumes(tmp_path)


def assert_stops(process, number, tmp_path):
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err
    assert "stopped; finished notebooks are kept: run the same command again to resume" in err
    assert not any(map(alive, children_of(tmp_path)))


def test_ctrl_c_ends_all_and_says_how_to_go_on(slow, tmp_path):
    assert_stops(slow, signal.SIGINT, tmp_path)


@pytest.mark.slow
def test_a_second_run_is_refused_while_one_is_at_work_and_goes_on_once_it_is_stopped(slow, tmp_path):
    second = subprocess.run(reproduce(tmp_path), capture_output=True, text=True, timeout=120)
    assert second.returncode == 2 and second.stderr.startswith("error: ")
    assert str(tmp_path / "runs") in second.stderr and second.stderr.count("\n") == 1
    assert_stops(slow, signal.SIGTERM, tmp_path)
    assert_resumes(tmp_path)


def test_threads_are_shared_and_a_users_lower_limit_stays(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    for own, share, expected in [("", 2, "4"), ("1", 2, "1"), ("16", 2, "4"), ("4,2", 1, "8"), ("", 99, "1")]:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
        assert processes.environment(share)["OMP_NUM_THREADS"] == expected


@pytest.mark.parametrize("seconds,text", [(3.14, "3.1 s"), (75, "1:15"), (600.9, "10:00")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_locked_is_an_error_in_process_too(tmp_path):
    import filelock

    write_notebook(tmp_path / "a.ipynb", "1")
    (tmp_path / "run").mkdir()
    with filelock.FileLock(tmp_path / "run" / ".lock"), pytest.raises(CdirError, match="run"):
        run(tmp_path)
    assert not Path(tmp_path / "run" / "run.json").exists()


def test_a_run_folder_of_another_user_is_refused_with_a_remedy(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    write_notebook(tmp_path / "a.ipynb", "1")
    monkeypatch.setattr(processes.filelock.FileLock, "acquire", denied)
    with pytest.raises(CdirError, match=f"{tmp_path / 'run'} belongs to another user.*--out"):
        run(tmp_path)
