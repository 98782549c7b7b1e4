"""Processes of a run: the lock on its folder, signals, and one worker process per notebook."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import filelock
import psutil

from cdir_nb.errors import CdirError
from cdir_nb.paths import ROOT
from cdir_nb.run.worker import LOG

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
POLL = 0.1  # seconds between two looks at a process


class NotebookFuture(Protocol):
    """A submitted notebook: a future of `concurrent.futures` or of dask."""

    def done(self) -> bool:
        """Whether the worker has ended."""
        ...

    def result(self) -> tuple[int, str]:
        """Exit code of the worker, and the folder with its output."""
        ...


Submit = Callable[[Path], NotebookFuture]  # the argument is a folder with params.json


@contextmanager
def local_pool(jobs: int) -> Iterator[Submit]:
    """Run at most `jobs` notebooks at once on this machine. Leaving the context kills the notebooks that still run."""
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield lambda folder: pool.submit(run_worker, folder, jobs, stop.is_set)
        finally:
            stop.set()


def run_worker(folder: Path, notebooks: int, cancelled: Callable[[], bool]) -> tuple[int, str]:
    """Run the notebook of `folder` in a separate process. Returns the exit code and `folder`.

    notebooks  number of notebooks that share the CPU cores of this machine
    cancelled  is called several times a second; once it returns True, the process and its children are killed
    """
    with open(folder / LOG, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cdir_nb.run.worker", str(folder)],
            stdin=subprocess.PIPE,  # closes when this process ends, even if it is killed: the worker then exits
            stdout=log,
            stderr=log,
            env=environment(notebooks),
            start_new_session=True,
        )
    with process:
        while process.poll() is None:
            if cancelled():
                kill_tree(process)
            time.sleep(POLL)
    return process.returncode, str(folder)


def environment(notebooks: int) -> dict[str, str]:
    """Environment variables of a worker: import path, no widgets, a fixed hash seed, number of threads.

    The CPU cores are divided among the notebooks; a lower number of threads set by the user is respected.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, cores // notebooks)
    limits = [int(value) if (value := os.environ.get(name, "")).isdigit() else threads for name in THREADS]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        **{name: str(min(threads, limit)) for name, limit in zip(THREADS, limits)},
        "PYTHONPATH": path,
        "CDIR_HEADLESS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }


def kill_tree(process: subprocess.Popen) -> None:
    """Kill a worker, its kernel (which runs in a separate session) and all their child processes."""
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
    psutil.wait_procs(family, timeout=3)


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Lock the run folder. The system releases the lock when the process ends for any reason, so a lock is never stale.

    Raises CdirError if another process has the lock, or another user the folder.
    """
    lock = filelock.FileLock(run_dir / ".lock", mode=0o664)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise CdirError(f"{run_dir} is in use by another `cdir reproduce`: wait for it or stop it") from None
    except PermissionError:
        raise CdirError(
            f"{run_dir} belongs to another user: share it with a common group and umask 002, or choose another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
