"""scripts/notebooks.py: what it removes, how it runs notebooks and solutions, and that failures change nothing."""

import base64
import io

import nbformat
import notebook_lint as lint
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from typer.testing import CliRunner

import notebooks as tool


def dirty(book):
    book.metadata.update(widgets={"state": {"a": 1}}, papermill={"duration": 2})
    book.metadata.language_info["version"] = "3.11.7"
    cell = book.cells[5]
    cell.metadata = nbformat.from_dict({"execution": {"t": 1}, "scrolled": True})
    cell.outputs.append(new_output("stream", name="stderr", text="10 %"))
    cell.outputs.append(new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}))
    return book


def test_strip_removes_what_differs_between_runs_and_preserves_the_results(book, written):
    book.cells[3].metadata["jupyter"] = {"source_hidden": True}
    stripped = tool.stripped(dirty(book))
    assert stripped.cells[3].metadata == {"tags": ["nbval-check-output"], "jupyter": {"source_hidden": True}}
    assert lint.problems(written(stripped)) == []
    assert stripped.metadata == {"kernelspec": tool.KERNEL, "language_info": {"name": "python"}}
    assert stripped.cells[1].metadata.tags == ["parameters"]
    assert len(stripped.cells[5].outputs) == 1 and "image/png" in stripped.cells[5].outputs[0].data
    once = nbformat.writes(stripped)
    assert nbformat.writes(tool.stripped(nbformat.reads(once, 4))) == once


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def decoded(image):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB"), int)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("size, kind", [(120, "image/png"), (300, "image/jpeg")])
def test_images_get_smaller_and_look_the_same(mode, size, kind):
    smooth = np.add.outer(np.arange(size), np.arange(size))[..., None] * 90 // size + [0, 10, 20]
    noise = np.random.default_rng(0).integers(0, 12, (size, size, 3))
    image = Image.fromarray((smooth + noise).astype(np.uint8)).convert(mode)
    mime, after = tool.compressed(encoded(image))
    assert mime == kind and len(after) < 0.7 * len(encoded(image))
    assert np.abs(decoded(after) - np.asarray(image.convert("RGB"), int)).mean() < 5


def test_the_rare_colours_of_a_colour_bar_survive():
    blues = np.random.default_rng(0).integers(0, 200, (300, 400, 1)) * [1, 1, 0] + [0, 0, 255]
    blues[:, 380:] = np.linspace([255, 200, 200], [120, 0, 0], 300)[:, None]  # a bar from pale to dark red
    before = Image.fromarray(blues.astype(np.uint8))
    small = Image.open(io.BytesIO(tool.with_palette(before, 64))).convert("RGB")
    assert np.abs(np.asarray(small, int)[:, 380:] - blues[:, 380:]).max() < 25


def test_a_small_image_does_not_change(png):
    assert base64.b64decode(tool.compressed(png)[1]) == base64.b64decode(png)
    palette = encoded(Image.radial_gradient("L").convert("P"))
    assert tool.compressed(palette) == ("image/png", palette)


def small_book(source):
    return new_notebook(cells=[new_markdown_cell("# T"), new_code_cell(source)])


@pytest.fixture
def command(monkeypatch, tmp_path):
    """A function that runs a command of the script on the notebook in `tmp_path`."""
    monkeypatch.setattr(tool, "matching", lambda names: [tmp_path / "01_book.ipynb"])
    return lambda *arguments: CliRunner().invoke(tool.app, arguments)


def test_run_executes_headless_in_the_folder_of_the_notebook(command, written, monkeypatch):
    monkeypatch.setenv("CDIR_HEADLESS", "0")
    source = "import os\nfrom pathlib import Path\nprint(os.environ['CDIR_HEADLESS'], Path('01_book.ipynb').exists())"
    path = written(small_book(source))
    command("run")
    assert nbformat.read(path, 4).cells[1].outputs[0].text == "1 True\n"


def test_a_failing_notebook_does_not_change(command, written):
    path = written(small_book("1 / 0"))
    before = path.read_text()
    result = command("run")
    assert result.exit_code != 0 and "01_book.ipynb" in str(result.exception) and path.read_text() == before


def test_lint_prints_problems_and_sets_the_exit_code(command, book, written):
    written(book)
    assert command("lint").exit_code == 0
    book.metadata.kernelspec.name = "julia"
    written(book)
    result = command("lint")
    assert result.exit_code == 1 and "01_book.ipynb: kernel is 'julia'" in result.output


def test_names_select_notebooks_and_an_unknown_one_is_refused(tmp_path):
    (tmp_path / "00_tour.ipynb").write_text("{}")
    assert [path.name for path in tool.matching(["00"], tmp_path)] == ["00_tour.ipynb"]
    with pytest.raises(SystemExit, match="99"):
        tool.matching(["99"], tmp_path)
