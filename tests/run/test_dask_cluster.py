"""Notebooks on a dask cluster of real processes: the same results, lost workers, refusals."""

import json
import os
import signal
import subprocess
import threading

import nbformat
import psutil
import pytest
from tiny_notebooks import CDIR, save, wait_for, write_notebook, write_profile

from cdir_nb.errors import CdirError
from cdir_nb.results import load_records
from cdir_nb.run import cluster
from cdir_nb.run.cluster import cluster_pool, run_attempt
from cdir_nb.run.plan import make_plan
from cdir_nb.run.profile import load_profile
from cdir_nb.run.runner import run_plan

pytestmark = pytest.mark.cluster
distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed (pip install '.[cluster]')")
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def scheduler():
    """The address of a cluster with two worker processes, as `dask worker` would start them."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as made:
        yield made.scheduler_address


def test_a_local_cluster_has_as_many_workers_as_asked_for():
    with cluster._client(None, 1) as client:
        assert len(client.scheduler_info()["workers"]) == 1


def run_on(address, folder, name="run", **options):
    plan = make_plan(load_profile(str(write_profile(folder))))
    said = []
    with cluster_pool(address, None) as submit:
        return run_plan(plan, folder / name, say=said.append, submit=submit, **options), said


def test_a_cluster_leaves_what_a_run_on_this_machine_leaves(scheduler, tmp_path):
    write_notebook(tmp_path / "a.ipynb", "print(seed)", save())
    write_notebook(tmp_path / "b.ipynb", "1 / 0")
    there, _ = run_on(scheduler, tmp_path, "there")
    elsewhere = tmp_path / "elsewhere"  # runs beside each other reuse finished notebooks
    here = run_plan(make_plan(load_profile(str(tmp_path / "mine.yaml"))), elsewhere / "here", say=lambda line: None)
    assert [o.status for o in there] == [o.status for o in here] == ["done", "failed"]
    assert there[1].reason == here[1].reason == "ZeroDivisionError: division by zero"
    for one, other in zip(there, here):
        names = {path.name for path in one.folder.iterdir()}
        assert names == {path.name for path in other.folder.iterdir()} and one.folder.name == other.folder.name
    text = [nbformat.read(o[0].folder / "a.ipynb", 4).cells[-2].outputs for o in (there, here)]
    assert text[0] == text[1] and ".partial" not in (there[0].folder / "a.html").read_text()
    assert [r.value for r in load_records(tmp_path / "there")] == [r.value for r in load_records(elsewhere / "here")]
    assert not list((tmp_path / "there").glob(".*.partial"))


@pytest.mark.slow
def test_the_notebook_of_a_killed_worker_runs_again_on_another(scheduler, tmp_path):
    trace, key = tmp_path / "trace", tmp_path / "key"
    write_notebook(
        tmp_path / "a.ipynb",
        f"""
import os, time
with open({str(trace)!r}, "a") as file: file.write(f"{{os.getpid()}} {{os.getppid()}}\\n")
while not os.path.exists({str(key)!r}): time.sleep(.05)""",
        save(),
    )

    def kill_the_first():
        wait_for(lambda: trace.is_file() and trace.read_text().endswith("\n"))
        family = [int(pid) for pid in trace.read_text().split()]
        os.kill(psutil.Process(family[1]).ppid(), signal.SIGKILL)  # the dask worker that started the notebook's worker
        wait_for(lambda: not any(map(psutil.pid_exists, family)), 30)  # and its processes die with it
        wait_for(lambda: trace.read_text().count("\n") == 2)
        key.touch()

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    (outcome,), _ = run_on(scheduler, tmp_path)
    killer.join()
    assert outcome.status == "done" and trace.read_text().count("\n") == 2
    assert len(load_records(tmp_path / "run")) == 1
    assert run_on(scheduler, tmp_path)[0][0].status == "kept"
    assert not list((tmp_path / "run").glob(".*.partial"))  # the lost attempt's folder went with the next run


@pytest.mark.parametrize("end", ["interrupted", "killed"])
@pytest.mark.slow
def test_a_stopped_run_stops_its_notebooks(scheduler, tmp_path, end):
    trace = tmp_path / "trace"
    code = f"import os, time\nopen({str(trace)!r}, 'w').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)"
    write_notebook(tmp_path / "a.ipynb", code)
    words = ["reproduce", "--profile", str(write_profile(tmp_path)), "--out", str(tmp_path), "--scheduler", scheduler]
    process = subprocess.Popen([*CDIR, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: trace.is_file() and trace.read_text().endswith("\n"))
    process.send_signal(signal.SIGTERM if end == "interrupted" else signal.SIGKILL)
    process.wait(60)
    wait_for(lambda: not psutil.pid_exists(int(trace.read_text())), 60)


def test_a_worker_refuses_other_code_and_a_folder_that_it_cannot_see(tmp_path):
    with pytest.raises(CdirError, match="version"):
        run_attempt(str(tmp_path), "0" * 64, {})
    with pytest.raises(CdirError, match="gone"):
        run_attempt(str(tmp_path / "gone"), cluster.package_digest(), {})


def test_workers_with_other_code_are_refused_before_anything_runs(scheduler, monkeypatch):
    monkeypatch.setattr(cluster, "package_digest", lambda: "0" * 64)
    with pytest.raises(CdirError, match="version"), cluster_pool(scheduler, None):
        pass


def test_wrong_wishes_are_one_line(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_WITHIN", 1)
    with pytest.raises(CdirError, match="tcp://127.0.0.1:9") as caught, cluster_pool("tcp://127.0.0.1:9", None):
        pass
    assert "\n" not in str(caught.value)
    with pytest.raises(CdirError, match="--scheduler and --local-cluster"), cluster_pool("tcp://127.0.0.1:9", 2):
        pass
    with cluster_pool(None, None) as submit:
        assert submit is None


@pytest.mark.slow
def test_a_cluster_of_its_own(tmp_path):
    write_notebook(tmp_path / "a.ipynb", "import os\nprint(os.environ['OMP_NUM_THREADS'])")
    plan = make_plan(load_profile(str(write_profile(tmp_path))))
    with cluster_pool(None, 1) as submit:
        (outcome,) = run_plan(plan, tmp_path / "run", say=lambda line: None, submit=submit)
    assert outcome.status == "done" and json.loads((outcome.folder / "done").read_text())["seconds"] > 0
