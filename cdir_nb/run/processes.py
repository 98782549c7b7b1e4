"""Processes of a run: the lock on its folder, signals, stopping all children, sharing the CPU cores."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import psutil

from cdir_nb.errors import CdirError
from cdir_nb.paths import ROOT

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@contextmanager
def locked(run_dir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Lock the run folder. The system releases the lock however its holder dies, so it is never stale: a leftover
    .owner file only means that the last run was interrupted."""
    lock, note = filelock.FileLock(run_dir / ".lock"), run_dir / ".owner"
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        owner = note.read_text(encoding="utf-8").strip() if note.is_file() else "another process"
        raise CdirError(f"{run_dir} is in use by another `cdir reproduce` ({owner}): wait for it or stop it") from None
    try:
        if note.is_file():
            say("the last run here was interrupted: resuming where it stopped")
        note.write_text(f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}\n", encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Make SIGTERM end the run as Ctrl-C does."""

    def interrupt(_number, _frame) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def environment(share: int) -> dict[str, str]:
    """A worker's environment variables: this package, no widgets, a fixed hash seed, and its share of the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, cores // share)
    limits = {
        name: str(min(threads, int(own) if (own := os.environ.get(name, "")).isdigit() else threads))
        for name in THREADS
    }
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        **limits,
        "PYTHONPATH": path,
        "CDIR_HEADLESS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }


def kill_tree(process: subprocess.Popen) -> None:
    """Kill a worker, its kernel and all processes they started (the kernel has its own session)."""
    try:
        parent = psutil.Process(process.pid)
        family = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            pass
    process.wait()
    psutil.wait_procs(family, timeout=3)  # so that none is left when we report that all has stopped
