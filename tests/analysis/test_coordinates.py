"""Points in the plane: samples are fair, maps repeatable, lengths and shapes kept."""

import numpy as np
import pytest

from cdir_nb.analysis import coordinates
from cdir_nb.errors import CdirError


def test_main_axes_are_those_of_the_greatest_spread():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 5)) * [0.1, 3.0, 0.1, 1.0, 0.1] + [0, 0, 0, 0, 50]
    axes = coordinates.main_axes(rows[:50], rows[50:])
    assert axes.shape == (5, 2)
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-5)
    assert abs(axes[1, 0]) > 0.95 and abs(axes[3, 1]) > 0.95


def clusters(n=20, seed=0):
    """(2n, 8): two bundles of directions, far apart."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(np.eye(2, 8) * 5, n, axis=0)
    return centres + rng.normal(size=(2 * n, 8)) * 0.3


def test_sample_rows_gives_every_group_its_share():
    groups = ["a"] * 900 + ["b"] * 90 + ["c"] * 10
    rows = coordinates.sample_rows(groups, 60, seed=0)
    assert len(rows) == 60 and (np.diff(rows) > 0).all()
    shares = {g: int((np.array(groups)[rows] == g).sum()) for g in "abc"}
    assert shares == {"a": 25, "b": 25, "c": 10}
    assert (rows == coordinates.sample_rows(groups, 60, seed=0)).all()
    assert not np.array_equal(rows, coordinates.sample_rows(groups, 60, seed=1))


def test_sample_rows_takes_all_where_there_are_few():
    assert coordinates.sample_rows(["a", "b"], 5, seed=0).tolist() == [0, 1]


@pytest.mark.parametrize("method", ["tsne", "umap"])
@pytest.mark.medium
def test_a_map_is_repeatable_and_keeps_bundles_together(method):
    emb = clusters()
    points = coordinates.project(emb, method, seed=3)
    assert points.shape == (40, 2)
    assert np.array_equal(points, coordinates.project(emb, method, seed=3))
    middle = points.reshape(2, 20, 2).mean(1)
    spread = np.linalg.norm(points.reshape(2, 20, 2) - middle[:, None], axis=-1)
    assert np.linalg.norm(middle[0] - middle[1]) > spread.mean() * 2


@pytest.mark.medium
def test_length_of_vectors_does_not_matter():
    emb = clusters()
    lengths = 2.0 ** np.random.default_rng(0).integers(0, 7, (len(emb), 1))  # powers of two: no rounding
    assert np.array_equal(coordinates.project(emb, "tsne"), coordinates.project(emb * lengths, "tsne"))


def test_wrong_maps_are_refused():
    with pytest.raises(CdirError, match='unknown map "pca": use "tsne" or "umap"'):
        coordinates.project(clusters(), "pca")
    with pytest.raises(CdirError, match="at least 10 points, got 3: raise map_points"):
        coordinates.project(clusters()[:3])


def test_flatten_keeps_lengths_and_what_is_flat_already():
    rng = np.random.default_rng(0)
    vectors, bias = rng.normal(size=(20, 6)), rng.normal(size=6)
    flat, one = coordinates.flatten(vectors, bias)
    assert flat.shape == (20, 2) and one.shape == (2,)
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), np.linalg.norm(vectors, axis=1))
    plane = np.pad(rng.normal(size=(9, 2)), ((0, 0), (0, 3)))
    kept, _ = coordinates.flatten(plane, np.ones(5))
    np.testing.assert_allclose(kept @ kept.T, plane @ plane.T, atol=1e-12)  # turned, perhaps, but the same shape
