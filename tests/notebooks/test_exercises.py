"""Solutions of exercises run after the notebook's own code; `make test` checks copies of all notebooks with them."""

import subprocess
import sys

import nbformat
import pytest
from scripts_by_path import load_script

from cdir_nb.paths import NOTEBOOKS, ROOT


@pytest.fixture
def exercises(lint):
    """scripts/exercises.py as a module."""
    return load_script("exercises")


def test_solutions_follow_the_notebook_as_cells_of_their_own(book, exercises):
    made = exercises.solved(book)
    assert [cell.source for cell in made.cells[7:]] == ["print(1 < 2)", "half = 3 / 2\nprint(half)"]
    assert len(book.cells) == 7, "the notebook itself is not changed"


def test_what_solutions_print_is_shown_and_the_notebook_stays(book, exercises, written, tmp_path, capsys):
    book.cells[5].source = "three = 3"
    book.cells[6].source = book.cells[6].source.replace("half = 3 / 2", "half = three / 2")
    path = written(book)
    before = path.read_bytes()
    (tmp_path / "copies").mkdir()
    exercises.run(path, tmp_path / "copies")
    assert "solution 1:\nTrue" in capsys.readouterr().out.replace("\n\n", "\n") and path.read_bytes() == before


def test_a_solution_that_fails_is_an_error(book, exercises, written, tmp_path):
    book.cells[5].source = "pass"
    book.cells[6].source = book.cells[6].source.replace("3 / 2", "3 / 0")
    (tmp_path / "copies").mkdir()
    with pytest.raises(exercises.CellExecutionError, match="ZeroDivisionError"):
        exercises.run(written(book), tmp_path / "copies")


def test_copies_for_checking_hold_every_solution_of_every_notebook(exercises, tmp_path):
    assert exercises.main(["--into", str(tmp_path / "copies")]) == 0
    originals = sorted(NOTEBOOKS.glob("*.ipynb"))
    assert [path.name for path in sorted((tmp_path / "copies").iterdir())] == [path.name for path in originals]
    for path in originals:
        book, copy = (nbformat.read(where, as_version=4) for where in (path, tmp_path / "copies" / path.name))
        assert copy.cells[: len(book.cells)] == book.cells
        least = 2 if path.name[0].isdigit() else 0  # the experiment is no chapter
        assert len(copy.cells) >= len(book.cells) + least, f"{path.name} has at least two solutions"


def test_a_wrong_solution_fails_where_notebooks_are_checked(book, exercises, written, tmp_path):
    book.cells[5].source, book.cells[6].source = "pass", book.cells[6].source.replace("3 / 2", "3 / 0")
    copy = exercises.copied(written(book), tmp_path / "copies")
    options = ["--nbval-lax", "--nbval-current-env", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    checked = subprocess.run([sys.executable, "-m", "pytest", *options, copy], capture_output=True, text=True)
    assert checked.returncode == 1 and "ZeroDivisionError" in checked.stdout and "1 failed" in checked.stdout
