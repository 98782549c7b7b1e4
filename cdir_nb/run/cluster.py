"""Notebooks on a dask cluster: the same jobs, folders, locks and digests, with workers that may be other machines.

The run folder, the data and the checkpoints must have the same paths on all machines (shared storage). Each attempt at
a notebook writes into a folder of its own, and the runner renames the folder of the attempt that ended: so a worker
that was thought lost, and still writes, disturbs nobody. dask sends the notebook of a lost worker to another one.
"""

import functools
import logging
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cdir_nb.errors import CdirError, require_extra
from cdir_nb.run.digests import package_digest
from cdir_nb.run.places import Start, start_here

if TYPE_CHECKING:
    from distributed import Client, Future

ALIVE = "alive"  # a file that the runner touches as long as it wants the notebook
TOUCH_EVERY, GIVE_UP_AFTER = 5.0, 300.0  # seconds; shared storage may show changes a minute late
VISIBLE_WITHIN = 90.0
CONNECT_WITHIN = 30


@contextmanager
def place_to_run(scheduler: str | None, local_cluster: int | None) -> Iterator[Start | None]:
    """What starts a notebook on the cluster at `scheduler` or on a new one of this machine; None: no cluster is wanted.

    Raises CdirError: both are given, dask is not installed, nobody answers, a worker has other code than we have.
    """
    if scheduler and local_cluster:
        raise CdirError("--scheduler and --local-cluster exclude each other: give one of them")
    if not (scheduler or local_cluster):
        yield None
        return
    with _client(scheduler, local_cluster) as client:
        digest = refuse_other_code(client)
        yield lambda folder, _share: _send(client, folder, digest)


@contextmanager
def _client(scheduler: str | None, local_cluster: int | None) -> "Iterator[Client]":
    require_extra("cluster", "distributed")
    from distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout=CONNECT_WITHIN)
        except (OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CdirError(f"--scheduler {scheduler}: no dask scheduler answers ({reason})") from None
        with client:
            yield client
        return
    quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with (
        LocalCluster(n_workers=local_cluster, threads_per_worker=1, processes=True, **quiet) as cluster,
        Client(cluster) as client,
    ):
        yield client


def refuse_other_code(client: "Client") -> str:
    """Our `package_digest`. Workers that join later are checked when they get their first notebook."""
    digest = package_digest()
    for worker, found in client.run(_own_digest).items():
        if found != digest:
            raise CdirError(f"worker {worker} has another version of the workbook or its libraries: install ours there")
    return digest


@functools.cache
def _own_digest() -> str:
    return package_digest()


def _send(client: "Client", folder: Path, digest: str) -> "ClusterTask":
    """Submit one notebook; a host's cores are shared by its workers."""
    (folder / ALIVE).touch()
    hosts = Counter(worker["host"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    key = f"{folder.name.strip('.')}-{uuid.uuid4().hex[:6]}"
    return ClusterTask(folder, client.submit(run_attempt, str(folder), digest, dict(hosts), key=key, pure=False))


@dataclass
class ClusterTask:
    """A notebook that dask takes care of; `folder` has its params.json and shows that we still want it."""

    folder: Path
    future: "Future"
    touched: float = field(default_factory=time.monotonic)

    def ended(self) -> bool:
        if time.monotonic() - self.touched > TOUCH_EVERY:
            (self.folder / ALIVE).touch()
            self.touched = time.monotonic()
        return self.future.done()

    def result(self) -> tuple[int, Path]:
        """The attempt that ended takes the place of `folder`; if all were lost, it says why in traceback.txt."""
        try:
            code, attempt = self.future.result()
        except Exception as error:  # CdirError of a worker, or dask's own: several workers were lost on this notebook
            name = "" if isinstance(error, CdirError) else f"{type(error).__name__}: "
            text = f"{name}{' '.join(str(error).split())}\n"
            (self.folder / "traceback.txt").write_text(text, encoding="utf-8")
            (self.folder / ALIVE).unlink()
            return 1, self.folder
        shutil.rmtree(self.folder)
        _wait_for(Path(attempt))
        return code, Path(attempt)

    def kill(self) -> None:
        """Without its folder, an attempt knows that nobody wants it."""
        self.future.cancel()
        shutil.rmtree(self.folder, ignore_errors=True)


def _wait_for(folder: Path) -> None:
    """Shared storage may show a folder of another machine late."""
    end = time.monotonic() + VISIBLE_WITHIN
    while not (folder / "params.json").is_file() and time.monotonic() < end:
        time.sleep(0.2)


def run_attempt(folder: str, digest: str, hosts: dict[str, int]) -> tuple[int, str]:
    """On a worker: run the notebook of `folder` in a new folder beside it; returns exit code and that folder."""
    if _own_digest() != digest:
        raise CdirError("this worker has another version of the workbook or its libraries: install ours there")
    wanted = Path(folder)
    if not (wanted / "params.json").is_file():
        raise CdirError(f"{wanted} is not on this worker's machine: the run folder must be on shared storage")
    attempt = wanted.with_name(f"{wanted.name.removesuffix('.partial')}.{uuid.uuid4().hex[:6]}.partial")
    attempt.mkdir()
    shutil.copy(wanted / "params.json", attempt)
    running = start_here(attempt, hosts.get(_host(), 1))
    try:
        while not running.ended():
            if not _still_wanted(wanted / ALIVE):
                return 1, str(attempt)
            time.sleep(0.2)
    finally:
        if not running.ended():
            running.kill()
            shutil.rmtree(attempt, ignore_errors=True)
    return running.result()[0], str(attempt)


def _host() -> str:
    from distributed import get_worker

    return get_worker().address.rpartition("://")[2].rpartition(":")[0]


_seen: dict[Path, tuple[int, float]] = {}  # when a file last changed, by its own time stamp and by our clock


def _still_wanted(alive: Path) -> bool:
    """Whether the runner still touches the file. Only changes count, since clocks of machines differ."""
    try:
        stamp = os.stat(alive).st_mtime_ns
    except OSError:
        return False
    if _seen.get(alive, (None, 0))[0] != stamp:
        _seen[alive] = (stamp, time.monotonic())
    return time.monotonic() - _seen[alive][1] < GIVE_UP_AFTER
