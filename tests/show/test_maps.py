import numpy as np
import pytest

from cdir_nb.errors import CdirError
from cdir_nb.show import maps


def clusters(n=20, seed=0):
    """(2n, 8): two bundles of directions, far apart."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(np.eye(2, 8) * 5, n, axis=0)
    return centres + rng.normal(size=(2 * n, 8)) * 0.3


def test_sample_rows_gives_every_group_its_share():
    groups = ["a"] * 900 + ["b"] * 90 + ["c"] * 10
    rows = maps.sample_rows(groups, 60, seed=0)
    assert len(rows) == 60 and (np.diff(rows) > 0).all()
    shares = {g: int((np.array(groups)[rows] == g).sum()) for g in "abc"}
    assert shares == {"a": 25, "b": 25, "c": 10}
    assert (rows == maps.sample_rows(groups, 60, seed=0)).all()
    assert not np.array_equal(rows, maps.sample_rows(groups, 60, seed=1))


def test_sample_rows_takes_all_where_there_are_few():
    assert maps.sample_rows(["a", "b"], 5, seed=0).tolist() == [0, 1]


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_a_map_is_repeatable_and_keeps_bundles_together(method):
    emb = clusters()
    points = maps.project(emb, method, seed=3)
    assert points.shape == (40, 2)
    assert np.array_equal(points, maps.project(emb, method, seed=3))
    middle = points.reshape(2, 20, 2).mean(1)
    spread = np.linalg.norm(points.reshape(2, 20, 2) - middle[:, None], axis=-1)
    assert np.linalg.norm(middle[0] - middle[1]) > spread.mean() * 2


def test_length_of_vectors_does_not_matter():
    emb = clusters()
    lengths = 2.0 ** np.random.default_rng(0).integers(0, 7, (len(emb), 1))  # powers of two: no rounding
    assert np.array_equal(maps.project(emb, "tsne"), maps.project(emb * lengths, "tsne"))


def test_wrong_maps_are_refused():
    with pytest.raises(CdirError, match='unknown map "pca": use "tsne" or "umap"'):
        maps.project(clusters(), "pca")
    with pytest.raises(CdirError, match="at least 10 points, got 3: raise map_points"):
        maps.project(clusters()[:3])


def test_map_figure_shows_all_points_twice_with_both_legends():
    labels, domains = ["cat"] * 20 + ["light_bulb"] * 20, (["real"] * 10 + ["sketch"] * 10) * 2
    fig = maps.map_figure(
        np.random.default_rng(0).normal(size=(40, 2)), labels, domains, title="t-SNE", label_order=["light_bulb", "cat"]
    )
    by_class, by_domain = fig.axes
    assert sum(len(c.get_offsets()) for c in by_class.collections) == 40
    assert [t.get_text() for t in by_class.get_legend().get_texts()] == ["light bulb", "cat"]
    assert [t.get_text() for t in by_domain.get_legend().get_texts()] == ["real", "sketch"]
    assert "class" in by_class.get_title("left") and "domain" in by_domain.get_title("left")


def test_legends_stand_outside_the_maps():
    fig = maps.map_figure(
        np.random.default_rng(0).normal(size=(40, 2)), [f"class {i % 10}" for i in range(40)], ["a", "b"] * 20
    )
    fig.canvas.draw()
    for ax in fig.axes:
        assert ax.get_legend().get_window_extent().y1 <= ax.get_window_extent().y0
