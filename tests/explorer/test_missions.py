"""Missions on a small drawn world: five domains, ten classes, and a gallery with more."""

import re
from dataclasses import replace

import numpy as np
import pytest

from cdir_nb.data import open_task
from cdir_nb.encoders import load_encoder
from cdir_nb.errors import CdirError
from cdir_nb.explorer import Explorer, RetrievalPanel
from cdir_nb.explorer.collection import Collection, InMemoryEncoder
from cdir_nb.explorer.methods import ExplorerMethod
from cdir_nb.explorer.missions import DOMAINS, MISSIONS, hub, missions_of
from cdir_nb.explorer.state import question_of
from cdir_nb.methods import VanillaClip
from cdir_nb.paths import ROOT


@pytest.fixture(scope="module")
def explorer():
    """Four images of 12 classes in each domain; ten classes are queries. In place of TKI: the frozen encoder."""
    card, images, task = open_task("world")
    classes = (*task.classes, *task.seen[:2])
    chosen = images.select(sorted(DOMAINS), classes)
    rows = [np.flatnonzero(chosen.mask([d], [c]))[:4] for d in sorted(DOMAINS) for c in classes]
    small = chosen.take(np.concatenate(rows))
    encoder = InMemoryEncoder(load_encoder("tiny-clip"), small)
    words, names = ({name: word(name) for name in listed} for word, listed in
                    ((card.domain_word, sorted(DOMAINS)), (card.display, classes)))  # fmt: skip
    galleries = {"10 classes": task.classes, "12 classes": classes}
    explorer = Explorer(Collection("small world", small, encoder, words, names, task.classes, galleries, ""))
    frozen = VanillaClip(encoder)
    explorer.methods["TKI"] = ExplorerMethod("TKI", "", lambda direction, value: frozen)
    return explorer


def test_every_mission_starts_and_its_own_answer_is_right(explorer):
    assert len(missions_of(explorer)) == len(MISSIONS) == 8
    for mission in MISSIONS:
        start = mission.start(explorer)
        assert explorer.ask(start).right is not None
        answer = "a spoon" if mission.truth is None else str(mission.truth(explorer, start))
        assert mission.check(explorer, answer).right
        assert not mission.check(explorer, " ").answered


@pytest.mark.parametrize("mission", [m for m in MISSIONS if m.truth], ids=lambda mission: mission.name)
def test_other_answers_are_wrong(explorer, mission):
    truth = mission.truth(explorer, mission.start(explorer))
    wrong = ["spoon"] if isinstance(truth, str) else ["spoon", str(truth + 20), str(truth - 20)]
    assert not any(mission.check(explorer, answer).right for answer in wrong)


def test_the_hub_is_the_image_that_most_queries_find(explorer):
    (mission,) = (mission for mission in MISSIONS if mission.name == "hub")
    start = mission.start(explorer)
    counts = {}
    for row in explorer.collection.query_rows("sketch"):
        for found in explorer.ask(replace(start, query=explorer.collection.images.keys[row])).rows.tolist():
            counts[found] = counts.get(found, 0) + 1
    found = hub(explorer, start)
    assert counts[found] == max(counts.values())
    assert found in explorer.ask(start).rows and explorer.ask(start).right.any() in (True, False)
    assert (
        explorer.collection.images.labels[found]
        != explorer.collection.images.labels[explorer.collection.row(start.query)]
    )


def test_the_lessons_link_to_every_mission():
    pages = (ROOT / "docs" / "teaching").glob("*.md")
    linked = re.findall(r"127\.0\.0\.1:8866/\?mission=([\w-]+)", "".join(page.read_text("utf-8") for page in pages))
    assert sorted(linked) == sorted(mission.name for mission in MISSIONS)


def test_a_link_names_a_mission(explorer):
    for mission in MISSIONS:
        assert question_of(f"mission={mission.name}", explorer, 30) == mission.start(explorer)
    with pytest.raises(CdirError, match="to-the-moon"):
        question_of("mission=to-the-moon", explorer, 30)


def test_the_panel_starts_a_mission_and_replies_to_an_answer(explorer, monkeypatch):
    panel = RetrievalPanel(explorer)
    panel.mission.value = "both-ways"
    assert panel.question.direction == ("clipart", "quickdraw") and "exchange the two domains" in panel.task.value
    panel.answer.value = "sideways"
    assert "✗" in panel.reply.value
    (mission,) = (mission for mission in MISSIONS if mission.name == "both-ways")
    panel.answer.value = str(mission.truth(explorer, panel.question))
    assert "✓" in panel.reply.value
    panel.mission.value = ""
    assert panel.task.value == panel.reply.value == panel.answer.value == ""
    monkeypatch.setenv("QUERY_STRING", "mission=half-of-q")
    panel = RetrievalPanel(explorer)
    assert (panel.mission.value, panel.method.value, panel.value.value) == ("half-of-q", "CLIP + Q", 0.0)
