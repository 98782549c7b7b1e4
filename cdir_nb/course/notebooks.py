"""Exercise notebooks of a chapter, for students with empty cells, and for teachers with solutions."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cdir_nb.course.exercise import Chapter, Choice, Exercise, Implement, Open
from cdir_nb.errors import CdirError
from cdir_nb.paths import atomic_write

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
VERBS = {"predict": "Predict", "explain": "Explain", "implement": "Implement", "open": "Open question"}
INTRODUCTION = """\
# {number} · Exercises: {title}
To chapter [{number}](../notebooks/{name}.ipynb). About {minutes} minutes; each cell takes seconds, offline, on the \
drawn world.

Write into the cells marked `# your answer` or `# your code`. `check` says whether an answer is right, and why. Open a \
hint only when you are stuck.
"""


def write_notebook(chapter: Chapter, folder: Path, *, solutions: bool = False) -> Path:
    """Write a chapter's exercises into a folder, atomically: the students' copy, or the teacher's. Returns its path.

    Raises CdirError if there is another file of this name, which may have a student's answers.
    """
    path = folder / f"{chapter.name}{'_solutions' if solutions else ''}.ipynb"
    content = nbformat.writes(notebook(chapter, solutions=solutions)) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != content:
        raise CdirError(f"{path} exists and may have answers: move it away, or choose another --out")
    with atomic_write(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return path


def notebook(chapter: Chapter, *, solutions: bool = False) -> NotebookNode:
    """The exercises of a chapter with empty cells, or with solutions."""
    introduction = INTRODUCTION.format(**vars(chapter), number=chapter.number)
    cells = [new_markdown_cell(introduction), new_code_cell(chapter.setup.strip())]
    for name, exercise in chapter.numbered.items():
        cells += _cells(name, exercise, solutions)
    for position, cell in enumerate(cells):
        cell.id = f"cell-{position}"  # nbformat draws random ones, which would differ from copy to copy
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})


def _cells(name: str, exercise: Exercise, solutions: bool) -> Iterator[NotebookNode]:
    """The cells of an exercise: the question with its hints, cells for the answer, and the check."""
    heading = f"## {name.partition('.')[2]} · {VERBS[exercise.kind]}"
    yield new_markdown_cell("\n\n".join([f"{heading}\n{exercise.question.strip()}", *_statements(exercise)]))
    if exercise.hints:
        yield new_markdown_cell("\n".join(map(_hint, range(1, len(exercise.hints) + 1), exercise.hints)))
    match exercise:
        case Choice():
            yield from _choice(name, exercise, solutions)
        case Implement():
            yield from _implement(name, exercise, solutions)
        case Open():
            yield new_markdown_cell("*Your answer:*")
            yield new_code_cell("# your code")
            if solutions:
                yield new_markdown_cell(f"**A good answer.** {exercise.good.strip()}")


def _statements(exercise: Exercise) -> list[str]:
    """The statements of a choice as a list."""
    if not isinstance(exercise, Choice):
        return []
    return ["\n".join(f"- **{letter}** {statement}" for letter, (statement, _) in exercise.options.items())]


def _hint(number: int, text: str) -> str:
    return f"<details><summary>Hint {number}</summary>\n\n{text.strip()}\n\n</details>\n"


def _choice(name: str, exercise: Choice, solutions: bool) -> Iterator[NotebookNode]:
    if exercise.kind == "explain":
        yield new_markdown_cell("*First explain it in your own words, in one to three sentences, here:*")
    answer = f'answer = "{exercise.answer}"' if solutions else 'answer = ""  # your answer: a letter'
    yield new_code_cell(f'{answer}\ncheck("{name}", answer)')
    if exercise.run:
        yield new_markdown_cell("Now measure it:")
        yield new_code_cell(exercise.run.strip())
    if solutions and exercise.evidence:
        yield new_code_cell(exercise.evidence.strip())
    if solutions:
        yield _replies("The replies to the other answers", exercise.wrong)


def _implement(name: str, exercise: Implement, solutions: bool) -> Iterator[NotebookNode]:
    if exercise.figure:
        yield new_markdown_cell("The target: what a right function does.")
        yield new_code_cell(f'figure("{name}")')
    yield new_code_cell(exercise.source if solutions else exercise.stub)
    yield new_code_cell(f'check("{name}", {exercise.name})')
    used = "\n".join([f'if check("{name}", {exercise.name}).right:', *_indented(exercise, name)])
    if exercise.figure or exercise.use:
        yield new_code_cell(used)
    if solutions:
        wrong = {f"`{function.__name__}`": reply for function, reply in exercise.wrong.items()}
        yield _replies("Wrong answers that `check` explains", wrong)


def _indented(exercise: Implement, name: str) -> Iterator[str]:
    for line in exercise.use.strip().splitlines():
        yield f"    {line}".rstrip()
    if exercise.figure:
        yield f'    display(figure("{name}", {exercise.name}))'


def _replies(heading: str, replies: dict) -> NotebookNode:
    return new_markdown_cell("\n".join([f"**{heading}**", *(f"- {name}: {reply}" for name, reply in replies.items())]))
