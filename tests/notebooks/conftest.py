"""A small notebook that breaks no rule."""

import base64
import io

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

PARAMETERS = """\
dataset: str = "world"  # which images
data_root: str = ""  # folder of the images
encoder: str = "tiny-clip"  # turns images into vectors
protocol: str = ""  # the task
seed: int = 0  # for everything random
out_dir: str = ""  # folder for results
"""


@pytest.fixture
def png() -> str:
    """A two-colour image, base64 of PNG."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").convert("1").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def book(png):
    """A notebook without problems: title, parameters, a golden cell, a figure, and the closing sections."""
    golden = new_code_cell(
        "print(1 + 1)",
        metadata={"tags": ["nbval-check-output"]},
        execution_count=2,
        outputs=[new_output("stream", name="stdout", text="2\n")],
    )
    figure = new_code_cell("draw()", execution_count=3, outputs=[new_output("display_data", {"image/png": png})])
    closing = "## What we saw\nTwo.\n## Exercises\nOne.\n## References\nPeano."
    cells = [
        new_markdown_cell("# A title\nA question?"),
        new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}, execution_count=1),
        new_markdown_cell("Add."),
        golden,
        new_markdown_cell("Draw."),
        figure,
        new_markdown_cell(closing),
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


@pytest.fixture
def written(tmp_path):
    """A function that writes a notebook and returns its path."""

    def write(book):
        path = tmp_path / "01_book.ipynb"
        nbformat.write(book, path)
        return path

    return write
