from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cdir_nb.show import grids
from cdir_nb.show.style import caption


def patches(fig, gid):
    return [p for p in fig.axes[0].patches if p.get_gid() == gid]


def texts(fig):
    return [t.get_text() for t in fig.axes[0].texts]


def test_thumbnail_shows_the_whole_picture_on_white():
    tile = grids.thumbnail(Image.new("RGB", (20, 10), "red"), 20)
    assert tile.shape == (20, 20, 3)
    assert (tile[10] == [255, 0, 0]).all() and (tile[0] == 255).all()  # padded above, not cropped at the sides


def test_pick_cells_takes_each_domain_and_class_from_its_seed(squares):
    cells = grids.pick_cells(squares, ["sketch", "photo"], ["sea_turtle", "cat"], seed=1)
    assert squares.domains[cells].tolist() == [["sketch", "sketch"], ["photo", "photo"]]
    assert squares.labels[cells].tolist() == [["sea_turtle", "cat"]] * 2
    assert (cells == grids.pick_cells(squares, ["sketch", "photo"], ["sea_turtle", "cat"], seed=1)).all()


def test_a_repeated_class_gets_another_image_each_time(squares):
    cells = grids.pick_cells(squares, ["photo"], ["cat"] * 7, seed=0)
    assert sorted(cells[0]) == [-1, -1, 0, 1, 2, 3, 4]  # five cats, and two cells that stay empty
    fig = grids.contact_sheet(squares, ["photo"], ["cat"] * 5)
    assert {t.get_text() for t in fig.axes[0].get_xticklabels()} == {""}


def test_an_empty_cell_stays_white(squares):
    cells = grids.pick_cells(squares, ["photo"], ["cat", "zebra"], seed=0)
    assert cells[0, 1] == -1
    sheet = grids.mosaic(squares, cells, size=20, pad=4)
    assert sheet.shape == (24, 48, 3)
    assert (sheet[:, 24:] == 255).all() and not (sheet[:, :20] == 255).all()


def test_contact_sheet_is_labelled_with_domains_and_classes(squares):
    fig = grids.contact_sheet(squares, ["photo", "sketch"], ["cat", "light_bulb", "sea_turtle"], columns=2, title="T")
    assert len(fig.axes) == 2  # two blocks: two classes, then one
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["cat", "light bulb"]
    assert [t.get_text() for t in fig.axes[1].get_xticklabels()] == ["sea turtle"]
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["photo", "sketch"]
    assert fig._suptitle.get_text() == "T"


def test_the_credit_of_the_domains_that_are_shown_stands_below_the_grid(squares, in_order):
    squares = replace(squares, credits={"sketch": "Ann (CC BY-SA 4.0)"})
    photo, sketch = squares.select("photo"), squares.select("sketch")
    probabilities = np.full((1, 3), 1 / 3)
    with_sketches = [
        grids.contact_sheet(squares, ["photo", "sketch"], ["cat"], title="T"),
        grids.ranked_grid(photo, sketch, in_order, [0], k=3, title="T"),
        grids.ranked_grid(sketch, photo, in_order, [0], k=3, title="T"),
        grids.labelled_images(squares, [0, 29], ["a", "b"], title="T"),
        grids.image_rows(squares, {"cat": [0, 15]}, title="T"),
        grids.label_changes(squares, [29], probabilities, probabilities, ["a", "b", "c"], title="T"),
    ]
    assert all(caption(fig).endswith(" · Pictures: Ann (CC BY-SA 4.0)") for fig in with_sketches)
    without = [
        grids.contact_sheet(squares, ["photo"], ["cat"]),
        grids.ranked_grid(photo, photo, in_order, [0], k=3),
        grids.labelled_images(squares, [0], ["a"]),
    ]
    assert {caption(fig) for fig in without} == {""}


def test_ranked_grid_marks_right_and_wrong_by_more_than_colour(squares, in_order):
    query, gallery = squares.select("sketch"), squares.select("photo")
    fig = grids.ranked_grid(query, gallery, in_order, [0, 6], k=7)  # a cat: 5 right of 7; a light bulb: 2 of 7
    right, wrong = patches(fig, "right"), patches(fig, "wrong")
    assert (len(right), len(wrong)) == (5 + 2, 2 + 5)
    assert {p.get_linestyle() for p in right}.isdisjoint({p.get_linestyle() for p in wrong})
    assert sum(t.startswith("✓") for t in texts(fig)) == 7 and sum(t.startswith("✗") for t in texts(fig)) == 7


def test_ranked_grid_says_query_score_and_wrong_class(squares, in_order):
    fig = grids.ranked_grid(squares.select("sketch"), squares.select("photo"), in_order, [6], k=6)
    assert texts(fig)[0] == "query: light bulb\n1 of 6 right"
    assert texts(fig)[1] == "✗ 1.00\ncat"
    assert texts(fig)[6] == f"✓ {in_order.scores[0, 5]:.2f}\n"


def test_ranked_grid_shows_the_images_of_the_ranking(squares, in_order):
    in_order.indices = in_order.indices[:, ::-1]
    fig = grids.ranked_grid(squares.select("sketch"), squares.select("photo"), in_order, [2], k=3)
    reds = [image.get_array().reshape(-1, 3)[:, 0].min() for image in fig.axes[0].images]
    assert reds == [15 + 2, 14, 13, 12]  # the query is row 17 of all, then the gallery from its end
    lefts = [image.get_extent()[0] for image in fig.axes[0].images]
    assert lefts[0] == 0 and lefts[1] > 1.1 and lefts == sorted(lefts)  # the query stands apart, on the left


def test_k_beyond_the_gallery_is_cut_to_what_was_ranked(squares, in_order):
    fig = grids.ranked_grid(squares.select("sketch"), squares.select("photo"), in_order, [0], k=99)
    assert len(fig.axes[0].images) == 1 + 15
    assert texts(fig)[0].endswith("5 of 15 right")


def test_image_rows_puts_each_row_s_images_beside_its_name(squares):
    fig = grids.image_rows(squares, {"first": [0, 1], "second": [2, 3]})
    (ax,) = fig.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"]
    sheet = ax.images[0].get_array()
    size = sheet.shape[1] // 2 - 4
    for (r, c), row in {(0, 0): 0, (0, 1): 1, (1, 0): 2, (1, 1): 3}.items():
        part = sheet[r * (size + 4) :][:size, c * (size + 4) :][:, :size]
        assert np.array_equal(part, grids.thumbnail(squares.image(row), size))


def test_picture_row_writes_its_notes(squares):
    fig = grids.labelled_images(squares, [0, 3], ["one", "two"])
    assert texts(fig) == ["one", "two"] and len(fig.axes[0].images) == 2


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.medium
def test_no_text_of_a_ranked_grid_leaves_the_figure(squares, in_order, count):
    fig = grids.ranked_grid(squares.select("sketch"), squares.select("photo"), in_order, range(count), k=10, title="T")
    fig.canvas.draw()
    box = fig.bbox.padded(2)
    for text in fig.axes[0].texts:
        extent = text.get_window_extent()
        assert box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1
    assert np.isfinite(fig.get_size_inches()).all()


def test_strips_show_each_rank_and_the_precision_at_hits():
    fig = grids.rank_strips({"one": [False, True, True], "two": [True, False, False]})
    assert texts(fig) == ["one", "✗", "✓\n1/2", "✓\n2/3", "two", "✓\n1/1", "✗", "✗"]
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["rank 1", "rank 2", "rank 3"]


def test_label_changes_show_before_and_after_and_check_the_true_class(squares):
    classes = ["cat", "light_bulb", "sea_turtle"]
    before, after = np.array([[0.6, 0.3, 0.1]]), np.array([[0.2, 0.7, 0.1]])
    fig = grids.label_changes(squares, [5], before, after, classes, top=2, title="refined")  # row 5: a light bulb
    picture, bars = fig.axes
    assert picture.get_title("left") == "light bulb\nphoto"
    assert [tick.get_text() for tick in bars.get_yticklabels()] == ["✓ light bu…", "cat"]
    assert [bar.get_width() for bar in bars.patches] == [0.3, 0.6, 0.7, 0.2]
    assert bars.get_ylim()[0] > bars.get_ylim()[1]  # the likeliest on top
    missed = grids.label_changes(squares, [5], after[:, [1, 2, 0]], after[:, [1, 2, 0]], classes, top=2).axes[1]
    assert [tick.get_text() for tick in missed.get_yticklabels()] == ["cat", "✓ light bu…"]  # the third likeliest


def test_compared_grid_has_a_row_for_each_method_of_each_query(squares, in_order):
    query, gallery = squares.select("sketch"), squares.select("photo")
    backwards = SimpleNamespace(indices=in_order.indices[:, ::-1], scores=in_order.scores)
    fig = grids.compared_grid(query, gallery, {"CLIP": in_order, "TKI": backwards}, [0], k=2)
    assert [text for text in texts(fig) if "of 2 right" in text] == ["CLIP\n2 of 2 right", "TKI\n0 of 2 right"]
    assert len(patches(fig, "right")) == len(patches(fig, "wrong")) == 2
