import ast
import socket

import nbformat
import pytest
from PIL import Image
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
    expected = [cell.source for cell in book.cells if not set(without) & set(cell.metadata.get("tags", []))]
    assert not without or len(expected) < len(book.cells)
    *script, injected = [source for source in cells if source not in expected]
    assert 'folder = "/somewhere"' in injected and len(cells) == len(expected) + 1 + len(script)
    assert bool(script) == bool(without) and all(
        serve.SCRIPT.read_text(encoding="utf-8") in source for source in script
    )
    assert made != serve.write_page({"encoder": "real-clip"})


def names(cells, context):
    """Names that code cells set (ast.Store) or read (ast.Load)."""
    nodes = list(ast.walk(ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))))
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg) and context is ast.Store}
    return arguments | {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, context)}


@pytest.mark.parametrize("without", [{serve.ABOUT_CODE}, {serve.ABOUT_CODE, serve.NEEDS_LABELS}])
def test_a_page_needs_nothing_from_the_cells_that_it_leaves_out(without):
    cells = nbformat.read(NOTEBOOKS / serve.NOTEBOOK, 4).cells
    removed = [cell for cell in cells if without & set(cell.metadata.get("tags", []))]
    remaining = [cell for cell in cells if cell not in removed]
    only_removed = names(removed, ast.Store) - names(remaining, ast.Store)
    assert only_removed and not only_removed & names(remaining, ast.Load)


@pytest.fixture
def served(monkeypatch, fresh_cache):
    """[(page, options)] of the calls of `serve`, which starts no server."""
    calls = []
    monkeypatch.setattr(serve, "serve", lambda page, **options: calls.append((page, options)) or 0)
    return calls


@pytest.fixture
def port():
    """A free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_explore_lists_what_it_left_out_and_opens_the_page(served, tmp_path, port):
    for number in range(3):
        Image.new("RGB", (40, 30), (80 * number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no")
    result = CliRunner().invoke(
        app, ["explore", str(tmp_path), "--encoder", "tiny-clip", "--no-browser", "--port", str(port)]
    )
    assert result.exit_code == 0, result.output
    assert "3 images" in result.output and "no labels" in result.output and "broken.jpg" in result.output
    ((page, options),) = served
    assert "What does a class name find?" not in page.read_text(), "nothing that needs labels"
    assert options == {"port": port, "browser": False, "lab": False, "host": "127.0.0.1"}
    assert str(tmp_path) in page.read_text()


def test_without_a_path_the_bundled_world_is_opened(served):
    assert CliRunner().invoke(app, ["explore", "--no-browser"]).exit_code == 0
    assert read_parameters(served[0][0])["folder"] == ""


def test_emoji_are_opened_by_name_without_what_is_said_about_the_drawn_world(served, tmp_path, monkeypatch):
    assert CliRunner().invoke(app, ["explore", "emoji", "--no-browser"]).exit_code == 0
    text = "\n".join(cell.source for cell in nbformat.read(served[0][0], 4).cells)
    assert 'dataset = "emoji"\nencoder = "real-clip"' in text and "With 40 classes it is" not in text
    monkeypatch.chdir(tmp_path)
    (tmp_path / "emoji").mkdir()  # a folder of this name comes first, and this one has no images
    assert CliRunner().invoke(app, ["explore", "emoji", "--no-browser"]).exit_code == 2 and len(served) == 1


@pytest.mark.parametrize("number", ["0", "65536", "-1", "used"])
def test_a_wrong_port_is_refused_before_anything_is_read(number, monkeypatch, tmp_path):
    monkeypatch.setattr(serve, "make_page", lambda *_, **__: pytest.fail("the folder was read"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        number = str(listener.getsockname()[1]) if number == "used" else number
        result = CliRunner().invoke(app, ["explore", str(tmp_path), "--no-browser", f"--port={number}"])
    assert result.exit_code == 2 and f"--port {number}" in result.stderr and result.stderr.count("\n") == 1


def test_a_wrong_encoder_is_refused_before_the_folder_is_read(served, monkeypatch, tmp_path):
    monkeypatch.setattr("cdir_nb.explorer.collection.open_any_folder", lambda *_, **__: pytest.fail("read"))
    result = CliRunner().invoke(app, ["explore", str(tmp_path), "--encoder", "ViT-B32:openai"])
    assert result.exit_code == 2 and "ViT-B-32" in result.stderr and result.stderr.count("\n") == 1


def test_a_missing_folder_is_an_error_in_one_line(served, tmp_path):
    result = CliRunner().invoke(app, ["explore", str(tmp_path / "nowhere")])
    assert result.exit_code == 2 and "not a folder" in result.output and "Traceback" not in result.output
    assert served == []
