"""The README lists every notebook, names targets that exist, and has examples that run."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.conventions import AVERAGE_PRECISION, BY_SEEN_LABELS, LAST_EPOCH, PRECISION
from cdir_nb.paths import NOTEBOOKS, ROOT
from cdir_nb.retrieval import families

README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), flags=re.M))


def test_every_notebook_has_a_row_with_a_picture():
    rows = {m[1]: m[0] for m in re.finditer(r"^\| \[(\w\d_\w+)\].*$", README, flags=re.M)}
    assert set(rows) == {path.stem for path in NOTEBOOKS.glob("?[0-9]_*.ipynb")}
    for name, row in rows.items():
        assert re.search(r"\| *\d+ s *\|", row), f"{name}: no time"
        assert "docs/pictures/" in row or name.startswith("A"), f"{name}: no picture"  # appendices are tables


def test_every_target_that_it_names_exists():
    named = set(re.findall(r"`?make ([a-z]+)", README))
    assert {"reproduce", "test", "lab", "help"} <= named <= TARGETS


@pytest.mark.medium
def test_the_example_of_a_method_has_20_lines_and_is_compared_with_vanilla_clip(tmp_path, monkeypatch):
    shown = _run_example(0, 20, tmp_path, monkeypatch)
    assert re.search(r"vanilla CLIP +43\.\d+ .*\n +CLIP, centred \* +51\.\d+ .* 30 of 30", shown)
    assert "* uses all queries" in shown


@pytest.mark.medium
def test_the_example_of_a_training_has_60_lines_three_seeds_and_a_selection_rule(tmp_path, monkeypatch):
    shown = _run_example(1, 60, tmp_path, monkeypatch)
    rows = [line.split() for line in shown.splitlines() if line.strip().startswith("turned CLIP")]
    assert len(rows) == 2 and all("±" in row for row in rows) and "over 3" in shown
    assert BY_SEEN_LABELS in shown and LAST_EPOCH in shown


def test_the_example_from_arrays_has_12_lines_and_prints_every_convention(tmp_path, monkeypatch, capsys):
    draw = np.random.default_rng(0)
    labels = {"query": draw.choice(["cat", "alarm clock"], 40), "gallery": draw.choice(["cat", "alarm clock"], 300)}
    emb = {part: draw.normal(size=(len(names), 16)) + (names == "cat")[:, None] for part, names in labels.items()}
    for part, names in labels.items():
        np.save(tmp_path / f"{part}.npy", emb[part])
        (tmp_path / f"{part}.txt").write_text("\n".join(names) + "\n")
    code = README.split("### From arrays")[1].split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    shown = capsys.readouterr().out
    assert all(f" P@200:{name}" in shown for name in PRECISION)
    assert all(f"mAP@{k}:{name}" in shown for k in (200, "all") for name in AVERAGE_PRECISION)
    assert all(family.name in shown for family in families())
    unit = {part: x / np.linalg.norm(x, axis=1, keepdims=True) for part, x in emb.items()}  # by hand
    best = np.argsort(-unit["query"] @ unit["gallery"].T, axis=1)[:, :10]
    mean = (labels["gallery"][best] == labels["query"][:, None]).mean()
    value, low, high = map(float, re.search(r"^([\d.]+) \(([\d.]+), ([\d.]+)\)$", shown, re.M).groups())
    assert value == pytest.approx(mean) and low <= value <= high


@pytest.mark.medium
def test_the_example_of_post_processing_has_15_lines_and_gains_on_vanilla_clip(tmp_path, monkeypatch):
    shown = _run_example(0, 15, tmp_path, monkeypatch, "Post-processing")
    assert re.search(r"vanilla CLIP \+ centring.* 30 of 30\n +\(training", shown)


def _run_example(number: int, most_lines: int, folder, monkeypatch, title="A method of your own") -> str:
    """Run an example of a section in `folder`; returns what `cdir results` prints."""
    section = README.split(f"## {title}\n")[1].split("\n## ")[0]
    code = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[number]
    assert len([line for line in code.splitlines() if line.strip()]) <= most_lines
    monkeypatch.chdir(folder)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    shown = CliRunner().invoke(app, ["results", "runs/mine"])
    assert shown.exit_code == 0, shown.output
    return shown.output
