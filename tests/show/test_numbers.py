"""gap.py and failures.py: the numbers behind the pictures, against cases worked by hand."""

import numpy as np
import pytest

from cdir_nb.show import failures, gap

DOMAINS = np.array(["real", "real", "sketch", "sketch"])
LABELS = np.array(["cat", "dog", "cat", "dog"])
EMB = np.array([[2, 0, 0], [0, 3, 0], [0, 0, 1], [0, 0.5, 0]])  # cats part by domain, dogs coincide


def test_centroids_are_means_of_unit_vectors():
    means = gap.centroids(
        np.array([[2.0, 0], [0, 8.0]]), np.array(["real"] * 2), np.array(["cat"] * 2), ["real", "sketch"], ["cat"]
    )
    assert means[0, 0].tolist() == [0.5, 0.5]
    assert np.isnan(means[1, 0]).all()


def test_domain_distance_is_within_a_class_and_class_distance_within_a_domain():
    means = gap.centroids(EMB, DOMAINS, LABELS, ["real", "sketch"], ["cat", "dog"])
    between = gap.domain_distances(means, ["real", "sketch"])
    assert between.loc["real", "real"] == 0
    assert between.loc["real", "sketch"] == pytest.approx(np.sqrt(2) / 2)  # cats sqrt(2) apart, dogs 0
    assert gap.class_distances(means, ["real", "sketch"]).tolist() == pytest.approx([np.sqrt(2)] * 2)


def test_cosine_groups_tell_class_and_domain_apart():
    groups = gap.cosine_groups(EMB, DOMAINS, LABELS, pairs=50, seed=0)
    assert "same class, same domain" not in groups  # one image a cell
    assert set(groups["same class, other domain"].round(6)) == {0.0, 1.0}
    assert set(groups["other class, same domain"]) == {0.0}
    assert all(len(values) <= 50 for values in groups.values())
    again = gap.cosine_groups(EMB, DOMAINS, LABELS, pairs=50, seed=0)
    assert all((again[name] == groups[name]).all() for name in groups)


def test_confusion_rows_are_shares_of_the_results():
    indices = np.array([[0, 1, 2], [2, 1, 0]])
    gallery = np.array(["cat", "dog", "owl"])
    table = failures.confusion_table(indices, np.array(["cat", "cat"]), gallery, ["cat", "dog", "owl"], k=2)
    assert table.loc["cat"].tolist() == [25, 50, 25]
    assert table.loc["dog"].isna().all()
    assert failures.top_confusions(table, 1) == [("cat", "dog", 50.0)]
    assert len(failures.top_confusions(table, 9)) == 2


def test_k_occurrence_counts_how_often_each_image_comes_up():
    counts = failures.k_occurrence(np.array([[0, 1, 2], [0, 2, 1], [0, 1, 2]]), n_gallery=4, k=2)
    assert counts.tolist() == [3, 2, 1, 0]
    assert counts.mean() == 3 * 2 / 4


def test_skewness():
    assert failures.skewness(np.array([1, 2, 3])) == pytest.approx(0)
    assert failures.skewness(np.array([5, 5, 5])) == 0
    assert failures.skewness(np.array([0, 0, 0, 4])) == pytest.approx(1.1547, abs=1e-4)
