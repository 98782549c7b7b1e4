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


def way(*fractions: float) -> clair.Way:
    start = np.array([(0, 0), (0, 2), (4, 4)], float)
    labels = np.array(["cat", "cat", "sea_turtle"])
    moved = {t: start + [2 * t, 0] for t in fractions}
    curves = {"sketch → photo": [1.0, 3.0, 2.0], "mean": [0.0, 1.0, 2.0]}
    return clair.Way("sketch", "photo", moved, start, start + [2, 0], labels, labels, [0, 0.5, 1], curves)


def test_way_figure_links_the_class_means_of_the_two_domains():
    fig = clair.geodesic_figure([way(0, 0.5), way(0, 0.5)], value="P@10 (%)")
    maps = fig.axes[:2]
    links = [
        [line.get_xydata().tolist() for line in ax.lines if line.get_label() in ("cat", "sea turtle")] for ax in maps
    ]
    assert links[0] == [[[0, 1], [2, 1]], [[4, 4], [6, 4]]]
    assert links[1] == [[[1, 1], [2, 1]], [[5, 4], [6, 4]]]
    rings = [line.get_xydata().tolist() for line in maps[1].lines if line.get_markerfacecolor() == "none"]
    assert rings[:2] == [[[0, 1]], [[4, 4]]]  # where the discs were at the identity
    assert [ax.get_title("left") for ax in maps] == ["identity", "50 % of the way"]
    assert len(fig.axes) == 6 and maps[0].get_xlim() == maps[1].get_xlim()  # else a turn could not be seen
    assert sum(len(c.get_offsets()) for c in maps[1].collections) == 6


def test_way_figure_marks_where_it_stands_on_its_curves():
    ax = clair.geodesic_figure([way(0.3)], value="P@10 (%)").axes[1]
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[1, 3, 2], [0, 1, 2]]
    assert ax.lines[2].get_xdata()[0] == pytest.approx(0.3) and ax.get_title("left") == "P@10 (%)"
    assert [line.get_label() for line in ax.lines[:2]] == ["this direction", "mean"]
