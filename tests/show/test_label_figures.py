"""Figures of pseudo-labels: calibration by hand, and pictures that show the numbers they are given."""

import numpy as np
import pytest
import torch

from cdir_nb.show import labels


def test_bins_and_calibration_error_by_hand():
    sure, right = np.array([0.05, 0.15, 0.25, 0.95, 1.0]), np.array([0, 1, 0, 1, 1], bool)
    table = labels.reliability_bins(sure, right, bins=2)
    np.testing.assert_allclose(table, [[0.15, 1 / 3, 3], [0.975, 1.0, 2]])
    assert labels.calibration_error(sure, right, bins=2) == pytest.approx((3 * (1 / 3 - 0.15) + 2 * 0.025) / 5)


def test_calibration_error_equals_torchmetrics():
    from torchmetrics.functional.classification import binary_calibration_error

    rng = np.random.default_rng(0)
    sure, right = rng.uniform(0.01, 0.99, 500), rng.random(500) < 0.6
    theirs = binary_calibration_error(torch.from_numpy(sure), torch.from_numpy(right.astype(int)), n_bins=10)
    assert labels.calibration_error(sure, right) == pytest.approx(float(theirs), abs=1e-6)


def test_accuracy_at_coverage_takes_the_most_confident_first():
    found = labels.accuracy_at_coverage(np.array([0.2, 0.9, 0.5]), np.array([False, True, False]))
    np.testing.assert_allclose(found, [1, 1 / 2, 1 / 3])


def test_softmax_figure_sorts_each_image_by_itself():
    table = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]])
    ranks, sure = labels.softmax_figure({"scale 1": table}, title="tiny-clip").axes
    np.testing.assert_allclose(ranks.lines[0].get_ydata(), [0.6, 0.25, 0.15])
    assert ranks.lines[1].get_ydata()[0] == pytest.approx(1 / 3)
    assert "confidence" in sure.get_title("left")


def test_reliability_draws_bins_and_coverage_of_each_group():
    sure, right = np.array([0.2, 0.9]), np.array([False, True])
    diagram, coverage = labels.reliability({"real": (sure, right), "sketch": (sure, ~right)}).axes
    assert diagram.lines[1].get_xydata().tolist() == [[0.2, 0], [0.9, 1]]
    assert diagram.lines[1].get_label() == "real (ECE 0.15)"
    assert coverage.lines[0].get_xydata().tolist() == [[0.5, 1], [1, 0.5]]
    assert coverage.lines[1].get_xydata().tolist() == [[0.5, 0], [1, 0.5]]


def test_psi_stands_above_the_scores():
    y = np.linspace(0, 1, 5)
    top, below = labels.psi_figure({"spread 1": (y, y**2)}, {"real": y}, title="psi").axes
    np.testing.assert_allclose(top.lines[0].get_ydata(), y**2)
    assert [text.get_text() for text in below.get_legend().get_texts()] == ["real"]
    assert top.get_xlim() == below.get_xlim()


def test_label_changes_show_before_and_after_and_check_the_true_class(squares):
    classes = ["cat", "light_bulb", "sea_turtle"]
    before, after = np.array([[0.6, 0.3, 0.1]]), np.array([[0.2, 0.7, 0.1]])
    fig = labels.label_changes(squares, [5], before, after, classes, top=2, title="refined")  # row 5: a light bulb
    picture, bars = fig.axes
    assert picture.get_title("left") == "light bulb\nphoto"
    assert [tick.get_text() for tick in bars.get_yticklabels()] == ["✓ light bu…", "cat"]
    assert [bar.get_width() for bar in bars.patches] == [0.3, 0.6, 0.7, 0.2]
    assert bars.get_ylim()[0] > bars.get_ylim()[1]  # the likeliest on top
    missed = labels.label_changes(squares, [5], after[:, [1, 2, 0]], after[:, [1, 2, 0]], classes, top=2).axes[1]
    assert [tick.get_text() for tick in missed.get_yticklabels()] == ["cat", "✓ light bu…"]  # the third likeliest


def test_step_curves_begin_at_step_0_and_share_a_legend():
    fig = labels.step_curves(
        {"with psi": {"real": [1, 2, 3]}, "without": {"real": [1, 4], "sketch": [0, 0]}},
        across="step",
        value="accuracy (%)",
        every=2,
    )
    first, second = fig.axes
    assert first.lines[0].get_xydata().tolist() == [[0, 1], [2, 2], [4, 3]]
    assert first.lines[0].get_color() == second.lines[0].get_color() != second.lines[1].get_color()
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["real", "sketch"]
    assert (first.get_title("left"), first.get_ylabel(), second.get_xlabel()) == ("with psi", "accuracy (%)", "step")
