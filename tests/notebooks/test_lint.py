"""Every committed notebook is in order, and each rule reports a notebook that breaks it."""

import notebook_lint as lint
import pytest
from nbformat.v4 import new_markdown_cell, new_output

from cdir_nb.paths import NOTEBOOKS

COMMITTED = sorted(NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_notebook_is_in_order(path):
    assert lint.problems(path) == []


def test_a_good_notebook_has_no_problems(book, written):
    assert lint.problems(written(book)) == []


def set_source(cell, text):
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
    "the first cell must be text that begins with a title": set_source(0, "no title"),
    "more than one title": set_source(2, "# Another"),
    "must be tagged 'parameters'": lambda b: b.cells[1].metadata.update(tags=[]),
    "exactly one code cell, the first": lambda b: b.cells[3].metadata.update(tags=["parameters"]),
    "line 5 is not `name: type = literal`": edit(1, "seed: int = 0", "seed = 0"),
    "line 2 is not `name: type = literal`": edit(1, 'data_root: str = ""', 'data_root: str = str("")'),
    "seed has no trailing comment": edit(1, "  # for everything random", ""),
    "`seed: int` is missing": edit(1, "seed: int = 0", 'seed: str = "0"'),
    "no text between two code cells, at `draw()`": lambda b: b.cells.append(b.cells.pop(4)),
    "a line of 120 characters": set_source(5, "x" * 120),
    "a figure that is not shown, at `fig = 1`": set_source(3, "fig = 1\nsave_figure(fig, out_dir, 'x');"),
    "a figure that is not shown, at `show.explore(look)`": set_source(3, "show.explore(look)"),
    "a blank line inside <details>": set_source(
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
    "metadata that differs from run to run: jupyter": lambda b: b.cells[3].metadata.update(
        jupyter={"outputs_hidden": True}
    ),
    "(stderr) among the outputs": lambda b: b.cells[5].outputs.append(new_output("stream", name="stderr", text="10 %")),
    "an absolute path (/home/a": set_source(5, "open('/home/ada/x.png')"),
    "an absolute path (/home/a": add_output({"text/plain": "File /home/ann/x.py"}),
    "an absolute path (C:": set_source(2, r"See C:\Users\ada."),
    "an absolute path (/Users/a": lambda b: b.cells[3].outputs.append(
        new_output("stream", name="stdout", text="in /Users/ada")
    ),
    "a global seed, at `np.random.seed(0)`": set_source(5, "np.random.seed(0)"),
    "no section 'exercises'": set_source(6, "## What we saw\n## References"),
}


@pytest.mark.parametrize("expected", BROKEN)
def test_each_rule_reports_its_problem(expected, book, written):
    BROKEN[expected](book)
    complaints = lint.problems(written(book))
    assert any(expected in line for line in complaints), complaints


def test_a_large_notebook_is_caught(book, written):
    book.cells[5].outputs[0].data["image/png"] = "A" * 530_000
    assert any("the maximum is 520" in line for line in lint.problems(written(book)))


@pytest.mark.parametrize("text", ["http://a.org/home/x", "a/b/tmp/x", "1/2", "https://x.org/home/y", "../shared/data"])
def test_other_slashes_are_not_absolute_paths(text, book, written):
    book.cells[2].source = text
    assert lint.problems(written(book)) == []


def test_a_file_that_is_not_a_notebook_is_reported(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text("{")
    assert lint.problems(path)[0].startswith("not a notebook")


def test_a_comment_in_fenced_code_is_not_a_title(book, written):
    book.cells.insert(5, new_markdown_cell("```python\n# a comment\n```"))
    assert lint.problems(written(book)) == []


def test_code_may_be_hidden(book, written):
    book.cells[3].metadata["jupyter"] = {"source_hidden": True}
    assert lint.problems(written(book)) == []
