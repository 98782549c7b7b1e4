"""Where notebooks run: in processes of this machine, or on the workers of a dask cluster (`run/cluster.py`)."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cdir_nb.run.processes import environment, kill_tree
from cdir_nb.run.worker import LOG


class Running(Protocol):
    """A notebook that was started in a working folder with params.json."""

    def ended(self) -> bool:
        """Whether it has ended; asked about ten times a second."""

    def result(self) -> tuple[int, Path]:
        """After it has ended: exit code of the worker, and the folder with what it wrote."""

    def kill(self) -> None:
        """Stop it, with all processes that it started."""


Start = Callable[[Path, int], Running]  # working folder, number of notebooks that share the cores


@dataclass
class LocalProcess:
    """A worker process of this machine."""

    folder: Path
    process: subprocess.Popen

    def ended(self) -> bool:
        return self.process.poll() is not None

    def result(self) -> tuple[int, Path]:
        self.process.stdin.close()
        return self.process.returncode, self.folder

    def kill(self) -> None:
        kill_tree(self.process)


def start_here(folder: Path, share: int) -> LocalProcess:
    """Start a worker process. It exits when we close its stdin, which happens even if we are killed."""
    with open(folder / LOG, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cdir_nb.run.worker", str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment(share),
            start_new_session=True,
        )
    return LocalProcess(folder, process)
