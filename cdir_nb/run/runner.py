"""Run the notebooks of a plan in parallel; skip finished notebooks, continue after failures, resume interrupted runs.

A notebook that finished with an equal digest in a neighbouring run folder is copied and not run again.

runs/<profile>-<digest>/            named after a digest of the request
  run.json                          which of the folders below are current
  report/index.html                 all numbers and figures (cdir_nb.pages)
  <notebook>-<digest>/              named after a digest of everything that determines the result
    <notebook>.ipynb  <notebook>.html  params.json  *.jsonl (records)  *.png (figures)  log.txt
    done                            written last; a folder without it is ignored
  <notebook>-<digest>.failed/       the same for a failed run, with traceback.txt
"""

import glob
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cdir_nb.errors import CdirError, os_message
from cdir_nb.pages.run_folder import clock
from cdir_nb.paths import atomic_write, cache_dir, make_folder, remove_temporary_files
from cdir_nb.results.records import current_commit
from cdir_nb.run.plan import Job, Plan
from cdir_nb.run.processes import POLL, NotebookFuture, Submit, local_pool, locked, sigterm_as_interrupt
from cdir_nb.run.reuse import adopt, find
from cdir_nb.run.worker import LOG, PROGRESS

VISIBLE_WITHIN = 90.0  # seconds
REPORT_EVERY = 60.0  # seconds between two lines on a running notebook


@dataclass
class Outcome:
    """The result of one notebook. `status` is "done", "kept" (finished in an earlier run) or "failed".

    reason  why it failed, or the run folder from which a kept result was copied
    """

    job: Job
    folder: Path
    status: str
    seconds: float = 0.0
    reason: str = ""


def run_plan(
    plan: Plan,
    run_dir: Path,
    *,
    jobs: int = 1,
    force: bool = False,
    say: Callable[[str], None] = print,
    submit: Submit | None = None,
) -> list[Outcome]:
    """Run all unfinished notebooks, at most `jobs` at once. Raises CdirError if another run uses the folder.

    submit  function that starts a notebook elsewhere (`cluster_pool`); all notebooks that can run are then submitted

    A job that depends on others starts once they have ended, with the records of the successful jobs. On
    KeyboardInterrupt (Ctrl-C or SIGTERM) all child processes are killed; results of finished notebooks remain.
    """
    if "," in str(run_dir) and any(job.after for job in plan.jobs):
        raise CdirError(f"{run_dir}: the path contains a comma, which separates run folders: choose another --out")
    try:
        make_folder(run_dir)
    except OSError as error:
        raise CdirError(f"{os_message(error)}: choose a writable folder with --out") from None
    with locked(run_dir), sigterm_as_interrupt():
        _remove_unfinished(run_dir, say)
        _write_listing(plan, run_dir)
        run = _Run(plan, run_dir, say)
        for job in [] if force else plan.jobs:
            if outcome := _reused(job, run_dir):
                source = outcome.reason and f" from {outcome.reason}"
                say(f"kept    {job.label}  ({clock(outcome.seconds)}{source})")
                run.outcomes[job.folder] = outcome
        slots = len(plan.jobs) if submit else max(1, min(jobs, len(plan.jobs) - len(run.outcomes)))
        with nullcontext(submit) if submit else local_pool(slots) as submit:
            run.execute(submit, slots)
    return [run.outcomes[job.folder] for job in plan.jobs]


def _reused(job: Job, run_dir: Path) -> Outcome | None:
    """The outcome of a finished job with this digest; one of another run folder is copied. None: it must run."""
    match = find(job, run_dir)
    if not match:
        return None
    source = match.folder.parent
    if source != run_dir and not (match := adopt(match, run_dir / job.folder)):
        return None
    return Outcome(job, match.folder, "kept", match.seconds, "" if source == run_dir else source.name)


def _remove_unfinished(run_dir: Path, say: Callable[[str], None]) -> None:
    """Remove what a killed run left behind: working folders, and temporary files here and in the cache."""
    unfinished = list(run_dir.glob(".*.partial"))
    if unfinished:
        say("the last run here was interrupted: resuming where it stopped")
    for folder in unfinished:
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (run_dir, cache_dir()):
        remove_temporary_files(folder)


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


@dataclass
class _Task:
    """A running notebook; `folder` has a temporary name until it ends."""

    job: Job
    folder: Path
    future: NotebookFuture
    started: float
    reported: float


@dataclass
class _Run:
    plan: Plan
    run_dir: Path
    say: Callable[[str], None]
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # {folder of a job: its outcome}

    def execute(self, submit: Submit, slots: int) -> None:
        """Submit each job once those that it comes after have ended, at most `slots` at once; fill `outcomes`."""
        waiting = [job for job in self.plan.jobs if job.folder not in self.outcomes]
        running: list[_Task] = []
        while waiting or running:
            ready = [job for job in waiting if self.outcomes.keys() >= set(job.after)]
            for job in ready[: slots - len(running)]:
                waiting.remove(job)
                try:
                    folder = self._prepare(job)
                    future, now = submit(folder), time.monotonic()
                    running.append(_Task(job, folder, future, now, now))
                except OSError as error:  # the others continue
                    self._end(Outcome(job, self._failed_folder(job), "failed", reason=os_message(error)))
            for task in [task for task in running if task.future.done()]:
                running.remove(task)
                try:
                    outcome = self._collect(task)
                except OSError as error:
                    outcome = Outcome(task.job, self._failed_folder(task.job), "failed", reason=os_message(error))
                self._end(outcome)
            for task in running:
                self._report(task)
            time.sleep(POLL)

    def _prepare(self, job: Job) -> Path:
        """A new working folder; its params.json has everything that a worker needs."""
        folder = self.run_dir / f".{job.folder}.{os.getpid()}.partial"
        make_folder(folder)
        predecessors = [self.outcomes[name] for name in job.after]
        without = [outcome.job.label for outcome in predecessors if outcome.status == "failed"]
        self.say(f"start   {job.label}" + (f"  (without {', '.join(without)}, which failed)" if without else ""))
        parameters = dict(job.parameters)
        if predecessors:
            succeeded = [str(outcome.folder) for outcome in predecessors if outcome.status != "failed"]
            parameters["run_folders"] = ",".join(succeeded)
        content = {
            **asdict(job),
            "notebook": str(job.notebook),
            "parameters": parameters,
            "commit": current_commit(),
            "without": without,
            "skip": self.plan.skip,
        }
        (folder / "params.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return folder

    def _report(self, task: _Task) -> None:
        """Print once a minute a line with the cell and the step of the notebook."""
        now = time.monotonic()
        if now - task.reported >= REPORT_EVERY:
            task.reported = now
            self.say(f"running {task.job.label}  {clock(now - task.started)}{_progress(self.run_dir, task.job)}")

    def _collect(self, task: _Task) -> Outcome:
        """Rename the folder of an ended notebook to its final name, or to `.failed` with the reason."""
        seconds = time.monotonic() - task.started
        try:
            code, name = task.future.result()
            folder = Path(name)
        except Exception as error:  # CdirError of a dask worker, or an error of dask: several workers were lost
            kind = "" if isinstance(error, CdirError) else f"{type(error).__name__}: "
            code, folder = 1, task.folder
            text = f"{kind}{' '.join(str(error).split())}\n"
            (folder / "traceback.txt").write_text(text, encoding="utf-8")
        if folder != task.folder:  # an attempt of a dask worker
            shutil.rmtree(task.folder)
            _wait_for(folder)
        final, failed = self.run_dir / task.job.folder, self._failed_folder(task.job)
        shutil.rmtree(failed, ignore_errors=True)
        if code == 0 and (folder / "done").is_file():
            shutil.rmtree(final, ignore_errors=True)
            os.replace(folder, final)
            return Outcome(task.job, final, "done", seconds)
        reason = _reason(folder, code)
        os.replace(folder, failed)
        return Outcome(task.job, failed, "failed", seconds, reason)

    def _end(self, outcome: Outcome) -> None:
        job = outcome.job
        self.outcomes[job.folder] = outcome
        progress = f"{clock(outcome.seconds)}  ({len(self.outcomes)} of {len(self.plan.jobs)})"
        if outcome.status == "done":
            self.say(f"done    {job.label}  {progress}")
        else:
            self.say(f"FAILED  {job.label}  {progress}  {outcome.reason}\n        see {outcome.folder}")

    def _failed_folder(self, job: Job) -> Path:
        return self.run_dir / f"{job.folder}.failed"


def _progress(run_dir: Path, job: Job) -> str:
    """The latest progress of a job's notebook, from its working folder or that of a dask worker's attempt."""
    files = run_dir.glob(f".{glob.escape(job.folder)}.*partial/{PROGRESS}")
    texts = sorted((file.stat().st_mtime, file.read_text(encoding="utf-8")) for file in files)
    return f"  {texts[-1][1]}" if texts else ""


def _wait_for(folder: Path) -> None:
    """Wait until a folder that another machine wrote is visible on this one: on shared storage, this takes time."""
    end = time.monotonic() + VISIBLE_WITHIN
    while not (folder / "params.json").is_file() and time.monotonic() < end:
        time.sleep(POLL)


def _reason(folder: Path, code: int) -> str:
    """The last line of the traceback; without one, a traceback is written from the log and the exit code."""
    path = folder / "traceback.txt"
    if not path.is_file():
        log = (folder / LOG).read_text(encoding="utf-8", errors="replace")
        path.write_text(f"{log}\nworker ended with exit code {code}\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip().splitlines()[-1]
