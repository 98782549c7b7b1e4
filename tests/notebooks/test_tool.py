"""scripts/notebooks.py: what it drops, what it keeps, and that a failing notebook is left alone."""

import base64
import io

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image


def dirty(book):
    book.metadata.update(widgets={"state": {"a": 1}}, papermill={"duration": 2})
    book.metadata.language_info["version"] = "3.11.7"
    cell = book.cells[5]
    cell.metadata = nbformat.from_dict({"execution": {"t": 1}, "scrolled": True})
    cell.outputs.append(new_output("stream", name="stderr", text="10 %"))
    cell.outputs.append(
        new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}})
    )
    return book


def test_clean_drops_what_differs_and_keeps_what_matters(book, tool, lint, written):
    cleaned = tool.clean(dirty(book))
    assert lint.problems(written(cleaned)) == []
    assert cleaned.metadata == {"kernelspec": tool.KERNEL, "language_info": {"name": "python"}}
    assert cleaned.cells[1].metadata.tags == ["parameters"]
    assert len(cleaned.cells[5].outputs) == 1 and "image/png" in cleaned.cells[5].outputs[0].data


def test_clean_twice_changes_nothing_more(book, tool):
    once = nbformat.writes(tool.clean(dirty(book)))
    assert nbformat.writes(tool.clean(nbformat.reads(once, 4))) == once


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def decoded(picture):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"), int)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("side, kind", [(120, "image/png"), (300, "image/jpeg")])
def test_pictures_get_smaller_and_look_the_same(tool, mode, side, kind):
    smooth = np.add.outer(np.arange(side), np.arange(side))[..., None] * 90 // side + [0, 10, 20]
    noise = np.random.default_rng(0).integers(0, 12, (side, side, 3))
    picture = Image.fromarray((smooth + noise).astype(np.uint8)).convert(mode)
    mime, after = tool.smaller(encoded(picture))
    assert mime == kind and len(after) < 0.7 * len(encoded(picture))
    assert np.abs(decoded(after) - np.asarray(picture.convert("RGB"), int)).mean() < 5


def test_the_rare_colours_of_a_colour_bar_survive(tool):
    blues = np.random.default_rng(0).integers(0, 200, (300, 400, 1)) * [1, 1, 0] + [0, 0, 255]
    blues[:, 380:] = np.linspace([255, 200, 200], [120, 0, 0], 300)[:, None]  # a bar from pale to dark red
    before = Image.fromarray(blues.astype(np.uint8))
    small = Image.open(io.BytesIO(tool.with_palette(before, 64))).convert("RGB")
    assert np.abs(np.asarray(small, int)[:, 380:] - blues[:, 380:]).max() < 25


def test_a_small_picture_stays_as_it_is(tool, png):
    assert base64.b64decode(tool.smaller(png)[1]) == base64.b64decode(png)
    palette = encoded(Image.radial_gradient("L").convert("P"))
    assert tool.smaller(palette) == ("image/png", palette)


def small_book(source):
    return new_notebook(cells=[new_markdown_cell("# T"), new_code_cell(source)])


def test_run_executes_headless_in_the_notebooks_own_folder(tool, written, tmp_path, monkeypatch):
    monkeypatch.setenv("CDIR_HEADLESS", "0")
    source = (
        "import os\nfrom pathlib import Path\nprint(os.environ['CDIR_HEADLESS'], Path('01_book.ipynb').exists())"
    )
    path = written(small_book(source))
    tool.run_and_write(path)
    assert nbformat.read(path, 4).cells[1].outputs[0].text == "1 True\n"


def test_a_failing_notebook_is_left_as_it_was(tool, written):
    path = written(small_book("1 / 0"))
    before = path.read_text()
    with pytest.raises(SystemExit, match="error: 01_book.ipynb failed and was not changed"):
        tool.run_and_write(path)
    assert path.read_text() == before


def test_check_lists_problems_and_sets_the_exit_code(tool, book, written, monkeypatch, capsys):
    path = written(book)
    monkeypatch.setattr(tool, "find", lambda names: [path])
    assert tool.main(["check"]) == 0 and "1 notebooks are in order" in capsys.readouterr().out
    book.metadata.kernelspec.name = "julia"
    written(book)
    assert tool.main(["check"]) == 1 and "01_book.ipynb: kernel is 'julia'" in capsys.readouterr().out


def test_an_unknown_notebook_is_refused(tool, tmp_path):
    (tmp_path / "00_tour.ipynb").write_text("{}")
    assert [p.name for p in tool.find(["00"], tmp_path)] == ["00_tour.ipynb"]
    with pytest.raises(SystemExit, match="no notebook in .* begins with 99"):
        tool.find(["99"], tmp_path)
