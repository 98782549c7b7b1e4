"""Run notebooks on a dask cluster, with the same jobs, folders, lock and digests as on one machine.

The run folder, the data and the checkpoints must have the same paths on all machines (shared storage). If a worker is
lost, dask sends its notebook to another one. Each attempt writes into a separate folder, and the runner renames the
folder of the attempt that ended, so a worker that was wrongly considered lost does no harm.
"""

import functools
import logging
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cdir_nb.errors import CdirError, require_extra
from cdir_nb.paths import make_folder
from cdir_nb.run.digests import package_digest
from cdir_nb.run.processes import Submit, run_worker

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_WITHIN = 30  # seconds
OTHER_CODE = "has another version of the workbook or of its libraries: install on it the version that started the run"


@contextmanager
def cluster_pool(scheduler: str | None, local_cluster: int | None) -> Iterator[Submit | None]:
    """Run notebooks on the cluster at `scheduler`, or on a new one with `local_cluster` workers on this machine.

    Yields None if neither is given. Leaving the context stops the notebooks that still run.
    Raises CdirError if both are given, dask is not installed, no scheduler responds, or a worker has different code.
    """
    if scheduler and local_cluster:
        raise CdirError("--scheduler and --local-cluster exclude each other: give one of them")
    if not (scheduler or local_cluster):
        yield None
        return
    futures: list[Future] = []
    with _client(scheduler, local_cluster) as client:
        digest = refuse_other_code(client)

        def submit(folder: Path) -> "Future":
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
            hosts = dict(Counter(worker["host"] for worker in workers))
            key = f"{folder.name.strip('.')}-{uuid.uuid4().hex[:6]}"
            futures.append(client.submit(run_attempt, str(folder), digest, hosts, key=key, pure=False))
            return futures[-1]

        try:
            yield submit
        finally:
            client.cancel([future for future in futures if not future.done()])


@contextmanager
def _client(scheduler: str | None, local_cluster: int | None) -> "Iterator[Client]":
    require_extra("cluster", "distributed")
    from distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout=CONNECT_WITHIN)
        except (OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CdirError(
                f"--scheduler {scheduler}: no dask scheduler answers ({reason}): check the address"
            ) from None
        with client:
            yield client
        return
    options = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with (
        LocalCluster(n_workers=local_cluster, threads_per_worker=1, processes=True, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


def refuse_other_code(client: "Client") -> str:
    """Return `package_digest` of this process. Raises CdirError if a worker has another digest.

    Workers that join later are checked when they receive their first notebook.
    """
    digest = package_digest()
    for worker, other in cast(dict[str, str], client.run(_worker_digest)).items():
        if other != digest:
            raise CdirError(f"worker {worker} {OTHER_CODE}")
    return digest


@functools.cache
def _worker_digest() -> str:
    return package_digest()


def run_attempt(folder: str, digest: str, hosts: dict[str, int]) -> tuple[int, str]:
    """Run the notebook of `folder` on a dask worker, in a new folder beside it. Returns exit code and new folder.

    hosts  {address of a machine: number of workers on it}
    """
    if _worker_digest() != digest:
        raise CdirError(f"this worker {OTHER_CODE}")
    source = Path(folder)
    if not (source / "params.json").is_file():
        raise CdirError(f"{source} is not on this worker's machine: the run folder must be on shared storage")
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def cancelled() -> bool:
        """Whether the runner has ended or cancelled the task: dask then releases the task, although it still runs."""
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    attempt = source.with_name(f"{source.name.removesuffix('.partial')}.{uuid.uuid4().hex[:6]}.partial")
    make_folder(attempt)
    shutil.copy(source / "params.json", attempt)
    result = run_worker(attempt, hosts.get(worker.ip, 1), cancelled)
    if cancelled():
        shutil.rmtree(attempt, ignore_errors=True)
    return result
