"""The README names every notebook, real targets and pictures that exist."""

import re

from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.paths import NOTEBOOKS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), flags=re.M))


def test_every_notebook_has_a_row_with_a_picture():
    rows = {m[1]: m[0] for m in re.finditer(r"^\| \[(\d\d_\w+)\].*$", README, flags=re.M)}
    assert set(rows) == {path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
    for name, row in rows.items():
        assert re.search(r"\| *\d+ s *\|", row), f"{name}: no time"
        assert "docs/pictures/" in row, f"{name}: no picture"


def test_every_file_that_it_links_to_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)|src=\"([^\"]+)\"", README)
    assert [link for pair in links for link in pair if link and not (ROOT / link).exists()] == []


def test_every_target_that_it_names_is_there():
    named = set(re.findall(r"`?make ([a-z]+)", README))
    assert {"reproduce", "test", "lab", "help"} <= named <= TARGETS


def test_ci_runs_the_readmes_test_command():
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), flags=re.M)


def test_the_method_of_ones_own_runs_in_20_lines_and_stands_beside_vanilla_clip(tmp_path, monkeypatch):
    section = README.split("## A method of your own")[1].split("\n## ")[0]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 20
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    shown = CliRunner().invoke(app, ["results", "runs/mine"])
    assert shown.exit_code == 0, shown.output
    rows = [line for line in map(str.strip, shown.output.splitlines()) if line.startswith(("vanilla CL", "CLIP, c"))]
    assert len(rows) == 2 and rows[1].endswith("30 of 30")
