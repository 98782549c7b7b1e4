"""Maps show all points with both legends."""

import numpy as np

from cdir_nb.show import maps


def panel_title(ax):
    return ax.get_title("left")


def test_map_figure_shows_all_points_twice_with_both_legends():
    labels, domains = ["cat"] * 20 + ["light_bulb"] * 20, (["real"] * 10 + ["sketch"] * 10) * 2
    fig = maps.map_figure(
        np.random.default_rng(0).normal(size=(40, 2)), labels, domains, title="t-SNE", label_order=["light_bulb", "cat"]
    )
    by_class, by_domain = fig.axes
    assert sum(len(c.get_offsets()) for c in by_class.collections) == 40
    assert [t.get_text() for t in by_class.get_legend().get_texts()] == ["light bulb", "cat"]
    assert [t.get_text() for t in by_domain.get_legend().get_texts()] == ["real", "sketch"]
    assert "class" in by_class.get_title("left") and "domain" in by_domain.get_title("left")


def test_legends_stand_outside_the_maps():
    fig = maps.map_figure(
        np.random.default_rng(0).normal(size=(40, 2)), [f"class {i % 10}" for i in range(40)], ["a", "b"] * 20
    )
    fig.canvas.draw()
    for ax in fig.axes:
        assert ax.get_legend().get_window_extent().y1 <= ax.get_window_extent().y0


def test_domains_have_the_word_that_is_given_and_those_left_out_are_grey():
    points = np.random.default_rng(0).normal(size=(20, 2))
    options = {"domain_order": ["word 1"], "domain_word": "word"}
    ax = maps.map_figure(points, ["cat"] * 20, ["word 1", "word 2"] * 10, **options).axes[1]
    grey, coloured = (c.get_facecolor()[0, :3] for c in ax.collections)
    assert panel_title(ax) == "coloured by word"
    assert grey[0] == grey[1] == grey[2] and len(set(coloured)) > 1
    assert [len(c.get_offsets()) for c in ax.collections] == [10, 10]
