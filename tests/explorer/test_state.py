"""Links that restore a state, and exports of what is shown."""

import base64
import csv
import io
import re
from dataclasses import replace

import pytest
from explorer.drawn_folder import draw_folder

from cdir_nb.errors import CdirError
from cdir_nb.explorer import Explorer, RetrievalPanel, open_user_folder
from cdir_nb.explorer.state import link_of, question_of


@pytest.fixture(scope="module")
def explorer(cache, tmp_path_factory):
    root = draw_folder(tmp_path_factory.mktemp("state") / "mine", ("photo", "sketch"), ("dog", "tree"), 3)
    return Explorer(open_user_folder(root, "tiny-clip"))


def test_a_link_restores_the_question(explorer):
    name = next(name for name, method in explorer.methods.items() if method.slider)
    value = explorer.methods[name].slider.values[-1]
    question = replace(explorer.start(), method=name, query="sketch/tree/1.png", query_domain="sketch",
                       gallery_domain="photo", k=3, value=value)  # fmt: skip
    link = link_of(question, explorer)
    assert link.startswith("?") and " " not in link and "encoder=tiny-clip" in link
    assert question_of(link[1:], explorer, 30) == question
    assert question_of("", explorer, 30) == explorer.start()


@pytest.mark.parametrize("link", ["k=31", "k=x", "query=none.png", "encoder=real-clip", "query_domain=moon", "value=7"])
def test_what_the_page_does_not_have_is_named(explorer, link):
    with pytest.raises(CdirError, match=link.partition("=")[2]):
        question_of(link, explorer, 30)


def test_the_page_starts_from_its_address_and_exports_what_it_shows(explorer, monkeypatch):
    monkeypatch.setenv("QUERY_STRING", "query=sketch%2Ftree%2F1.png&query_domain=sketch&gallery_domain=photo&k=4")
    panel = RetrievalPanel(explorer)
    assert (panel.question.query, panel.k.value, panel.query_domain.value) == ("sketch/tree/1.png", 4, "sketch")
    table, sheet = (base64.b64decode(data).decode() for data in re.findall('base64,([^"]+)', panel.exports.value))
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["file"] for row in rows] == [tile["key"] for tile in panel.results.items] and len(rows) == 4
    assert sheet.count("<img") == 4 and "sketch → photo" in sheet
    panel.k.value = 2
    assert "k=2" in panel.exports.value
    monkeypatch.setenv("QUERY_STRING", "encoder=real-clip")
    panel = RetrievalPanel(explorer)
    assert "real-clip" in panel.message.value and panel.results.items
