"""Run the notebooks of a plan, several at once; skip finished ones, continue after failures, resume.

runs/<profile>-<digest>/            named by what was requested
  run.json                          which of the folders below are current
  report/index.html                 all numbers and figures (cdir_nb.report)
  <notebook>-<digest>/              named by what determines the result
    <notebook>.ipynb  <notebook>.html  params.json  *.jsonl (records)  *.png (figures)  log.txt
    done                            written last; a folder without it is ignored
  <notebook>-<digest>.failed/       the same for a failed run, with traceback.txt
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from cdir_nb.batch.places import Running, Start, start_here
from cdir_nb.batch.plan import Job, Plan
from cdir_nb.batch.processes import locked, sigterm_as_interrupt
from cdir_nb.batch.progress import cells, clock, show_live
from cdir_nb.errors import CdirError
from cdir_nb.paths import atomic_write
from cdir_nb.results.records import current_commit


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
        kept = [job for job in plan.jobs if not force and _finished(run_dir / job.folder)]
        outcomes = {job.folder: _kept(job, run_dir, say) for job in kept}
        todo = [job for job in plan.jobs if job not in kept]
        _run(todo, outcomes, run_dir, max(1, jobs) if start is None else len(plan.jobs), say, start or start_here)
    return [outcomes[job.folder] for job in plan.jobs]


def _finished(folder: Path) -> bool:
    """Whether a job is complete: it succeeded, and so did all the jobs that it comes after."""
    marker = folder / "done"
    return marker.is_file() and not json.loads(marker.read_text(encoding="utf-8")).get("without")


def _clear_unfinished(run_dir: Path) -> None:
    """Remove working folders left behind by a killed run."""
    for folder in run_dir.glob(".*.partial"):
        shutil.rmtree(folder, ignore_errors=True)


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


def _kept(job: Job, run_dir: Path, say: Callable[[str], None]) -> Outcome:
    marker = json.loads((run_dir / job.folder / "done").read_text(encoding="utf-8"))
    say(f"kept    {job.label}  (finished {marker['finished']}, {clock(marker['seconds'])})")
    return Outcome(job, run_dir / job.folder, "kept", marker["seconds"])


def _run(
    todo: list[Job],
    outcomes: dict[str, Outcome],
    run_dir: Path,
    jobs: int,
    say: Callable[[str], None],
    start: Start = start_here,
) -> None:
    """Start, watch and end worker processes, and fill `outcomes`; no process outlives this function."""
    waiting, running = list(todo), []
    try:
        while waiting or running:
            ready = [job for job in waiting if outcomes.keys() >= set(job.after)]
            for job in ready[: jobs - len(running)]:
                waiting.remove(job)
                before = [outcomes[name] for name in job.after]
                running.append(_start(job, before, run_dir, min(jobs, len(todo)), say, start))
            for task in [task for task in running if task.running.ended()]:
                running.remove(task)
                outcomes[task.job.folder] = _finish(task, run_dir, say)
            show_live(f"{task.job.label} {cells(task.folder)} {clock(task.seconds)}" for task in running)
            time.sleep(0.1)
    finally:
        for task in running:
            task.running.kill()


def _start(
    job: Job, before: list[Outcome], run_dir: Path, share: int, say: Callable[[str], None], start: Start
) -> Task:
    """Start a worker in a new working folder."""
    folder = run_dir / f".{job.folder}.{os.getpid()}.partial"
    folder.mkdir()
    without = [outcome.job.label for outcome in before if outcome.status == "failed"]
    say(f"start   {job.label}" + (f"  (without {', '.join(without)}, which failed)" if without else ""))
    content = {**asdict(job), "notebook": str(job.notebook), "commit": current_commit(), "without": without}
    if before:
        runs = [str(outcome.folder) for outcome in before if outcome.status != "failed"]
        content["parameters"] = {**job.parameters, "runs": ",".join(runs)}
    (folder / "params.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Task(job, folder, start(folder, share), time.monotonic())


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
        log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        path.write_text(f"{log}\nworker ended with exit code {code}\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip().splitlines()[-1]
