"""Figures of notebook 09: what they draw is what they were given."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation
from PIL import Image

from cdir_nb.data import MetricSpec, Protocol
from cdir_nb.methods.snmpnet import losses
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


def test_a_hidden_role_is_not_drawn(task):
    upper, lower = snmpnet.protocol_grids({"toy": task}, hidden=[["training"], []]).axes
    blue = to_rgb(snmpnet.ROLES["training"])
    assert [any(p.get_facecolor()[:3] == blue for p in ax.patches) for ax in (upper, lower)] == [False, True]
    assert upper.get_title("left") == "toy" and lower.get_title("left") == ""


def test_a_mixture_shows_its_pictures_and_soft_label():
    pictures = tuple(Image.new("RGB", (8, 8), (value, 0, 0)) for value in (10, 20, 30))
    fig = snmpnet.mixture_figure([snmpnet.Mixture(pictures, ("a", "b", "c"), {"cat": 0.7, "light_bulb": 0.3})])
    assert [int(ax.images[0].get_array()[0, 0, 0]) for ax in fig.axes[:3]] == [10, 20, 30]
    assert [bar.get_width() for bar in fig.axes[3].patches] == [0.7, 0.3]


def test_the_step_is_against_the_gradient_of_the_package_s_loss():
    vectors, start = {"dog": (0.9, 0.3), "wolf": (0.2, 0.9), "bus": (-0.9, -0.6)}, (-0.2, -0.9)
    a = torch.tensor(list(vectors.values()))
    for kappa in (0, 8):
        f = torch.tensor([start], requires_grad=True)
        losses.semantic_neighbourhood(f, a[:1], a, kappa).backward()
        expected = -f.grad[0] / f.grad[0].norm()
        (ax,) = snmpnet.neighbourhood_figure(vectors, start, [kappa]).axes
        (arrow,) = [text for text in ax.texts if isinstance(text, Annotation) and text.arrow_patch is not None]
        step = np.subtract(arrow.xy, arrow.xyann)
        assert step / np.linalg.norm(step) == pytest.approx(expected.numpy(), abs=1e-3)


def test_the_map_has_a_panel_per_group_and_a_marker_per_domain():
    points, labels = np.arange(8.0).reshape(4, 2), np.array(["cat", "cat", "dog", "dog"])
    domains = np.array(["sketch", "photo"] * 2)
    fig = snmpnet.four_groups_map(points, labels, domains, {"seen": ["cat"], "unseen": ["dog"]})
    seen = [c.get_offsets().tolist() for c in fig.axes[0].collections if len(c.get_offsets()) == 1]
    assert seen == [[[0, 1]], [[2, 3]]]  # one sketch, one photo of a cat
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["sketch", "photo"]
