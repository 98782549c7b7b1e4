"""Run the notebooks of a plan, several at once; skip finished ones, continue after failures, resume.

runs/<profile>-<digest>/            named by what was requested
  run.json                          which of the folders below are current
  report/index.html                 all numbers and figures (cdir_nb.pages)
  <notebook>-<digest>/              named by what determines the result
    <notebook>.ipynb  <notebook>.html  params.json  *.jsonl (records)  *.png (figures)  log.txt
    done                            written last; a folder without it is ignored
  <notebook>-<digest>.failed/       the same for a failed run, with traceback.txt
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cdir_nb.errors import CdirError, os_problem
from cdir_nb.pages.run_folder import clock
from cdir_nb.paths import atomic_write, cache_dir, is_abandoned, remove_leftovers
from cdir_nb.results.records import current_commit
from cdir_nb.run.places import Running, Start, start_here
from cdir_nb.run.plan import Job, Plan
from cdir_nb.run.processes import locked, sigterm_as_interrupt
from cdir_nb.run.progress import cells, show_live
from cdir_nb.run.worker import KERNEL, LOG
from cdir_nb.sources import file_digest


@dataclass
class Outcome:
    """The result of one notebook; status is done, kept (from an earlier run) or failed."""

    job: Job
    folder: Path
    status: str
    seconds: float = 0.0
    reason: str = ""


@dataclass
class Task:
    """A running notebook; `folder` has a temporary name until it ends."""

    job: Job
    folder: Path
    running: Running
    started: float

    @property
    def seconds(self) -> float:
        """Time since it started."""
        return time.monotonic() - self.started


def run_plan(
    plan: Plan,
    run_dir: Path,
    *,
    jobs: int = 1,
    force: bool = False,
    say: Callable[[str], None] = print,
    start: Start | None = None,
) -> list[Outcome]:
    """Run all unfinished notebooks, at most `jobs` at once. CdirError if another run uses the folder.

    start: what starts a notebook elsewhere (`cluster.place_to_run`); then all that can run are handed over at once.

    A job that comes after others starts once they have ended, with the records of those that succeeded.
    On KeyboardInterrupt (Ctrl-C or SIGTERM) all child processes are killed; finished notebooks are kept.
    """
    if "," in str(run_dir) and any(job.after for job in plan.jobs):
        raise CdirError(f"{run_dir}: the path contains a comma, which separates run folders: choose another --out")
    run_dir.mkdir(parents=True, exist_ok=True)
    with locked(run_dir, say), sigterm_as_interrupt():
        _clear_unfinished(run_dir)
        _write_listing(plan, run_dir)
        earlier = {} if force else {job.folder: _kept(job, run_dir / job.folder, say) for job in plan.jobs}
        outcomes = {name: outcome for name, outcome in earlier.items() if outcome}
        todo = [job for job in plan.jobs if job.folder not in outcomes]
        most = max(1, jobs) if start is None else len(plan.jobs)
        _run(todo, outcomes, run_dir, most, plan.skip, say, start or start_here)
    return [outcomes[job.folder] for job in plan.jobs]


def _kept(job: Job, folder: Path, say: Callable[[str], None]) -> Outcome | None:
    """The outcome of an earlier run. None if the job is incomplete, damaged, or ran without one that it comes after."""
    try:
        marker = json.loads((folder / "done").read_text(encoding="utf-8"))
        if marker["without"] or any(file_digest(folder / name) != digest for name, digest in marker["files"].items()):
            return None
        seconds = float(marker["seconds"])
        say(f"kept    {job.label}  (finished {marker['finished']}, {clock(seconds)})")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):  # whatever damage may raise
        return None
    return Outcome(job, folder, "kept", seconds)


def _clear_unfinished(run_dir: Path) -> None:
    """Remove what a killed run left behind: working folders, and temporary files here, in the cache and elsewhere."""
    for folder in run_dir.glob(".*.partial"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in Path(tempfile.gettempdir()).glob(f"{KERNEL}*"):
        if is_abandoned(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
    for folder in (run_dir, cache_dir()):
        remove_leftovers(folder)


def _write_listing(plan: Plan, run_dir: Path) -> None:
    """Write run.json: what was requested, and which folders in the run folder are current."""
    content = {
        "profile": plan.profile.name,
        "about": plan.profile.about,
        "dataset": plan.profile.dataset,
        "notebooks": [job.label for job in plan.jobs],
        "folders": [job.folder for job in plan.jobs],
    }
    with atomic_write(run_dir / "run.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _run(
    todo: list[Job],
    outcomes: dict[str, Outcome],
    run_dir: Path,
    jobs: int,
    skip: str,
    say: Callable[[str], None],
    start: Start,
) -> None:
    """Start, watch and end worker processes, and fill `outcomes`; no process outlives this function."""
    waiting, running = list(todo), []
    try:
        while waiting or running:
            ready = [job for job in waiting if outcomes.keys() >= set(job.after)]
            for job in ready[: jobs - len(running)]:
                waiting.remove(job)
                with _failing_alone(job, run_dir, outcomes, say):
                    before = [outcomes[name] for name in job.after]
                    folder = _prepared(job, before, run_dir, skip, say)
                    running.append(Task(job, folder, start(folder, min(jobs, len(todo))), time.monotonic()))
            for task in [task for task in running if task.running.ended()]:
                running.remove(task)
                with _failing_alone(task.job, run_dir, outcomes, say):
                    outcomes[task.job.folder] = _finish(task, run_dir, say)
            show_live(f"{task.job.label} {cells(task.folder)} {clock(task.seconds)}" for task in running)
            time.sleep(0.1)
    finally:
        for task in running:
            task.running.kill()


@contextmanager
def _failing_alone(job: Job, run_dir: Path, outcomes: dict[str, Outcome], say: Callable[[str], None]) -> Iterator[None]:
    """If the files of a job cannot be written, that job has failed, and the others go on."""
    try:
        yield
    except OSError as error:
        say(f"FAILED  {job.label}  {os_problem(error)}")
        outcomes[job.folder] = Outcome(job, run_dir / f"{job.folder}.failed", "failed", reason=os_problem(error))


def _prepared(job: Job, before: list[Outcome], run_dir: Path, skip: str, say: Callable[[str], None]) -> Path:
    """A new working folder, with all that a worker must know in params.json."""
    folder = run_dir / f".{job.folder}.{os.getpid()}.partial"
    folder.mkdir()
    without = [outcome.job.label for outcome in before if outcome.status == "failed"]
    say(f"start   {job.label}" + (f"  (without {', '.join(without)}, which failed)" if without else ""))
    content = {
        **asdict(job),
        "notebook": str(job.notebook),
        "commit": current_commit(),
        "without": without,
        "skip": skip,
    }
    if before:
        folders = [str(outcome.folder) for outcome in before if outcome.status != "failed"]
        content["parameters"] = {**job.parameters, "run_folders": ",".join(folders)}
    (folder / "params.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return folder


def _finish(task: Task, run_dir: Path, say: Callable[[str], None]) -> Outcome:
    """Rename the working folder to its final name: as done, or as `.failed` with the reason."""
    seconds = task.seconds
    code, task.folder = task.running.result()
    final, failed = run_dir / task.job.folder, run_dir / f"{task.job.folder}.failed"
    good = code == 0 and (task.folder / "done").is_file()
    shutil.rmtree(failed, ignore_errors=True)
    if good:
        shutil.rmtree(final, ignore_errors=True)
        os.replace(task.folder, final)
        say(f"done    {task.job.label}  {clock(seconds)}")
        return Outcome(task.job, final, "done", seconds)
    reason = _reason(task.folder, code)
    os.replace(task.folder, failed)
    say(f"FAILED  {task.job.label}  {clock(seconds)}  {reason}\n        see {failed / 'traceback.txt'}")
    return Outcome(task.job, failed, "failed", seconds, reason)


def _reason(folder: Path, code: int) -> str:
    """The last line of the traceback; if there is none, write one from the log and the exit code."""
    path = folder / "traceback.txt"
    if not path.is_file():
        log = (folder / LOG).read_text(encoding="utf-8", errors="replace")
        path.write_text(f"{log}\nworker ended with exit code {code}\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip().splitlines()[-1]
