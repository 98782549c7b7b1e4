"""Calibration, coverage and shares, by hand and against torchmetrics and scipy."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from cdir_nb.analysis import probabilities


def test_shares_are_a_softmax_and_evenly_counts_alternatives():
    cosines = np.random.default_rng(0).uniform(-1, 1, 50)
    assert probabilities.shares(cosines, 0.07) == pytest.approx(softmax(cosines / 0.07))
    assert probabilities.evenly(softmax(cosines / 0.07)) == pytest.approx(np.exp(entropy(softmax(cosines / 0.07))))
    assert probabilities.evenly(np.array([0.25] * 4 + [0.0])) == pytest.approx(4)


def test_bins_and_calibration_error_by_hand():
    sure, right = np.array([0.05, 0.15, 0.25, 0.95, 1.0]), np.array([0, 1, 0, 1, 1], bool)
    table = probabilities.reliability_bins(sure, right, bins=2)
    np.testing.assert_allclose(table, [[0.15, 1 / 3, 3], [0.975, 1.0, 2]])
    assert probabilities.calibration_error(sure, right, bins=2) == pytest.approx((3 * (1 / 3 - 0.15) + 2 * 0.025) / 5)


def test_calibration_error_equals_torchmetrics():
    from torchmetrics.functional.classification import binary_calibration_error

    rng = np.random.default_rng(0)
    sure, right = rng.uniform(0.01, 0.99, 500), rng.random(500) < 0.6
    theirs = binary_calibration_error(torch.from_numpy(sure), torch.from_numpy(right.astype(int)), n_bins=10)
    assert probabilities.calibration_error(sure, right) == pytest.approx(float(theirs), abs=1e-6)


def test_accuracy_at_coverage_takes_the_most_confident_first():
    found = probabilities.accuracy_at_coverage(np.array([0.2, 0.9, 0.5]), np.array([False, True, False]))
    np.testing.assert_allclose(found, [1, 1 / 2, 1 / 3])
