"""Slides of a notebook: where one begins, and what is left out."""

import re

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cdir_nb.pages.html import divide, to_slides

PRINTED = new_output("stream", text="printed\n")


def slides(*cells) -> list[list[str]]:
    """The texts, and "output" for each code cell, of each slide."""
    book = new_notebook(cells=[new_markdown_cell(x) if isinstance(x, str) else x for x in cells])
    divide(book)
    found = [[]]
    for cell in book.cells:
        found += [[]] * cell.metadata["starts_slide"]
        found[-1] = [*found[-1], cell.source if cell.cell_type == "markdown" else "output"]
    return found


def figure():
    return new_code_cell("draw()", outputs=[PRINTED])


def test_a_figure_stays_with_the_text_before_it_and_with_what_to_see_in_it():
    cells = ["# Title\ntext", figure(), "**What to see.** A dot.", figure(), "More.", new_code_cell("x = 1"), figure()]
    assert slides(*cells) == [
        ["# Title\ntext", "output", "**What to see.** A dot."],
        ["output"],
        ["More.", "output", ],
    ]  # fmt: skip


def test_headings_alone_make_no_slide():
    assert slides("# Title\n## Parameters", new_code_cell("k = 1"), "## Set-up", "Load.", figure(), "## End") == [
        ["# Title", "## Set-up", "Load.", "output"]
    ]
    assert slides("intro", "## 2\n### 2.1\ntext\n## 3\nmore") == [["intro"], ["## 2", "### 2.1\ntext"], ["## 3\nmore"]]


def test_slides_show_outputs_and_formulas_and_no_code(tmp_path):
    cells = [
        new_markdown_cell("# A\n$x^2$"),
        new_code_cell("secret()", outputs=[PRINTED]),
        new_markdown_cell("## B\nb"),
    ]
    page = to_slides(new_notebook(cells=cells), "A", tmp_path)
    parts = re.findall(r'<section class="slide">(.*?)</section>', page, flags=re.S)
    assert len(parts) == 2 and "<msup" in parts[0] and "printed" in parts[0] and "secret" not in page
