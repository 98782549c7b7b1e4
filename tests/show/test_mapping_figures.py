"""Figures of Q: they show the numbers that they are given, and each domain where it is."""

import numpy as np
import pytest

from cdir_nb.show import mapping


def test_rotation_figure_shows_entries_angles_and_what_is_known():
    q = np.diag([1.0, -1.0, 1.0])
    fig = mapping.rotation_figure(q, np.array([90.0, 20.0]), np.array([8.0, 2.0, 0.0]), 2, title="real to sketch")
    entries, angles, values = fig.axes[:3]
    np.testing.assert_array_equal(entries.images[0].get_array(), q)
    assert entries.images[0].get_clim() == (-1, 1)
    assert [bar.get_height() for bar in angles.patches] == [90, 20]
    assert list(values.lines[0].get_ydata()[:2]) == [8, 2] and values.lines[0].get_ydata()[2] > 0  # logarithmic
    assert values.lines[1].get_xdata()[0] == 2.5 and "2 of 3 known" in values.get_title("left")


def test_main_axes_are_those_of_the_greatest_spread():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 5)) * [0.1, 3.0, 0.1, 1.0, 0.1] + [0, 0, 0, 0, 50]
    axes = mapping.main_axes(rows[:50], rows[50:])
    assert axes.shape == (5, 2)
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-5)
    assert abs(axes[1, 0]) > 0.95 and abs(axes[3, 1]) > 0.95


def domain(name: str, *points: tuple[float, float]) -> mapping.FlatDomain:
    return mapping.FlatDomain(name, np.array(points, float), np.array(["cat", "cat", "sea_turtle"]))


def test_way_figure_links_the_class_means_of_the_two_domains():
    before, now = domain("sketch", (0, 0), (0, 2), (4, 4)), domain("sketch", (1, 0), (1, 2), (5, 4))
    fixed = domain("real", (2, 0), (2, 2), (6, 4))
    fig = mapping.way_figure(before, now, fixed, {"mean": [1.0, 3.0, 2.0]}, [0, 0.5, 1], 0.5, value="P@10 (%)")
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
    fig = mapping.way_figure(one, one, one, {"mean": [1.0, 3.0], "all": [0.0, 1.0]}, [0, 1], 0.3, value="P@10 (%)")
    ax = fig.axes[2]
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[1, 3], [0, 1]]
    assert ax.lines[2].get_xdata()[0] == pytest.approx(0.3) and ax.get_ylabel() == "P@10 (%)"
    assert [text.get_text() for text in fig.legends[0].get_texts()][-2:] == ["mean", "all"]
