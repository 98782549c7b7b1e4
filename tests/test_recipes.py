"""Recipes of CONTRIBUTING, carried out in a copy of the project: the listed files suffice for a new part to work.

Each recipe runs in a Python process of its own, which imports the copy.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from data.toy_data import CARD, write_images

from cdir_nb.paths import ROOT

pytestmark = pytest.mark.medium
RECIPES = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## Files to touch\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project, without notebooks and tests."""
    root = tmp_path_factory.mktemp("project")
    for name in ("cdir_nb", "data_manifest"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


@pytest.fixture
def run(project, tmp_path):
    """Returns a function that runs code on the copy and returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(project), "CDIR_CACHE": str(tmp_path / "cache")}

    def run(code: str) -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def write(project: Path, recipe: str, name: str, files: dict[str, str]) -> None:
    """Write the files of a recipe. They must be those that CONTRIBUTING lists for it, without those in parentheses."""
    lines = re.findall(r"^- `([^`]+)`", RECIPES.split(f"### A {recipe}\n")[1].split("\n### ")[0], flags=re.M)
    assert files.keys() == {line.replace("NAME", name) for line in lines}
    for path, text in files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text, encoding="utf-8")


def edited(path: str, *replacements: tuple[str, str]) -> str:
    """The text of a file of the project after replacements, each of which must match."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text, f"{path} has no {old!r}"
        text = text.replace(old, new)
    return text


LOSSES = '''
import torch


def same_class_loss(z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over pairs of one class of 1 - cos; z (N, D) unit vectors, labels (N,)."""
    return (1 - z @ z.T)[labels[:, None] == labels].mean()
'''
METHOD = """
import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.methods.settings import Settings, setting
from cdir_nb.methods.training import Training
from cdir_nb.methods.turned.losses import same_class_loss


class TurnedSettings(Settings):
    method = "turned CLIP"
    learning_rate: float = setting(0.01, "our default", gt=0)
    epochs: int = setting(2, "our default", ge=0)


class TurnedTraining(Training):
    steps_per_epoch, train_set = 1, "labelled images of the seen classes"

    def build(self):
        layer = nn.Linear(self.encoder.dim, self.encoder.dim, bias=False)
        nn.init.eye_(layer.weight)
        return layer

    def batches(self):
        yield self.task.train.take(range(0, len(self.task.train), 4))

    def losses(self, images):
        labels = torch.tensor([self.task.seen.index(label) for label in images.labels])
        return {"L_same": same_class_loss(self.embed(self.model, images, False), labels)}

    def embed(self, model, images, progress):
        return F.normalize(model(F.normalize(self.encoder.embed_images(images, progress=progress), dim=1)), dim=1)
"""
ROW = """
from cdir_nb.methods.method import Method
from cdir_nb.methods.turned.method import TurnedSettings, TurnedTraining

TURNED = Method("turned CLIP", "a test", TurnedTraining, TurnedSettings, ("images", "labels"), encoders="CLIP")
"""
FIT = """
import torch
from cdir_nb.data import load_protocol
from cdir_nb.data.world import load_world
from cdir_nb.encoders import load_encoder
from cdir_nb.methods import fit
from cdir_nb.results import measure
torch.set_num_threads(1)
fitted = fit({name!r}, load_encoder({encoder!r}), load_protocol({task!r}, load_world(2)), settings={settings})
assert len(fitted.history) == {epochs}
records = measure(fitted.states["last epoch"], fitted.trainings[0].task)
print(*sorted({{record.method for record in records}}), len(records) > 0)
"""


def test_a_method(project, run):
    folder, table = "cdir_nb/methods/turned", "cdir_nb/methods/table.py"
    imports = "from cdir_nb.methods.turned import TURNED\n\n_ROWS = (\n    TURNED,\n"
    files = {
        f"{folder}/__init__.py": ROW,
        f"{folder}/method.py": METHOD,
        f"{folder}/losses.py": LOSSES,
        table: edited(table, ("_ROWS = (\n", imports)),
    }
    write(project, "method", "turned", files)
    settings = {"learning_rate": 0.02}
    printed = run(FIT.format(name="turned CLIP", encoder="tiny-clip", task="world-unseen", settings=settings, epochs=2))
    assert printed.split("\n")[0] == "turned CLIP True"


@pytest.mark.slow
def test_a_baseline(project, run):
    folder = "cdir_nb/methods/snmpnet/baselines"
    file = edited(
        f"{folder}/cross_entropy.py",
        ("F.cross_entropy", "F.multi_margin_loss"),
        ("CrossEntropy", "Margin"),
        ("CROSS_ENTROPY", "MARGIN"),
        ('"cross-entropy"', '"margin loss"'),
    )
    entry = "from cdir_nb.methods.snmpnet.baselines.margin import MARGIN\n\nBASELINES = (\n    MARGIN,\n"
    table = edited(f"{folder}/__init__.py", ("BASELINES = (\n", entry))
    write(project, "baseline", "margin", {f"{folder}/margin.py": file, f"{folder}/__init__.py": table})
    settings = {"epochs": 1, "batch_size": 10, "train_images": 1, "image_size": 64, "pools": 1}
    how = {"name": "margin loss", "encoder": "mobilenet-v2", "task": "world-ucdr-quickdraw-mixed"}
    assert run(FIT.format(**how, settings=settings, epochs=1)).split("\n")[0] == "margin loss True"


@pytest.mark.slow
def test_a_dataset(project, run, tmp_path):
    card = yaml.safe_dump({**CARD, "name": "toy"}, sort_keys=False)
    write(project, "dataset", "toy", {"data_manifest/toy/card.yaml": card})
    write_images(tmp_path / "images")
    code = """
from cdir_nb.data import load_card, open_task, verify
from cdir_nb.encoders import load_encoder
from cdir_nb.methods import VanillaClip
from cdir_nb.results import measure
card, images, task = open_task("toy", "images")
assert verify(card, "images").ok
print(*[(r.protocol, r.query_domain, r.metric) for r in measure(VanillaClip(load_encoder("tiny-clip")), task)])
"""
    assert "('toy-unseen', 'photo', 'P@1:hits_over_k')" in run(code)


def test_a_claim(project, run):
    entry = """
- id: recipe
  paper: tki
  where: a test
  says: TKI is above CLIP.
  better: TKI
  worse: vanilla CLIP
  metric: P@10:hits_over_k
"""
    path = "cdir_nb/results/claims/claims.yaml"
    write(project, "claim", "recipe", {path: edited(path) + entry})
    code = """
from cdir_nb.results import Record, load_claims, verdicts
same = dict(dataset="world", protocol="p", metric="P@10:hits_over_k", encoder="tiny", query_domain="real",
            gallery_domain="sketch")
rows = [("TKI", 0.3, "last epoch"), ("vanilla CLIP", 0.2, "nothing selected")]
records = [Record(method=method, value=value, seed=0, selection_rule=rule, **same) for method, value, rule in rows]
print(verdicts(records).set_index("id").loc["recipe", "verdict"])
"""
    assert run(code).strip() == "holds, no interval"
