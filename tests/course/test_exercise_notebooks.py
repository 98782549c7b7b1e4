"""The exercise notebooks: the committed ones are up to date, and both sets run from the first cell to the last."""

import nbformat
import pytest
from typer.testing import CliRunner

from cdir_nb import course
from cdir_nb.cli import app
from cdir_nb.course.notebooks import notebook, write_notebook
from cdir_nb.errors import CdirError
from cdir_nb.paths import ROOT


def run(cells: list[nbformat.NotebookNode], names: dict) -> dict[str, course.Reply]:
    """{exercise: its reply}, after code cells ran in this process with these global names."""
    replies = {}
    for cell in cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "cell", "exec"), names)
            last = cell.source.strip().splitlines()[-1]
            if last.startswith("check("):
                replies[last.split('"')[1]] = eval(last, names)
    return replies


@pytest.mark.parametrize("number", course.NUMBERS)
def test_the_committed_notebook_is_that_of_the_chapter(number):
    chapter = course.chapter(number)
    committed = nbformat.read(ROOT / "exercises" / f"{chapter.name}.ipynb", as_version=4)
    assert committed == notebook(chapter), "run: rm exercises/*.ipynb; cdir handout --out exercises"


@pytest.mark.parametrize("number", course.NUMBERS)
def test_a_chapter_and_its_exercises_link_to_each_other(number):
    name = course.chapter(number).name
    chapter, exercises = (ROOT / folder / f"{name}.ipynb" for folder in ("notebooks", "exercises"))
    assert f"](../exercises/{name}.ipynb)" in chapter.read_text(encoding="utf-8")
    assert f"](../notebooks/{name}.ipynb)" in exercises.read_text(encoding="utf-8")


@pytest.mark.medium
@pytest.mark.parametrize("number", course.NUMBERS)
def test_all_cells_run_with_the_solutions_and_without_an_answer(number):
    names: dict = {"display": lambda figure: None}
    solved = run(notebook(course.chapter(number), solutions=True).cells, names)
    assert list(solved) == [f"{number}.{i}" for i in (1, 2, 3)]
    assert [reply for reply in solved.values() if not reply.right] == []
    empty = run([cell for cell in notebook(course.chapter(number)).cells if "# your" in cell.source], names)
    empty |= run([cell for cell in notebook(course.chapter(number)).cells if "check(" in cell.source], names)
    assert list(empty) == list(solved) and not any(reply.answered for reply in empty.values())


def test_students_copies_have_no_solution_and_the_teachers_have_all(tmp_path):
    for words in ([], ["--solutions"]):
        done = CliRunner().invoke(app, ["handout", "02", "04", "--out", str(tmp_path), *words])
        assert done.exit_code == 0 and done.output.count("written") == 2
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) == 4 and "04_domain_mapping_solutions.ipynb" in names
    student, teacher = (
        "\n".join(cell.source for cell in nbformat.read(tmp_path / f"04_domain_mapping{end}.ipynb", 4).cells)
        for end in ("", "_solutions")
    )
    exercise = course.find_exercise("04.3")
    for secret in ("return u @ vt", 'answer = "b"', *exercise.wrong.values()):
        assert secret not in student and secret in teacher


def test_a_notebook_with_answers_is_not_overwritten(tmp_path):
    path = write_notebook(course.chapter("00"), tmp_path)
    assert write_notebook(course.chapter("00"), tmp_path) == path  # the same text again
    path.write_text(path.read_text(encoding="utf-8").replace("# your code", "# mine"), encoding="utf-8")
    with pytest.raises(CdirError, match="00_tour"):
        write_notebook(course.chapter("00"), tmp_path)
    assert "# mine" in path.read_text(encoding="utf-8")


def test_a_chapter_without_exercises_is_named():
    done = CliRunner().invoke(app, ["handout", "13"])
    assert done.exit_code == 2 and "'13'" in done.output
