"""A folder of the user as a dataset with tasks: without a card, with an edited one, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.data import load_card, manifest, open_task, protocol_names
from cdir_nb.data.user_card import folder_card
from cdir_nb.errors import CdirError

CLASSES = ["barn", "boat", "cat", "dog", "tree"]


@pytest.fixture
def mine(tmp_path, fresh_cache, monkeypatch):
    monkeypatch.setattr(manifest, "_USER_CARDS", {})
    root, rng = tmp_path / "mine", np.random.default_rng(0)
    for domain in ("ink", "oil"):
        for label in CLASSES + (["only_oil"] if domain == "oil" else []):
            (root / domain / label).mkdir(parents=True)
            for number in range(2):
                pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / domain / label / f"{number}.png")
    return root


def test_a_path_is_a_dataset_with_two_tasks(mine):
    card, images, task = open_task(str(mine))
    assert (card.name, len(images), task.name) == ("mine", 22, "mine-closed")
    assert list(task.classes) == CLASSES, "a class that one domain lacks has no query there"
    assert task.directions == (("ink", "oil"), ("oil", "ink")) and len(task.train) == 20
    unseen = open_task("mine", protocol="mine-unseen")[2]  # from now on also by name
    assert unseen.classes == ("boat", "tree") and unseen.seen == ("barn", "cat", "dog")
    assert {"mine-closed", "mine-unseen"} <= set(protocol_names()) and load_card("mine") == load_card(str(mine))


def test_the_printed_card_is_the_one_that_is_used_and_can_be_edited(mine):
    printed = CliRunner().invoke(app, ["card", str(mine)]).stdout
    assert yaml.safe_load(printed)["classes"] == sorted([*CLASSES, "only_oil"])
    (mine / "card.yaml").write_text(printed)
    assert manifest.load_user_card(mine) == folder_card(mine)
    (mine / "card.yaml").write_text(printed.replace("mine-closed", "animals").replace("Every third", "Each third"))
    assert open_task(str(mine))[2].name == "animals"
    assert manifest.load_user_card(mine).protocols.keys() == {"animals", "mine-unseen"}
    (mine / "card.yaml").write_text("name: [}")
    with pytest.raises(CdirError, match=r"card.yaml: not valid YAML, line 1"):
        manifest.load_user_card(mine)
    (mine / "card.yaml").write_text(printed.replace("zero_shot: true", "zero_shot: maybe"))
    with pytest.raises(CdirError, match="zero_shot"):
        manifest.load_user_card(mine)


def test_the_command_does_not_read_the_file_that_the_shell_has_just_created(mine):
    code = "from cdir_nb.cli import app; app()"
    with open(mine / "card.yaml", "w") as file:
        subprocess.run([sys.executable, "-c", code, "card", str(mine)], stdout=file, check=True)
    assert open_task(str(mine))[0].name == "mine"


def test_one_domain_searches_itself(mine, tmp_path):
    (tmp_path / "alone").mkdir()
    (mine / "oil").rename(tmp_path / "alone" / "oil")
    task = open_task(str(tmp_path / "alone"))[2]
    assert task.directions == (("oil", "oil"),) and len(task.query("oil")) == 12


def test_what_is_refused_names_the_folder(mine, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (8, 8), "red").save(flat / "1.png")
    with pytest.raises(CdirError, match="flat has images without a class folder"):
        open_task(str(flat))
    with pytest.raises(CdirError, match="another dataset is called world"):
        open_task(str(mine.rename(tmp_path / "world")))
    with pytest.raises(CdirError, match="unknown dataset 'nowhere'"):
        open_task("nowhere")
