"""Run the solutions of the notebooks' exercises, after the notebook's own code and in the same kernel.

    python scripts/exercises.py                   all notebooks; prints what each solution prints
    python scripts/exercises.py 00 10             those whose file names begin with 00 or 10
    python scripts/exercises.py --into FOLDER     run nothing; write copies with the solutions as further cells

A solution is the code in `<pre><code>` inside the folded block of exercises. Notebooks are not changed. `make test`
checks the copies, so that each solution runs after its notebook and no notebook runs twice.
"""

import argparse
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


def copied(path: Path, folder: Path) -> Path:
    """A copy of the notebook with its solutions, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(solved(nbformat.read(path, as_version=4)), folder / path.name)
    return folder / path.name


def run(path: Path, folder: Path) -> None:
    """Execute a notebook with its solutions, from a copy in `folder`; prints what the solutions print."""
    first = len(nbformat.read(path, as_version=4).cells)
    done = notebooks.run(copied(path, folder)).cells[first:]
    for number, cell in enumerate(done, start=1):
        printed = "".join(output.get("text", "") for output in cell.outputs)
        print(f"{path.stem}, solution {number}:\n{printed}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 01 (default: all)")
    parser.add_argument("--into", type=Path, help="write copies here instead of running them")
    options, failed = parser.parse_args(arguments), []
    for path in notebooks.find(options.names):
        if options.into:
            copied(path, options.into)
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                run(path, Path(folder))
            except CellExecutionError as error:
                failed.append(f"{path.name}: {error}")
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
