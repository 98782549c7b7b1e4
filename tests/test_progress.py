"""Progress where neither a terminal nor a notebook shows a bar."""

import io
import sys

from cdir_nb import progress
from cdir_nb.progress import progress_bar


def test_a_bar_becomes_lines_with_the_time_left(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    assert list(progress_bar(range(4), desc="work", unit="image", leave=False)) == [0, 1, 2, 3]
    lines = capsys.readouterr().err.splitlines()
    assert lines[2].startswith("work: 2 of 4 image, 00:0") and lines[2].endswith(" left")
    assert all(line.isprintable() for line in lines) and len(lines) == 5


def test_a_short_computation_prints_nothing(capsys):
    with progress_bar(total=5, desc="work", unit=" steps", delay=1, leave=False) as bar:
        bar.update(5)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    list(progress_bar(range(4), desc="work"))
    assert "%|" in terminal.getvalue()


def test_without_stderr_nothing_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(sys, "stderr", None)
    assert list(progress_bar(range(4), desc="work")) == [0, 1, 2, 3]
    assert capsys.readouterr().out == ""
