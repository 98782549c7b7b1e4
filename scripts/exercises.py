"""Run the solutions of the notebooks' exercises, after the notebook's own code and in the same kernel.

    python scripts/exercises.py          all notebooks
    python scripts/exercises.py 00 10    those whose file names begin with 00 or 10

A solution is the code in `<pre><code>` inside the folded block of exercises. Notebooks are not changed.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

sys.path.insert(0, str(Path(__file__).resolve().parent))
from notebook_lint import solutions

import notebooks


def solved(book: NotebookNode) -> NotebookNode:
    """The notebook with one more cell for each solution."""
    cells = [nbformat.v4.new_code_cell(code) for code in solutions(book) if code]
    return nbformat.from_dict({**book, "cells": [*book.cells, *cells]})


def run(path: Path, folder: Path) -> None:
    """Execute a notebook with its solutions, from a copy in `folder`; prints what the solutions print."""
    book = nbformat.read(path, as_version=4)
    copy = folder / path.name
    nbformat.write(solved(book), copy)
    done = notebooks.run(copy).cells[len(book.cells) :]
    for number, cell in enumerate(done, start=1):
        printed = "".join(output.get("text", "") for output in cell.outputs)
        print(f"{path.stem}, solution {number}:\n{printed}", flush=True)


def main(names: Sequence[str]) -> int:
    """Entry point; returns the exit code."""
    failed = []
    for path in notebooks.find(names):
        with tempfile.TemporaryDirectory() as folder:
            try:
                run(path, Path(folder))
            except CellExecutionError as error:
                failed.append(f"{path.name}: {error}")
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
