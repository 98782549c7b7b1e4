"""Distances between domains and classes, against cases worked by hand."""

import numpy as np
import pytest

from cdir_nb.analysis import distances

DOMAINS = np.array(["real", "real", "sketch", "sketch"])


LABELS = np.array(["cat", "dog", "cat", "dog"])


EMB = np.array([[2, 0, 0], [0, 3, 0], [0, 0, 1], [0, 0.5, 0]])  # cats part by domain, dogs coincide


def test_centroids_are_means_of_unit_vectors():
    means = distances.centroids(
        np.array([[2.0, 0], [0, 8.0]]), np.array(["real"] * 2), np.array(["cat"] * 2), ["real", "sketch"], ["cat"]
    )
    assert means[0, 0].tolist() == [0.5, 0.5]
    assert np.isnan(means[1, 0]).all()


def test_domain_distance_is_within_a_class_and_class_distance_within_a_domain():
    means = distances.centroids(EMB, DOMAINS, LABELS, ["real", "sketch"], ["cat", "dog"])
    between = distances.domain_distances(means, ["real", "sketch"])
    assert between.loc["real", "real"] == 0
    assert between.loc["real", "sketch"] == pytest.approx(np.sqrt(2) / 2)  # cats sqrt(2) apart, dogs 0
    assert distances.class_distances(means, ["real", "sketch"]).tolist() == pytest.approx([np.sqrt(2)] * 2)


def test_cosine_groups_tell_class_and_domain_apart():
    groups = distances.cosine_groups(EMB, DOMAINS, LABELS, pairs=50, seed=0)
    assert "same class, same domain" not in groups  # one image a cell
    assert set(groups["same class, other domain"].round(6)) == {0.0, 1.0}
    assert set(groups["other class, same domain"]) == {0.0}
    assert all(len(values) <= 50 for values in groups.values())
    again = distances.cosine_groups(EMB, DOMAINS, LABELS, pairs=50, seed=0)
    assert all((again[name] == groups[name]).all() for name in groups)
