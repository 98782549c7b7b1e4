"""Controls without a browser: a test sets the values of widgets, as a user would."""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cdir_nb.explorer import DrawPanel, LabelPanel, MapPanel, RetrievalPanel, show_panel
from cdir_nb.explorer.grid import data_url


def keys(grid) -> list[str]:
    return [tile["key"] for tile in grid.items]


@pytest.fixture
def panel(explorer):
    explorer.methods.pop("TKI", None)  # its training is tested with TKI
    return RetrievalPanel(explorer)


def test_a_slider_changes_the_grid(panel):
    assert len(panel.results.items) == 10
    panel.k.value = 3
    assert len(panel.results.items) == 3 and "P@3" in panel.message.value


def test_a_slider_appears_with_the_method_that_has_one(panel):
    assert panel.value.layout.display == "none"
    panel.method.value = "CLIP + Q"
    assert panel.value.layout.display == "" and panel.value.description == "strength of Q" and panel.value.value == 1.0
    panel.value.value = 0.0
    at_zero = keys(panel.results)
    panel.method.value = "vanilla CLIP"
    assert keys(panel.results) == at_zero and panel.value.layout.display == "none"


def test_a_second_method_answers_the_same_question_below_the_first(panel):
    panel.compared.value = "CLIP + Q"
    alone = RetrievalPanel(panel.explorer)
    alone.method.value = "CLIP + Q"
    assert keys(panel.compared_results) == keys(alone.results) and "CLIP + Q" in panel.compared_message.value
    panel.k.value = 3
    assert len(panel.compared_results.items) == len(panel.results.items) == 3 and "vanilla CLIP" in panel.message.value
    clicked = keys(panel.compared_results)[1]
    panel.compared_results.clicked = {"key": clicked, "times": 1}
    assert "<b>Rank 2:" in panel.explanation.value
    panel.take.click()
    assert panel.question.query == clicked and panel.question.method == "vanilla CLIP"
    panel.compared.value = "nothing"
    assert panel.compared_results.items == []


def test_a_clicked_result_is_explained_becomes_the_query_and_back_returns(panel):
    before = panel.question
    assert panel.take.layout.display == "none"
    clicked = panel.results.items[2]["key"]
    panel.results.clicked = {"key": clicked, "times": 1}
    found = panel.explorer.explain(before, clicked)
    assert f"Rank {found.rank}" in panel.explanation.value and f"{found.score:.3f}" in panel.explanation.value
    assert found.rank == 3 and panel.question == before and panel.take.layout.display == ""
    panel.take.click()
    assert panel.explanation.value == "" and panel.take.layout.display == "none"
    assert panel.question.query == clicked
    assert panel.question.direction == before.direction[::-1] == (panel.query_domain.value, panel.gallery_domain.value)
    assert [tile["key"] for tile in panel.queries.items if tile["kind"] == "chosen"] == [clicked]
    panel.back.click()
    assert panel.question == before and panel.back.disabled


def test_a_thumbnail_chooses_the_query_and_a_button_shows_other_queries(panel):
    panel.queries.clicked = {"key": panel.queries.items[4]["key"], "times": 1}
    assert panel.question.query == panel.queries.items[4]["key"] and panel.queries.items[4]["kind"] == "chosen"
    before = keys(panel.queries)
    panel.more.click()
    assert keys(panel.queries) != before and len(keys(panel.queries)) == len(set(keys(panel.queries)))


def test_every_tile_has_a_text_for_its_judgement(panel):
    for tile in panel.results.items:
        assert tile["alt"].endswith(tile["kind"]) and tile["kind"] in ("right", "wrong")
        assert tile["note"].startswith("✓" if tile["kind"] == "right" else "✗")


@pytest.mark.parametrize("size", [(400, 100), (30, 90), (64, 64), (1, 500)])
def test_tiles_have_the_shape_of_the_image(size):
    content = base64.b64decode(data_url(Image.new("RGB", size)).partition(",")[2])
    width, height = Image.open(io.BytesIO(content)).size
    assert max(width, height) == 96
    assert width / height == pytest.approx(size[0] / size[1], rel=0.06) or min(width, height) == 1


def test_every_value_of_every_menu_and_slider_has_an_answer(panel):
    for name in ("method", "query_domain", "gallery_domain", "gallery", "value", "temperature", "compared"):
        control = getattr(panel, name)
        for option in control.options:
            control.value = option[1] if isinstance(option, tuple) else option
            assert len(panel.results.items) == 10 and "<br>" in panel.message.value


def strokes() -> Image.Image:
    picture = Image.new("RGBA", (320, 320), (0, 0, 0, 0))
    ImageDraw.Draw(picture).line([(40, 40), (280, 250), (60, 200)], fill="black", width=3)
    return picture


def test_a_drawing_is_ranked_and_an_empty_canvas_has_a_message(explorer):
    panel = DrawPanel(explorer)
    assert "canvas is empty" in panel.message.value and panel.results.items == []
    panel.canvas.replace_with_pil(strokes())
    assert len(panel.results.items) == 10 and "ranked in" in panel.message.value
    panel.canvas.replace_with_pil(Image.new("RGBA", (320, 320), (0, 0, 0, 0)))
    assert "canvas is empty" in panel.message.value and panel.results.items == []
    panel.gallery_domain.value = "sketch"  # without a drawing
    assert "canvas is empty" in panel.message.value


def test_a_first_drawing_is_not_part_of_the_canvas_which_clear_would_restore(explorer):
    panel = DrawPanel(explorer)
    blank = panel.canvas.base64
    panel.begin_with(strokes())
    assert len(panel.results.items) == 10 and panel.canvas.base64 == blank


def test_an_image_file_is_a_query_and_a_bad_file_is_refused(explorer, collection):
    panel = DrawPanel(explorer)
    panel.gallery_domain.value = collection.images.domains[3]
    panel.loaded(as_bytes(collection.images.image(3), "BMP"))
    assert keys(panel.results)[0] == collection.images.keys[3]  # other bytes
    path, _ = collection.images.load.files[collection.images.keys[3]]
    panel.loaded(path.read_bytes())
    assert collection.images.keys[3] not in keys(panel.results) and "1 image is left out" in panel.message.value
    panel.loaded(b"not an image")
    assert "not an image" in panel.message.value and panel.results.items == []


def as_bytes(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("colour", ["white", "black", (0, 0, 0, 0), (90, 120, 200, 255)])
def test_a_blank_file_is_answered_by_a_line(explorer, colour):
    panel = DrawPanel(explorer)
    panel.loaded(as_bytes(Image.new("RGBA", (80, 60), colour)))
    assert "blank" in panel.message.value and panel.results.items == [] and panel.preview.value == ""
    panel.k.value = 3
    assert "blank" in panel.message.value and panel.results.items == []
    panel.canvas.replace_with_pil(strokes())
    assert len(panel.results.items) == 3 and "blank" not in panel.message.value


@pytest.mark.parametrize("text,named", [("  ", "empty"), ("a flibbertigibbet", "flibbertigibbet"), ("🎸 日本", "日本")])
def test_a_text_that_says_nothing_is_answered_by_a_line(explorer, text, named):
    panel = DrawPanel(explorer)
    panel.text.value = "a guitar"
    assert len(panel.results.items) == 10
    panel.text.value = text
    assert named in panel.message.value and panel.results.items == []
    assert named in " ".join(text.get_text() for text in panel.figure().texts)


def test_the_line_follows_the_field_that_changed_last(explorer):
    panel = DrawPanel(explorer)
    panel.text.value = "a guitar"
    panel.text.value = ""
    assert "text is empty" in panel.message.value and panel.results.items == []
    panel.text.value = "a guitar"
    panel.canvas.replace_with_pil(strokes())
    assert "drawing →" in panel.message.value and panel.text.value == ""
    panel.text.value = "a guitar"  # the same text is a change again
    assert "“a guitar”" in panel.message.value and panel.preview.value == ""


def test_names_with_markup_are_shown_as_they_are(explorer):
    panel = DrawPanel(explorer)
    panel.answers.show("<b>&", "a<br>b")
    assert "><b>&lt;b&gt;&amp;</b><br>a<br>b<" in panel.message.value


def test_a_text_is_a_query(explorer):
    panel = DrawPanel(explorer)
    panel.text.value = "a guitar"
    assert "“a guitar”" in panel.message.value and len(panel.results.items) == 10


def test_a_label_panel_follows_its_sliders(collection):
    panel = LabelPanel(collection)
    panel.label.value, panel.step.value = "tree", 0
    assert "tree" in panel.message.value and "0 refinement steps" in panel.message.value


def test_a_selection_shows_its_images_and_what_the_first_one_finds(explorer, monkeypatch):
    monkeypatch.setattr("cdir_nb.explorer.map_panel.project", lambda emb, method, seed: np.asarray(emb)[:, :2])
    panel = MapPanel(explorer, ("photo", "sketch"), size=20)
    left, right = (view.scatter.widget for view in panel.views)
    left.selection = np.array([4, 1])
    images = explorer.collection.images
    assert keys(panel.selected) == [images.keys[panel.maps.rows[point]] for point in (4, 1)]
    assert list(right.selection) == [4, 1]
    answer = explorer.ask(panel.question(panel.maps.rows[4]))
    assert keys(panel.results) == [images.keys[row] for row in answer.rows]
    right.selection = np.array([2])
    assert list(left.selection) == [2] and keys(panel.selected) == [images.keys[panel.maps.rows[2]]]
    before = panel.message.value
    panel.views[0].method.value = "CLIP + Q"
    assert "CLIP + Q" in panel.message.value != before
    left.selection = np.array([], dtype=int)
    assert panel.selected.items == panel.results.items == [] and "lasso" in panel.message.value


@pytest.mark.parametrize("headless", ["1", "0"])
def test_a_figure_in_headless_runs_and_the_widget_otherwise(panel, monkeypatch, headless):
    shown = []
    monkeypatch.setenv("CDIR_HEADLESS", headless)
    monkeypatch.setattr("cdir_nb.explorer.controls.display", shown.append)
    fig = show_panel(panel)
    assert shown == [fig if headless == "1" else panel.box]
    assert sum(patch.get_gid() in ("right", "wrong") for patch in fig.axes[0].patches) == 10


def test_a_folder_has_no_missions(panel):
    assert panel.missions == {} and panel.mission not in panel.box.children[0].children[0].children
