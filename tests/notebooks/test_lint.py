"""Every committed notebook is in order; and each rule of the lint catches a notebook that breaks it."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from cdir_nb.paths import NOTEBOOKS

COMMITTED = sorted(NOTEBOOKS.glob("*.ipynb"))


def test_there_are_notebooks():
    assert {"00_tour.ipynb", "01_clip_zero_shot.ipynb", "05_retrieval_grids.ipynb"} <= {p.name for p in COMMITTED}


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_notebook_is_in_order(path, lint):
    assert lint.problems(path) == []


def test_a_good_notebook_has_no_problems(book, lint, written):
    assert lint.problems(written(book)) == []


def replace_parameter(old, new):
    def change(book):
        book.cells[1].source = book.cells[1].source.replace(old, new)

    return change


def say(cell, text):
    def change(book):
        book.cells[cell].source = text

    return change


def edit(cell, old, new):
    def change(book):
        assert old in book.cells[cell].source
        book.cells[cell].source = book.cells[cell].source.replace(old, new)

    return change


def add_output(data):
    return lambda book: book.cells[5].outputs.append(new_output("display_data", data))


BROKEN = {
    "kernel is 'julia'": lambda b: b.metadata.kernelspec.update(name="julia"),
    "the first cell must be text that begins with a title": say(0, "no title"),
    "more than one title": say(2, "# Another"),
    "must be tagged 'parameters'": lambda b: b.cells[1].metadata.update(tags=[]),
    "exactly one code cell, the first": lambda b: b.cells[3].metadata.update(tags=["parameters"]),
    "line 5 is not `name: type = literal`": replace_parameter("seed: int = 0", "seed = 0"),
    "line 2 is not `name: type = literal`": replace_parameter('data_root: str = ""', 'data_root: str = str("")'),
    "seed has no trailing comment": replace_parameter("  # for what is drawn at random", ""),
    "`encoder: str` is missing": replace_parameter("encoder:", "model:"),
    "`seed: int` is missing": replace_parameter("seed: int = 0", 'seed: str = "0"'),
    "3 text cells for 4 code cells": lambda b: (
        b.cells.insert(4, new_code_cell("x", execution_count=2)) or b.cells.pop(2)
    ),
    "no text between two code cells, at `draw()`": lambda b: b.cells.append(b.cells.pop(4)),
    "a line of 120 characters": say(5, "x" * 120),
    "a figure that is not shown, at `fig = 1`": say(3, "fig = 1\nsave_figure(fig, out_dir, 'x');"),
    "a figure that is not shown, at `explore(look)`": say(3, "explore(look)"),
    "a blank line inside <details>": say(
        6, "## What we saw\n## Exercises\n<details><summary>S</summary>\n\n1. x\n</details>\n## References"
    ),
    "not executed in order": lambda b: b.cells[5].update(execution_count=9),
    "a golden cell without output": lambda b: b.cells[3].update(outputs=[]),
    "an error among the outputs": lambda b: b.cells[5].outputs.append(
        new_output("error", ename="E", evalue="", traceback=[])
    ),
    "no golden cell": lambda b: b.cells[3].metadata.update(tags=[]),
    "no figure among the outputs": lambda b: b.cells[5].update(outputs=[]),
    "widget state in the notebook's metadata": lambda b: b.metadata.update(widgets={"state": {}}),
    "a widget among the outputs": add_output({"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}),
    "metadata that differs from run to run: execution": lambda b: b.cells[3].metadata.update(
        execution={"iopub.status": "x"}
    ),
    "metadata that differs from run to run: papermill": lambda b: b.metadata.update(papermill={"duration": 1.0}),
    "(stderr) among the outputs": lambda b: b.cells[5].outputs.append(new_output("stream", name="stderr", text="10 %")),
    "an absolute path (/home/a": say(5, "open('/home/ada/x.png')"),
    "an absolute path (/home/a": add_output({"text/plain": "File /home/ann/x.py"}),
    "an absolute path (C:": say(2, r"See C:\Users\ada."),
    "an absolute path (/Users/a": lambda b: b.cells[3].outputs.append(
        new_output("stream", name="stdout", text="in /Users/ada")
    ),
    "a global seed, at `np.random.seed(0)`": say(5, "np.random.seed(0)"),
    "1 exercises with 2 solutions": edit(6, "2. What is", "What is"),
    "solution 2 is no Python": edit(6, "3 / 2", "3 /"),
    "solution 1 has no code in <pre><code>": edit(6, "<pre><code>print(1 &lt; 2)</code></pre>", "<code>1</code>"),
    "no section 'exercises'": say(6, "## What we saw\n## References"),
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_each_rule_catches_its_fault(complaint, book, lint, written):
    BROKEN[complaint](book)
    found = lint.problems(written(book))
    assert any(complaint in line for line in found), found


def test_all_faults_are_reported_at_once(book, lint, written):
    book.metadata.kernelspec.name = "julia"
    book.cells[0].source = "no title"
    book.cells[3].outputs = []
    assert len(lint.problems(written(book))) == 3


def test_a_large_notebook_is_caught(book, lint, written):
    book.cells[5].outputs[0].data["image/png"] = "A" * 530_000
    assert any("the maximum is 520" in line for line in lint.problems(written(book)))


@pytest.mark.parametrize("text", ["http://a.org/home/x", "a/b/tmp/x", "1/2", "https://x.org/home/y", "../shared/data"])
def test_other_slashes_are_not_absolute_paths(text, book, lint, written):
    book.cells[2].source = text
    assert lint.problems(written(book)) == []


def test_what_is_no_notebook_is_said_to_be_none(lint, tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text("{")
    assert lint.problems(path)[0].startswith("not a notebook")


def test_code_with_fences_in_text_is_no_second_title(book, lint, written):
    book.cells.insert(5, new_markdown_cell("```python\n# a comment\n```"))
    assert lint.problems(written(book)) == []
    assert nbformat.read(written(book), 4).cells[5].source.startswith("```")
