import ast

import nbformat
import pytest
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.explorer import serve
from cdir_nb.notebook import read_parameters
from cdir_nb.paths import NOTEBOOKS


@pytest.mark.parametrize("without", [(), (serve.ABOUT_CODE,), (serve.ABOUT_CODE, serve.NEEDS_LABELS)])
def test_the_page_is_the_notebook_with_its_parameters(fresh_cache, without):
    made = serve.write_page({"folder": "/somewhere", "encoder": "real-clip"}, without)
    cells = [cell.source for cell in nbformat.read(made, 4).cells]
    book = nbformat.read(NOTEBOOKS / serve.NOTEBOOK, 4)
    ours = [cell.source for cell in book.cells if not any(tag in cell.metadata.get("tags", []) for tag in without)]
    assert not without or len(ours) < len(book.cells)
    (injected,) = [source for source in cells if source not in ours]
    assert 'folder = "/somewhere"' in injected and len(cells) == len(ours) + 1
    assert made != serve.write_page({"encoder": "real-clip"})


def names(cells, context):
    """Names that code cells set (ast.Store) or read (ast.Load)."""
    code = ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    named = {node.id for node in ast.walk(code) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
    return named | {node.arg for node in ast.walk(code) if isinstance(node, ast.arg) and context is ast.Store}


@pytest.mark.parametrize("without", [{serve.ABOUT_CODE}, {serve.ABOUT_CODE, serve.NEEDS_LABELS}])
def test_a_page_needs_nothing_from_the_cells_that_it_leaves_out(without):
    cells = nbformat.read(NOTEBOOKS / serve.NOTEBOOK, 4).cells
    aside = [bool(without & set(cell.metadata.get("tags", []))) for cell in cells]
    kept, left_out = ([cell for cell, out in zip(cells, aside) if out == which] for which in (False, True))
    only_there = names(left_out, ast.Store) - names(kept, ast.Store)
    assert only_there and not only_there & names(kept, ast.Load)


def test_kernels_that_nobody_uses_are_ended_and_compute_in_one_thread():
    command = serve.serve_command("x.ipynb", port=1234, browser=False, lab=False)
    assert "--MappingKernelManager.cull_idle_timeout=1800" in command and "--no-browser" in command
    assert set(serve.ONE_THREAD.values()) == {"1"} and "OMP_NUM_THREADS" in serve.ONE_THREAD


@pytest.fixture
def served(monkeypatch, fresh_cache):
    asked = []
    monkeypatch.setattr(serve, "serve", lambda made, **options: asked.append((made, options)) or 0)
    return asked


def test_explore_lists_what_it_left_out_and_opens_the_page(served, tmp_path):
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (40, 30), (80 * number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no")
    said = CliRunner().invoke(app, ["explore", str(tmp_path), "--encoder", "tiny-clip", "--no-browser", "--port", "1"])
    assert said.exit_code == 0, said.output
    assert "3 images" in said.output and "no labels" in said.output and "broken.jpg" in said.output
    ((made, options),) = served
    assert "What does a class name find?" not in made.read_text(), "nothing that needs labels"
    assert options == {"port": 1, "browser": False, "lab": False}
    assert str(tmp_path) in made.read_text()


def test_without_a_path_it_is_the_bundled_world(served):
    assert CliRunner().invoke(app, ["explore", "--no-browser"]).exit_code == 0
    assert read_parameters(served[0][0])["folder"] == ""


def test_a_folder_that_is_not_there_is_one_line(served, tmp_path):
    said = CliRunner().invoke(app, ["explore", str(tmp_path / "nowhere")])
    assert said.exit_code == 2 and "not a folder" in said.output and "Traceback" not in said.output and served == []
