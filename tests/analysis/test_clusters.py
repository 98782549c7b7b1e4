"""Purity of clusters."""

import numpy as np
import pytest

from cdir_nb.analysis import purity


def test_purity_by_hand():
    clusters = np.array([0, 0, 0, 1, 1, 5])
    labels = np.array(["dog", "dog", "cat", "cat", "cat", "dog"])
    assert purity(clusters, labels) == pytest.approx((2 + 2 + 1) / 6)


def test_purity_ignores_the_names_of_clusters_and_is_one_if_none_mixes():
    labels = np.array(["a", "b", "b", "c"])
    assert purity(np.array([7, 3, 3, 0]), labels) == 1
    assert purity(np.zeros(4, int), labels) == 0.5
