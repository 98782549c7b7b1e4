"""Folders in which some panel cannot work: it says so in its place, and the others work."""

import numpy as np
import pytest
import torch
from explorer.drawn_folder import draw_folder

from cdir_nb.data.world import draw
from cdir_nb.explorer import DrawPanel, Explorer, LabelPanel, MapPanel, RetrievalPanel, open_user_folder, show_panel


def open_drawn(root, layout: dict[str, int], encoder="tiny-clip"):
    """A folder of {path of a folder: number of its images}."""
    for folder, number in layout.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for n in range(number):
            draw("guitar" if n % 2 else "tree", "real", 7, hash(folder) % 1000 + n).save(root / folder / f"{n}.png")
    return open_user_folder(root, encoder)


def panels(collection):
    explorer, domains = Explorer(collection), collection.domains
    drawing = DrawPanel(explorer)
    drawing.begin_with(draw("guitar", "quickdraw", 1, 1))
    pair = domains[0], domains[min(4, len(domains) - 1)]
    return RetrievalPanel(explorer), LabelPanel(collection), MapPanel(explorer, pair, 40), drawing


@pytest.mark.parametrize(
    "layout,works",
    [
        ({f"album{n}": 4 for n in range(5)}, {"RetrievalPanel", "DrawPanel"}),
        ({"a": 1}, {"DrawPanel"}),
        ({"photo/guitar": 1}, {"DrawPanel"}),
        ({"photo/guitar": 3, "photo/tree": 3}, {"RetrievalPanel", "LabelPanel", "DrawPanel"}),
        ({"photo/guitar": 3, "photo/zyzzyva": 3, "sketch": 2}, {"RetrievalPanel", "LabelPanel", "DrawPanel"}),
        ({"photo/guitar": 3, "sketch/guitar": 3}, {"RetrievalPanel", "DrawPanel"}),
    ],
)
def test_a_panel_works_or_says_why_not(cache, tmp_path, layout, works):
    for panel in panels(open_drawn(tmp_path, layout)):
        name, figure = type(panel).__name__, show_panel(panel)
        assert panel.message.value
        if name in works:
            assert panel.results.items and not panel.answers.error and panel.box.children != (panel.message,)
        else:
            assert panel.results.items == [] and panel.answers.error
            assert str(panel.answers.error) in "".join(text.get_text() for text in figure.texts)


def test_a_map_of_too_few_images_names_their_number(cache, tmp_path):
    collection = open_drawn(tmp_path, {f"album{n}": 4 for n in range(5)})
    panel = MapPanel(Explorer(collection), ("album0", "album4"), 400)
    assert "album0 and album4 have 8" in panel.message.value and panel.box.children == (panel.message,)


def test_without_a_text_tower_texts_and_labels_say_so(cache, tmp_path):
    collection = open_drawn(tmp_path, {"photo/guitar": 6, "photo/tree": 6}, "mobilenet-v2")
    retrieval, labels, maps, drawing = panels(collection)
    assert retrieval.results.items and drawing.results.items and len(maps.views) == 2
    assert "no text tower" in labels.message.value and labels.box.children == (labels.message,)
    drawing.written("a guitar")
    assert "no text tower" in drawing.message.value and drawing.results.items == []


@pytest.mark.parametrize("noise", [0, 1e-5])
def test_equal_embeddings_are_not_ranked(cache, tmp_path, monkeypatch, noise):
    collection = open_drawn(tmp_path, {"photo/guitar": 6, "photo/tree": 6})
    generator = torch.Generator().manual_seed(0)
    table = 1 + noise * torch.randn(collection.encoder.table.shape, generator=generator)
    monkeypatch.setattr(collection.encoder, "table", table)
    for panel in panels(collection):
        assert panel.results.items == [] and "nearly the same embedding" in panel.message.value


def test_a_class_that_the_encoder_does_not_know_is_not_ranked(cache, tmp_path):
    panel = LabelPanel(open_drawn(tmp_path, {"photo/guitar": 6, "photo/zyzzyva": 6}))
    assert len(panel.results.items) == 10
    panel.label.value = "zyzzyva"
    assert "zyzzyva" in panel.message.value and panel.results.items == []


def test_images_without_labels_are_not_judged_wrong(cache, tmp_path):
    """Every image of a gallery without class folders would count as wrong."""
    panel = RetrievalPanel(Explorer(open_drawn(tmp_path, {"photo/guitar": 3, "photo/tree": 3, "sketch": 4})))
    assert panel.question.direction == ("photo", "sketch")
    assert [tile["kind"] for tile in panel.results.items] == ["plain"] * 4 and "%" not in panel.message.value
    panel.gallery_domain.value = "photo"
    assert {tile["kind"] for tile in panel.results.items} <= {"right", "wrong"} and "%" in panel.message.value


def test_a_file_that_vanishes_is_named_and_the_page_continues(cache, tmp_path):
    collection = open_drawn(tmp_path, {"photo/guitar": 6, "photo/tree": 6})
    panel = RetrievalPanel(Explorer(collection))
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    panel.url_of.cache_clear()
    panel.k.value = 3
    assert "can no longer be read" in panel.message.value and panel.results.items == []


@pytest.fixture(scope="module")
def copied(cache, tmp_path_factory):
    """Three classes; one image of banana as two more files of its class, one of them a BMP, and one of tree."""
    root = draw_folder(tmp_path_factory.mktemp("copied"), ("photo",), ("banana", "guitar", "tree"), 4)
    image = draw("banana", "real", 5, 0)
    for name in ("banana/copy.png", "banana/copy.bmp", "tree/copy.png"):
        image.save(root / "photo" / name)
    (root / "photo" / "banana" / "broken →.jpg").write_bytes(b"no")
    return open_user_folder(root, "tiny-clip")


def test_copies_are_counted_and_marked_and_no_result_of_their_own(copied):
    assert "4 files are the same picture" in copied.summary and "1 of them in two classes" in copied.summary
    assert "broken →.jpg" in copied.summary and "broken →.jpg" in copied.about
    panel = RetrievalPanel(Explorer(copied))
    copies = {key for key in copied.images.keys if "copy" in key} | {"photo/banana/0.png"}
    panel.k.value = 30
    panel.ask(query="photo/guitar/0.png")
    marked = {tile["key"] for tile in panel.results.items if "copy" in tile["note"].splitlines()}
    assert marked == copies and len(panel.results.items) == 14
    panel.ask(query="photo/banana/copy.bmp")
    assert not copies & {tile["key"] for tile in panel.results.items} and len(panel.results.items) == 11


def test_the_mean_leaves_out_each_query_and_its_copies(copied):
    explorer = Explorer(copied)
    question = explorer.start()
    x = torch.nn.functional.normalize(copied.encoder.table, dim=1).numpy().astype(float)
    labels, same = copied.images.labels, copied.images.digests
    group = [copied.row(key) for key in copied.images.keys if "copy" in key or key == "photo/banana/0.png"]
    hits = []
    for query in range(len(same)):
        own = group if query in group else [query]
        others = [row for row in range(len(same)) if row not in own]
        best = sorted(others, key=lambda row: -float(x[query] @ x[row]))[: question.k]
        hits.append(np.mean([labels[row] == labels[query] for row in best]))
    assert explorer.ask(question).average == pytest.approx(np.mean(hits))
