"""Analyses: worked by hand, and against torchmetrics and scipy."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy, skew

from cdir_nb import analysis
from cdir_nb.errors import CdirError

DOMAINS = np.array(["real", "real", "sketch", "sketch"])
LABELS = np.array(["cat", "dog", "cat", "dog"])
EMB = np.array([[2, 0, 0], [0, 3, 0], [0, 0, 1], [0, 0.5, 0]])  # cats differ between domains, dogs coincide


def clusters(n=20, seed=0):
    """(2n, 8): two bundles of directions, far apart."""
    centres = np.repeat(np.eye(2, 8) * 5, n, axis=0)
    return centres + np.random.default_rng(seed).normal(size=(2 * n, 8)) * 0.3


def test_main_axes_are_those_of_the_greatest_spread():
    rows = np.random.default_rng(0).normal(size=(200, 5)) * [0.1, 3.0, 0.1, 1.0, 0.1] + [0, 0, 0, 0, 50]
    axes = analysis.main_axes(rows[:50], rows[50:])
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-5)
    assert axes[1, 0] > 0.95 and axes[3, 1] > 0.95, "the sign of an axis does not depend on that of the SVD"
    np.testing.assert_allclose(axes, analysis.main_axes(rows[::-1]), atol=1e-5)


def test_a_sample_has_equally_many_rows_of_every_group():
    groups = ["a"] * 900 + ["b"] * 90 + ["c"] * 10
    rows = analysis.sample_rows(groups, 60, seed=0)
    assert len(rows) == 60 and (np.diff(rows) > 0).all()
    assert {g: int((np.array(groups)[rows] == g).sum()) for g in "abc"} == {"a": 25, "b": 25, "c": 10}
    assert (rows == analysis.sample_rows(groups, 60, seed=0)).all()
    assert not np.array_equal(rows, analysis.sample_rows(groups, 60, seed=1))
    assert analysis.sample_rows(["a", "b"], 5, seed=0).tolist() == [0, 1]


@pytest.mark.parametrize("method", ["tsne", "umap"])
@pytest.mark.medium
def test_a_map_is_repeatable_separates_bundles_and_ignores_lengths(method):
    emb = clusters()
    points = analysis.project(emb, method, seed=3)
    lengths = 2.0 ** np.random.default_rng(0).integers(0, 7, (len(emb), 1))  # powers of two: no rounding
    assert points.shape == (40, 2) and np.array_equal(points, analysis.project(emb * lengths, method, seed=3))
    middle = points.reshape(2, 20, 2).mean(1)
    spread = np.linalg.norm(points.reshape(2, 20, 2) - middle[:, None], axis=-1)
    assert np.linalg.norm(middle[0] - middle[1]) > spread.mean() * 2


@pytest.mark.parametrize("n,method,match", [(20, "pca", "pca"), (1, "tsne", "at least 10 points, got 2")])
def test_a_map_that_cannot_be_drawn_is_refused(n, method, match):
    with pytest.raises(CdirError, match=match):
        analysis.project(clusters(n), method)


def test_flatten_preserves_lengths_and_the_shape_of_what_is_flat_already():
    rng = np.random.default_rng(0)
    vectors, bias = rng.normal(size=(20, 6)), rng.normal(size=6)
    flat, flat_bias = analysis.flatten(vectors, bias)
    assert flat.shape == (20, 2) and flat_bias.shape == (2,)
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), np.linalg.norm(vectors, axis=1))
    plane = np.pad(rng.normal(size=(9, 2)), ((0, 0), (0, 3)))
    turned, _ = analysis.flatten(plane, np.ones(5))
    np.testing.assert_allclose(turned @ turned.T, plane @ plane.T, atol=1e-12)


def test_distances_between_domains_are_within_a_class_and_those_between_classes_within_a_domain():
    means = analysis.centroids(EMB, DOMAINS, LABELS, ["real", "sketch", "clipart"], ["cat", "dog"])
    assert means[0, 1].tolist() == [0, 1, 0] and np.isnan(means[2]).all()
    between = analysis.domain_distances(means[:2], ["real", "sketch"])
    assert between.loc["real", "real"] == 0
    assert between.loc["real", "sketch"] == pytest.approx(np.sqrt(2) / 2)  # cats sqrt(2) apart, dogs 0
    assert analysis.class_distances(means[:2], ["real", "sketch"]).tolist() == pytest.approx([np.sqrt(2)] * 2)


@pytest.mark.parametrize(
    "clusters,labels,expected",
    [([0, 0, 0, 1, 1, 5], "ddcccd", 5 / 6), ([7, 3, 3, 0], "abbc", 1), ([0, 0, 0, 0], "abbc", 0.5)],
)
def test_purity_by_hand(clusters, labels, expected):
    assert analysis.purity(np.array(clusters), np.array(list(labels))) == pytest.approx(expected)


def test_weights_of_memory_entries_equal_scipy():
    cosines = np.random.default_rng(0).uniform(-1, 1, 50)
    weights = softmax(cosines / 0.07)
    assert analysis.softmax_weights(cosines, 0.07) == pytest.approx(weights)
    assert analysis.effective_number(weights) == pytest.approx(np.exp(entropy(weights)))
    assert analysis.effective_number(np.array([0.25] * 4 + [0.0])) == pytest.approx(4)


def test_bins_and_calibration_error_by_hand():
    sure, right = np.array([0.05, 0.15, 0.25, 0.95, 1.0]), np.array([0, 1, 0, 1, 1], bool)
    table = analysis.reliability_bins(sure, right, bins=2)
    np.testing.assert_allclose(table, [[0.15, 1 / 3, 3], [0.975, 1.0, 2]])
    assert analysis.calibration_error(sure, right, bins=2) == pytest.approx((3 * (1 / 3 - 0.15) + 2 * 0.025) / 5)


def test_calibration_error_equals_torchmetrics():
    from torchmetrics.functional.classification import binary_calibration_error

    rng = np.random.default_rng(0)
    sure, right = rng.uniform(0.01, 0.99, 500), rng.random(500) < 0.6
    expected = binary_calibration_error(torch.from_numpy(sure), torch.from_numpy(right.astype(int)), n_bins=10)
    assert analysis.calibration_error(sure, right) == pytest.approx(float(expected), abs=1e-6)


def test_accuracy_at_coverage_takes_the_most_confident_first():
    accuracy = analysis.accuracy_at_coverage(np.array([0.2, 0.9, 0.5]), np.array([False, True, False]))
    np.testing.assert_allclose(accuracy, [1, 1 / 2, 1 / 3])


def test_a_table_of_directions_has_queries_as_rows():
    table = analysis.direction_table({("real", "sketch"): 40.0, ("sketch", "real"): 10.0}, ["real", "sketch"])
    assert table.loc["real", "sketch"] == 40 and table.loc["sketch", "real"] == 10
    assert np.isnan(table.loc["real", "real"]) and (table.index.name, table.columns.name) == ("query", "gallery")


def test_confusions_are_percentages_of_the_results():
    indices, gallery = np.array([[0, 1, 2], [2, 1, 0]]), np.array(["cat", "dog", "owl"])
    table = analysis.confusion_table(indices, np.array(["cat", "cat"]), gallery, ["cat", "dog", "owl"], k=2)
    assert table.loc["cat"].tolist() == [25, 50, 25] and table.loc["dog"].isna().all()
    assert analysis.top_confusions(table, 1) == [("cat", "dog", 50.0)]
    assert len(analysis.top_confusions(table, 9)) == 2


def test_k_occurrence_counts_how_often_each_image_is_retrieved():
    counts = analysis.k_occurrence(np.array([[0, 1, 2], [0, 2, 1], [0, 1, 2]]), n_gallery=4, k=2)
    assert counts.tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("counts", [[1, 2, 3], [0, 0, 0, 4], [1, 5, 2, 2, 9]])
def test_skewness_equals_scipy(counts):
    assert analysis.skewness(np.array(counts)) == pytest.approx(skew(counts))
    assert analysis.skewness(np.array([5, 5, 5])) == 0
