"""A run that is killed again and again, at random moments, ends with the results of a run that was left alone.

Three kills here; `make kills` has 100. Both jobs of the run use the cache: one writes images and embeddings, the other
checkpoints of a training.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tiny_notebooks import CDIR, write_notebook, write_profile

KILLS = int(os.environ.get("CDIR_KILLS") or 3)

MEASURED = """
import cdir_nb.encoders.image
from cdir_nb.data import load_protocol
from cdir_nb.data.world import load_world
from cdir_nb.encoders import load_encoder
from cdir_nb.methods import VanillaClip
from cdir_nb.results import measure, save_records
cdir_nb.encoders.image.SHARD_ROWS = 16  # many files, so that a kill can come between two
encoder, task = load_encoder("tiny-clip"), load_protocol("world-unseen", load_world(1))
save_records(measure(VanillaClip(encoder), task, seed), out_dir, "measured")"""

TRAINED = """
from cdir_nb.data import load_protocol
from cdir_nb.data.world import load_world
from cdir_nb.encoders import load_encoder
from cdir_nb.methods import fit, training
from cdir_nb.results import Record, measure, save_records
training.CHECKPOINT_SECONDS = 0.0  # a checkpoint after each epoch
encoder, task = load_encoder("tiny-clip"), load_protocol("world-unseen", load_world(1))
few = {"words": 2, "expansion_steps": 20, "aggregation_steps": 20, "classes_per_step": 5}
fitted = fit("TKI", encoder, task, settings=few, seed=seed)
records = [record for embedders in fitted.states.values() for record in measure(embedders, task, seed)]
component = fitted.states["last epoch"][0].embed(task.images.take([0]))[0, 0].abs().item()
exact = {"method": "a component, to the last bit", "metric": "accuracy:top-1", "value": min(component, 1)}
save_records([*records, Record(**{**records[0].model_dump(), **exact})], out_dir, "trained")"""

TIMES = (r"\d+:\d\d\b|\b\d+\.\d s\b", r"\d{4}-\d\d-\d\dT[\d:]+(\+00:00|Z)?|\d{4}-\d\d-\d\d \d\d:\d\d")


def results(runs: Path) -> dict[str, str | bytes]:
    """The content of records, values of queries, settings and the report, without times."""
    files: dict[str, str | bytes] = {}
    for path in sorted(path for path in runs.glob("*/[!.]*/**/*") if path.is_file()):
        name = str(path.relative_to(runs))
        if path.suffix == ".npz":
            files[name] = path.read_bytes()
        elif path.suffix in (".jsonl", ".csv") or path.name in ("settings.json", "index.html"):
            files[name] = re.sub("|".join(TIMES), "TIME", path.read_text(encoding="utf-8"))
    return files


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start the run in a process group of its own."""
    monkeypatch.setenv("CDIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))  # records name no commit, which may change meanwhile
    write_notebook(tmp_path / "a.ipynb", MEASURED)
    write_notebook(tmp_path / "b.ipynb", TRAINED)
    profile = str(write_profile(tmp_path))
    command = [*CDIR, "reproduce", "--profile", profile, "--jobs", "2", "--out", str(tmp_path / "runs")]

    def begin() -> subprocess.Popen:
        log = open(tmp_path / "log.txt", "ab")  # noqa: SIM115
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    return begin


def end_of(process: subprocess.Popen, seconds: float) -> bool:
    """Whether the run ends well within this time; if not, its process group is killed."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
    assert code == 0
    return True


@pytest.mark.slow
def test_a_killed_run_ends_like_one_that_was_left_alone(start, tmp_path):
    began = time.monotonic()
    assert end_of(start(), 1000)
    seconds, expected = time.monotonic() - began, results(tmp_path / "runs")
    assert sum(name.endswith(".jsonl") for name in expected) >= 2 and any("index.html" in name for name in expected)
    rng, kills, trials = random.Random(os.environ.get("CDIR_KILLS_SEED", "7")), 0, 0
    while kills < KILLS:
        for folder in ("runs", "cache"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
        while not end_of(start(), rng.uniform(0, seconds) if kills < KILLS else 1000):
            kills += 1
        trials += 1
        assert results(tmp_path / "runs") == expected, (tmp_path / "log.txt").read_text()
        assert not list((tmp_path / "runs").rglob("*.partial"))
    print(f"\n{kills} kills of {trials} runs; a run takes {seconds:.0f} s")
