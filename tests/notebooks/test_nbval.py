"""nbval (lax), which `make test` runs over every notebook, sees what it should see and nothing else."""

import os
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output


def nbval(path):
    """pytest --nbval-lax on one notebook, in a process of its own."""
    options = ["--nbval-lax", "--nbval-current-env", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [sys.executable, "-m", "pytest", *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CDIR_HEADLESS": "1"})


@pytest.mark.parametrize("tags, expected", [(["nbval-check-output"], 1), ([], 0)])
def test_nbval_catches_a_changed_golden_value_and_only_that(tmp_path, tags, expected):
    cell = new_code_cell(
        "print(2)",
        metadata={"tags": tags},
        execution_count=1,
        outputs=[new_output("stream", name="stdout", text="3\n")],
    )
    path = tmp_path / "01_book.ipynb"
    nbformat.write(new_notebook(cells=[cell]), path)
    assert nbval(path).returncode == expected


def test_nbval_catches_a_failing_cell(tmp_path):
    path = tmp_path / "01_book.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    assert nbval(path).returncode == 1
