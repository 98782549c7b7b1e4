"""`cdir check-method` on a method that works, ones that fail, and one that refuses."""

import sys

import pytest
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.results import check_method

CODE = """
import torch
from cdir_nb.errors import CdirError
from cdir_nb.methods import Embedder, Method

class Works(Embedder):
    name = "works"
    def __init__(self, encoder):
        self.encoder = encoder
    def embed(self, images, *, progress=True):
        return self.encoder.embed_images(images, progress=progress)

class Divides(Works):
    def embed(self, images, *, progress=True):
        return super().embed(images) / (1 / 0)

class Short(Works):
    def embed(self, images, *, progress=True):
        return super().embed(images)[1:]

class Nan(Works):
    def embed(self, images, *, progress=True):
        return super().embed(images) * float("nan")

def build(encoder, task, domains, settings, **_):
    if not task.seen:
        raise CdirError("build needs seen classes: choose another task")
    return Works(encoder)

BUILT = Method("built", "a test", build)
NOTHING = 7
"""
pytestmark = pytest.mark.medium


@pytest.fixture
def module(tmp_path, monkeypatch, fresh_cache):
    monkeypatch.setattr(check_method, "PER_CLASS", 1)
    monkeypatch.setattr(check_method, "KINDS", {"world-unseen": "a", "world-closed-redrawn": "b"})
    (tmp_path / "my_method.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("my_method", None)


def check(name, *words):
    return CliRunner().invoke(app, ["check-method", name, *words])


def test_one_line_for_each_kind(module):
    good = check("my_method:Works").stdout.splitlines()
    assert len(good) == 2 and all(line.startswith("ok ") for line in good)
    for name, words in (("Divides", "ZeroDivisionError: division by zero (my_method.py, line 15, in embed)"),
                        ("Short", "embed returned (9, "), ("Nan", "NaN")):  # fmt: skip
        done = check(f"my_method:{name}")
        assert done.exit_code == 1 and done.stdout.count("FAILED") == done.stdout.count(words) == 2, done.output
    built = check("my_method:BUILT", "--encoder", "tiny-clip")
    assert built.exit_code == 0 and [line.split()[0] for line in built.stdout.splitlines()] == ["ok", "refused"]
    for name in ("my_method:NOTHING", "my_method:Missing", "no_module:X", "my_method"):
        done = check(name)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1 and name.split(":")[0] in done.stderr
