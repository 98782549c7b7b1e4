"""Copies of a notebook for a class: exercises with empty cells, or with their solutions as code."""

from pathlib import Path

import nbformat.v4
from nbformat import NotebookNode

from cdir_nb.errors import CdirError
from cdir_nb.notebook import EXERCISES, exercise_section, exercises, explanations, read_notebook, solutions
from cdir_nb.paths import atomic_write

ANSWER = "# your answer"


def write_handout(notebook: Path, out: Path, *, with_solutions: bool = False) -> Path:
    """Write the copy for students to `out`, atomically; with `with_solutions`, the teacher's. Returns `out`.

    Raises CdirError if the notebook has no exercises, or if `out` is the notebook itself.
    """
    if out.resolve() == notebook.resolve():
        raise CdirError(f"{out} is the notebook itself: choose another --out")
    book = handout(read_notebook(notebook), with_solutions=with_solutions)
    if book is None:
        raise CdirError(f"{notebook.name} has no section `{EXERCISES}` with a numbered list: choose another notebook")
    with atomic_write(out) as temporary:
        nbformat.write(book, temporary)
    return out


def handout(book: NotebookNode, *, with_solutions: bool = False) -> NotebookNode | None:
    """The notebook without outputs, each exercise followed by a cell for its answer; None without exercises."""
    cells, count = [], 0
    for cell in book.cells:
        section = exercise_section(cell.source) if cell.cell_type == "markdown" else ""
        if section and exercises(section):
            parts = _exercise_cells(cell.source, section, with_solutions)
            cells, count = [*cells, *parts], count + len(parts)
        else:
            cells.append(_without_outputs(cell))
    new = nbformat.v4.new_notebook(cells=cells, metadata=book.metadata)
    return new if count else None


def _exercise_cells(source: str, section: str, with_solutions: bool) -> list[NotebookNode]:
    """Split the cell with the exercises: its beginning, each exercise with its answer, and the text after them."""
    before, after = source.split(section, 1)
    cells = [nbformat.v4.new_markdown_cell((before + section.partition("1. ")[0]).rstrip())]
    texts = exercises(section)
    answers = zip(explanations(section), solutions(section)) if with_solutions else [("", ANSWER)] * len(texts)
    for number, (text, (explanation, code)) in enumerate(zip(texts, answers), start=1):
        cells += [nbformat.v4.new_markdown_cell(f"**Exercise {number}.** {text}"), nbformat.v4.new_code_cell(code)]
        cells += [nbformat.v4.new_markdown_cell(explanation)] if explanation else []
    return [*cells, *([nbformat.v4.new_markdown_cell(after.strip())] if after.strip() else [])]


def _without_outputs(cell: NotebookNode) -> NotebookNode:
    return cell if cell.cell_type != "code" else NotebookNode({**cell, "outputs": [], "execution_count": None})
