"""Progress of long computations: a bar in a terminal or notebook, and a line per minute anywhere else."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

EVERY = 60.0  # seconds from line to line
LINE = "{desc}: {n_fmt} of {total_fmt}{unit}, {remaining} left"


class _Lines:
    """A file for tqdm that writes to stderr, one line per update, without control characters."""

    def write(self, text: str) -> None:
        if (line := text.strip()) and sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Do nothing, since `write` flushes each line; tqdm requires the method."""


def progress_bar(rows: Iterable | None = None, **options: Any) -> tqdm:
    """tqdm's progress bar; without a terminal or notebook to show it, one line per minute."""
    is_notebook = type(sys.stderr).__module__.startswith("ipykernel")
    if is_notebook or (sys.stderr is not None and sys.stderr.isatty()):
        return tqdm(rows, **options)
    options["unit"] = f" {options.get('unit', 'it').strip()}"
    lines = {"delay": EVERY, "mininterval": EVERY, "maxinterval": EVERY, "bar_format": LINE}
    return tqdm(rows, **{**options, **lines, "file": _Lines()})
