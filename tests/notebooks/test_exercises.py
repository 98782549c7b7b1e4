"""Solutions of exercises run after the notebook's own code; `make exercises` runs those of all notebooks."""

import importlib.util
import sys

import nbformat
import pytest

from cdir_nb.paths import NOTEBOOKS, ROOT


@pytest.fixture
def exercises(lint):
    """scripts/exercises.py as a module."""
    spec = importlib.util.spec_from_file_location("exercises", ROOT / "scripts" / "exercises.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["exercises"] = module
    spec.loader.exec_module(module)
    return module


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


@pytest.mark.parametrize("name", ["00_tour"])
def test_solutions_of_a_quick_notebook_run(name, exercises, tmp_path):
    path = NOTEBOOKS / f"{name}.ipynb"
    exercises.run(path, tmp_path)
    assert len(exercises.solutions(nbformat.read(path, as_version=4))) >= 2
