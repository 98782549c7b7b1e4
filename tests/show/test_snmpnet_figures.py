"""Figures of notebook 08: what they draw is what they were given."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from cdir_nb.data import MetricSpec, Protocol
from cdir_nb.show import snmpnet


@pytest.fixture
def task(squares) -> Protocol:
    """Sketches of sea turtles find photos: all of sea turtles, and a fifth of cats, which are trained on."""
    metric = MetricSpec(kind="precision", k=3, convention="hits_over_k", paper="", known="our default")
    names = (("cat",), ("sea_turtle",), ("sea_turtle",), ("cat", "sea_turtle"), ("photo",), (("sketch", "photo"),))
    rest = {"validation": ("light_bulb",), "gallery_fractions": {"cat": 0.2}}
    return Protocol("toy", "toy", "", "", True, *names, (metric,), squares, **rest)


def test_a_grid_shows_what_is_trained_on_asked_and_searched(task):
    ax = snmpnet.protocol_grids({"toy": task}).axes[0]
    drawn = {
        (p.get_facecolor()[:3], round(p.get_x()), round(p.get_y())): p.get_width()
        for p in ax.patches
        if p.get_facecolor()[:3] != to_rgb("#F1F1F1")
    }
    training, queries, gallery = (to_rgb(snmpnet.ROLES[role]) for role in ("training", "queries", "gallery"))
    assert drawn == {  # photo is column 0; rows: training, validation, unseen
        (training, 0, 0): pytest.approx(0.92),
        (gallery, 0, 0): pytest.approx(0.92 * 0.2),
        (gallery, 0, 2): pytest.approx(0.92),
        (queries, 1, 2): pytest.approx(0.92),
    }
    assert [tick.get_text() for tick in ax.get_yticklabels()][1] == "1 validation classes"


def test_a_mixture_shows_its_pictures_and_soft_label():
    pictures = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (10, 20, 30)]
    fig = snmpnet.mixture_figure(pictures, ["a", "b", "c"], {"cat": 0.7, "light_bulb": 0.3})
    assert [int(ax.images[0].get_array()[0, 0, 0]) for ax in fig.axes[:3]] == [10, 20, 30]
    assert [bar.get_width() for bar in fig.axes[3].patches] == [0.7, 0.3]


def test_distances_share_one_scale():
    small, large = (pd.DataFrame(np.full((2, 2), value), ["x", "y"], ["x", "y"]) for value in (1.0, 5.0))
    fig = snmpnet.neighbourhoods({"wanted": small, "after": large})
    assert {ax.images[0].get_clim() for ax in fig.axes[:2]} == {(0, 5.0)}


def test_unseen_classes_are_crosses_with_bold_names():
    points, labels = np.arange(8.0).reshape(4, 2), np.array(["cat", "cat", "dog", "dog"])
    ax = snmpnet.universal_map(points, labels, labels == "dog", ["cat", "dog"]).axes[0]
    weights = {text.get_text(): text.get_weight() for text in ax.texts}
    assert weights["dog"] == "bold" and weights["cat"] != "bold" and len(ax.collections) == 2


def test_names_of_classes_at_one_place_do_not_cover_each_other():
    points, labels = np.array([[0.0, 0.0]] * 4 + [[9.0, 9.0]]), np.array(["cat", "dog", "elephant", "fox", "far"])
    fig = snmpnet.universal_map(points, labels, labels == "dog", labels.tolist(), title="t-SNE")
    fig.canvas.draw()
    boxes = [text.get_window_extent() for text in fig.axes[0].texts]
    assert len(boxes) == 5 and not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert fig.axes[0].texts[0].get_position() == pytest.approx((0, 0), abs=1e-6)
