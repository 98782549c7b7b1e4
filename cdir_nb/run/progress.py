"""Progress of a run: cells done, time taken, and a status line on the terminal."""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from cdir_nb.run.worker import PROGRESS


def show_live(texts: Iterable[str]) -> None:
    """On a terminal, overwrite one status line with the texts of all running notebooks."""
    if not sys.stderr.isatty():
        return
    line = "  |  ".join(texts)
    sys.stderr.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1] + ("\r" if line else ""))
    sys.stderr.flush()


def cells(folder: Path) -> str:
    """`7/20`: cells done out of all, as last written by papermill's progress bar."""
    try:
        text = (folder / PROGRESS).read_text(encoding="utf-8").split()
    except OSError:
        return ""
    return text[-1] if text else ""
