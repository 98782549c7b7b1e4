"""Figures of how methods work: what they draw is what they were given, in the place it belongs to."""

import numpy as np
import pytest
from matplotlib.text import Annotation
from scipy.special import softmax

from cdir_nb.show import clair


def arrow_directions(fig):
    """For each panel, the x-direction of its arrow."""
    return [np.sign(text.xy[0] - text.xyann[0]) for ax in fig.axes for text in ax.texts if isinstance(text, Annotation)]


def test_the_image_moves_to_its_positive_and_memories_show_their_weight():
    angles = {"image": 90, "positive": 30, "near": 120}  # the positive is on the right
    fig = clair.pull_figure(angles, [0.1, 1.0])
    assert arrow_directions(fig) == [1, 1]
    mirrored = {"image": 90, "positive": 150, "near": 60}
    assert arrow_directions(clair.pull_figure(mirrored, [0.1])) == [-1]
    expected = softmax(np.cos(np.radians([60, 30])) / 0.1)
    texts = " ".join(text.get_text() for text in fig.axes[0].texts)
    assert all(f"{100 * weight:.0f} %" in texts for weight in expected)


def test_arrows_come_from_the_memories_that_the_mask_names():
    mask = np.array([[True, True, False], [False] * 3, [False] * 3])
    columns = {"own": (mask, "memories of A", False), "other": (mask, "memories of B", True)}
    fig = clair.mask_figure(columns, ["dog", "dog", "bus"])
    own, other = ([text for text in ax.texts if isinstance(text, Annotation)] for ax in fig.axes[:2])
    assert [text.xyann for text in own] == [(1, 0)]  # its own memory is named in words
    assert [text.xyann for text in other] == [(0, -1.2), (1, -1.2)]
    assert sum(text.get_text() == "pulls" for text in fig.axes[2].texts) == 2


def test_rotation_figure_shows_turned_axes_angles_and_what_is_known():
    q = np.diag([1.0, -1.0, 1.0])
    fig = clair.rotation_figure(q, np.array([90.0, 20.0]), np.array([8.0, 2.0, 0.0]), 2, title="real to sketch")
    turned, angles, values = fig.axes[:3]
    assert [bar.get_height() for bar in turned.patches] == [2, *[0] * 16, 1]  # by 0 and by 180 degrees
    assert [bar.get_height() for bar in angles.patches] == [90, 20]
    assert list(values.lines[0].get_ydata()[:2]) == [8, 2] and values.lines[0].get_ydata()[2] > 0  # logarithmic
    assert values.lines[1].get_xdata()[0] == 2.5 and "2 of 3 determined" in values.get_title("left")


def domain(name: str, *points: tuple[float, float]) -> clair.FlatDomain:
    return clair.FlatDomain(name, np.array(points, float), np.array(["cat", "cat", "sea_turtle"]))


def test_way_figure_links_the_class_means_of_the_two_domains():
    before, now = domain("sketch", (0, 0), (0, 2), (4, 4)), domain("sketch", (1, 0), (1, 2), (5, 4))
    fixed = domain("real", (2, 0), (2, 2), (6, 4))
    fig = clair.geodesic_figure(before, now, fixed, {"mean": [1.0, 3.0, 2.0]}, [0, 0.5, 1], 0.5, value="P@10 (%)")
    links = [
        [line.get_xydata().tolist() for line in ax.lines if line.get_label() in ("cat", "sea turtle")]
        for ax in fig.axes[:2]
    ]
    assert links[0] == [[[0, 1], [2, 1]], [[4, 4], [6, 4]]]
    assert links[1] == [[[1, 1], [2, 1]], [[5, 4], [6, 4]]]
    assert [ax.get_title("left") for ax in fig.axes[:2]] == ["identity", "50 % of the way to Q"]
    assert fig.axes[0].get_xlim() == fig.axes[1].get_xlim()  # else a turn could not be seen
    drawn = sum(len(c.get_offsets()) for c in fig.axes[1].collections)
    assert drawn == 6


def test_way_figure_marks_where_it_stands_on_its_curves():
    one = domain("sketch", (0, 0), (0, 2), (4, 4))
    fig = clair.geodesic_figure(one, one, one, {"mean": [1.0, 3.0], "all": [0.0, 1.0]}, [0, 1], 0.3, value="P@10 (%)")
    ax = fig.axes[2]
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[1, 3], [0, 1]]
    assert ax.lines[2].get_xdata()[0] == pytest.approx(0.3) and ax.get_ylabel() == "P@10 (%)"
    assert [text.get_text() for text in fig.legends[0].get_texts()][-2:] == ["mean", "all"]
