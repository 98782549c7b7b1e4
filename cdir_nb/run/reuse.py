"""Finished jobs in this run folder and its neighbours: which are reused, why other jobs run, and how long they take."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cdir_nb.pages.run_folder import clock
from cdir_nb.run.plan import Job, Plan
from cdir_nb.sources import file_digest

CHANGES = {
    "notebook": "its cells changed",
    "code": "code that it imports, a data file or a library changed",
    "data": "the images changed",
    "encoder": "another encoder",
    "parameters": "other parameters",
    "after": "a notebook before it changed",
}
# What any damage of a folder's files raises.
DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Finished:
    """A finished job. `digest_inputs`: what determined its result, as in `Job`."""

    folder: Path
    seconds: float
    ended: str
    digest_inputs: dict[str, str]


def finished(folder: Path) -> Finished | None:
    """The finished job in a folder; None if it is incomplete, damaged, or ran without a job that failed before it."""
    try:
        marker = json.loads((folder / "done").read_text(encoding="utf-8"))
        if marker["without"] or any(file_digest(folder / name) != digest for name, digest in marker["files"].items()):
            return None
        return _finished(folder, marker)
    except DAMAGE:
        return None


def _finished(folder: Path, marker: dict[str, Any]) -> Finished:
    job = json.loads((folder / "params.json").read_text(encoding="utf-8"))
    return Finished(folder, float(marker["seconds"]), str(marker["finished"]), dict(job.get("digest_inputs", {})))


def find(job: Job, run_dir: Path) -> Finished | None:
    """The finished job with the same digest, in the run folder or else in a neighbouring one."""
    beside = sorted(run_dir.parent.glob(f"*/{job.folder}/done"))
    folders = [run_dir / job.folder, *(path.parent for path in beside)]
    return next(filter(None, map(finished, folders)), None)


def adopt(match: Finished, folder: Path) -> Finished | None:
    """Copy a finished job to `folder`, atomically; None if it changed meanwhile, so that the job must run."""
    copy = folder.with_name(f".{folder.name}.copy.partial")
    try:
        shutil.copytree(match.folder, copy)
        checked = finished(copy)
        if checked is None:
            return None
        shutil.rmtree(folder, ignore_errors=True)
        copy.replace(folder)
        return replace(checked, folder=folder)
    except OSError:
        return None
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def preview(plan: Plan, run_dir: Path, *, jobs: int = 1, force: bool = False) -> list[str]:
    """Lines that state for each job whether it would run or be reused, and why; then the estimated time.

    The time of a job is that of the last finished one of the same notebook, if possible with the same parameters.
    """
    lines, total, unknown, running = [], 0.0, 0, 0
    for job in plan.jobs:
        earlier = sorted(_earlier(job, run_dir), key=lambda done: done.ended)
        if not force and (match := find(job, run_dir)):
            where = "this run folder" if match.folder.parent == run_dir else match.folder.parent.name
            lines.append(f"reuse   {job.label}  (finished in {where} with the same code, images and parameters)")
            continue
        running += 1
        seconds = _seconds(job, earlier)
        total, unknown = total + (seconds or 0.0), unknown + (seconds is None)
        time = f", about {clock(seconds)}" if seconds is not None else ""
        lines.append(f"run     {job.label}  ({_reason(job, earlier, force)}{time})")
    return [*lines, _summary(plan, running, total, unknown, jobs)]


def _summary(plan: Plan, running: int, total: float, unknown: int, jobs: int) -> str:
    text = f"{running} of {len(plan.jobs)} would run"
    if running > unknown:
        text += f"; about {clock(total / max(1, min(jobs, running)))}, from earlier runs"
    if unknown:
        cost = plan.profile.cost and f"; the whole profile: {plan.profile.cost}"
        text += f"; {unknown} never ran here, so the time is not known{cost}"
    return text


def _reason(job: Job, earlier: list[Finished], force: bool) -> str:
    """Why a job runs: how it differs from the most similar finished job of its notebook (of several, the last)."""
    if force:
        return "--force"
    if not earlier:
        return "never finished here"
    nearest = min(reversed(earlier), key=lambda done: len(_changed(job, done)))
    return "; ".join(CHANGES[name] for name in _changed(job, nearest)) or "its files are damaged or incomplete"


def _changed(job: Job, done: Finished) -> list[str]:
    return [name for name in CHANGES if job.digest_inputs.get(name) != done.digest_inputs.get(name)]


def _seconds(job: Job, earlier: list[Finished]) -> float | None:
    same = [done for done in earlier if done.digest_inputs.get("parameters") == job.digest_inputs["parameters"]]
    return (same or earlier)[-1].seconds if earlier else None


def _earlier(job: Job, run_dir: Path) -> Iterator[Finished]:
    """All finished jobs of the notebook, in this and in neighbouring run folders, without a check of their files."""
    for path in run_dir.parent.glob(f"*/{job.name}-*/done"):
        try:
            yield _finished(path.parent, json.loads(path.read_text(encoding="utf-8")))
        except DAMAGE:
            continue
