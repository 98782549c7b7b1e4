"""How far a run is, in words: cells done, time taken, and the live line on a terminal."""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from cdir_nb.batch.worker import PROGRESS


def show_live(texts: Iterable[str]) -> None:
    """On a terminal, one line that is written over: what is said of each running notebook."""
    if not sys.stderr.isatty():
        return
    line = "  |  ".join(texts)
    sys.stderr.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1] + ("\r" if line else ""))
    sys.stderr.flush()


def cells(folder: Path) -> str:
    """`7/20`: cells done of all, as papermill's bar last wrote it."""
    try:
        text = (folder / PROGRESS).read_text(encoding="utf-8").split()
    except OSError:
        return ""
    return text[-1] if text else ""


def clock(seconds: float) -> str:
    """Seconds as `m:ss`, tenths below ten seconds."""
    return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
