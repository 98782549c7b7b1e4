"""Ranking and metrics of shards against the single pass, bit for bit, and against brute force."""

import numpy as np
import pytest
import torch

from cdir_nb.errors import CdirError
from cdir_nb.retrieval import blocks, evaluate_embeddings, evaluate_shards, rank, rank_shards, sharded, write_gallery

CUTS = {"one shard": [], "even": [100, 200], "uneven": [1, 2, 150, 151, 290]}


def signs(n, dim, seed):
    """With 16 dimensions cosines are exact in float32, and ties abound."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], (n, dim)).astype(np.float32)


def normal(n, dim, seed):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32) + 3.7  # Euclidean: centred on 4


def with_copies(n, dim, seed):
    """Each row several times, in several shards."""
    return normal(n, dim, seed)[np.random.default_rng(seed).integers(0, max(1, n // 3), n)]


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles so small that parts have several, and that tiles cross the ends of shards."""
    monkeypatch.setattr(blocks, "QUERY_ROWS", 7)
    monkeypatch.setattr(blocks, "LEAST_ROWS", 7)
    monkeypatch.setattr(blocks, "GALLERY_ROWS", 32)
    monkeypatch.setattr(sharded, "GALLERY_ROWS", 32)
    monkeypatch.setattr(sharded, "PIECE_TILES", 2)
    monkeypatch.setattr(sharded, "KEYS_AT_ONCE", 700)


def in_reverse(function, tasks, shared):
    """As a cluster may do it: results in another order."""
    return reversed([function(*shared, *task) for task in tasks])


def assert_same_ranking(ours, single):
    assert np.array_equal(ours.indices, single.indices) and np.array_equal(ours.scores, single.scores)
    assert ours.n_gallery == single.n_gallery and ours.indices.dtype == single.indices.dtype


@pytest.mark.parametrize("k", [1, 5, 80, 300, 999, None])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
@pytest.mark.parametrize("make", [signs, normal, with_copies])
@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_a_ranking_is_that_of_the_single_pass(small_tiles, tmp_path, make, similarity, cuts, k):
    query, rows = make(40, 16, 1), make(300, 16, 2)
    gallery = write_gallery(tmp_path, np.split(rows, cuts))
    ours = rank_shards(query, gallery, k=k, similarity=similarity, each=in_reverse)
    assert_same_ranking(ours, rank(query, rows, k=k, similarity=similarity))


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
@pytest.mark.parametrize("n_query, threads", [(1, 1), (600, 2)])
@pytest.mark.medium
def test_blocks_of_their_real_size_give_the_same_bits(tmp_path, monkeypatch, similarity, n_query, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    query, rows = normal(n_query, 65, 1), normal(20_000, 65, 2)
    gallery = write_gallery(tmp_path, np.split(rows, [3000, 3001, 15_000]))
    for k in (10, 5000):
        ours = rank_shards(query[:50], gallery, k=k, similarity=similarity)
        assert_same_ranking(ours, rank(query[:50], rows, k=k, similarity=similarity))
    labels = np.arange(n_query) % 7, np.arange(20_000) % 6
    assert_same_values(query, rows, gallery, labels, similarity)


def assert_same_values(query, rows, gallery, labels, similarity="cosine", **options):
    single = evaluate_embeddings(query, rows, *labels, similarity=similarity, **options)
    ours = evaluate_shards(query, gallery, *labels, similarity=similarity, **options)
    assert [str(r.metric) for r in ours] == [str(r.metric) for r in single]
    for a, b in zip(ours, single):
        assert np.array_equal(a.numerator, b.numerator) and np.array_equal(a.denominator, b.denominator), a.metric


@pytest.mark.parametrize("ap_ks", [(7, None), (7,)])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
@pytest.mark.parametrize("make", [signs, normal, with_copies])
@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_metrics_are_those_of_the_single_pass(small_tiles, tmp_path, make, similarity, cuts, ap_ks):
    draw = np.random.default_rng(1)
    query, rows = make(40, 16, 1), make(300, 16, 2)
    labels = draw.integers(0, 8, 40), draw.choice(6, 300, p=[0.5, 0.3, 0.1, 0.05, 0.04, 0.01])
    gallery = write_gallery(tmp_path, np.split(rows, cuts))
    assert_same_values(query, rows, gallery, labels, similarity, ks=(1, 50, 999), ap_ks=ap_ks)


def test_the_whole_order_against_a_sort_of_each_query(small_tiles, tmp_path):
    query, rows, labels = signs(20, 16, 1), signs(300, 16, 2), np.arange(300) % 4
    gallery = write_gallery(tmp_path, np.split(rows, CUTS["uneven"]))
    (result,) = evaluate_shards(query, gallery, np.arange(20) % 5, labels, ks=(), ap_ks=(None,))[:1]
    for i, value in enumerate(result.values):
        order = np.lexsort((np.arange(300), -(query[i] @ rows.T)))
        places = 1 + np.flatnonzero(labels[order] == i % 5)
        expected = np.mean(np.arange(1, len(places) + 1) / places) if len(places) else 0
        assert value == pytest.approx(expected, abs=1e-12)


def test_equal_rows_alone(tmp_path):
    """One distinct row in all shards: the order is that of the gallery."""
    gallery = write_gallery(tmp_path, [np.ones((n, 4)) for n in (3, 1, 500)])
    assert np.array_equal(rank_shards(np.ones((2, 4)), gallery, k=20).indices, np.tile(np.arange(20), (2, 1)))
    assert_same_values(np.ones((2, 4)), np.ones((504, 4)), gallery, ([0, 1], np.arange(504) % 2))


@pytest.mark.parametrize(
    "query, options, message",
    [
        (np.ones((2, 3)), {}, "query_emb has 3 columns and the gallery 4: embed both with the same encoder"),
        (np.zeros((2, 4)), {}, "query_emb is a zero vector"),
        (np.ones((2, 4)), {"k": 0}, "k must be a whole number of at least 1"),
        (np.ones((2, 4)), {"similarity": "dot"}, "unknown similarity 'dot'"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path, query, options, message):
    with pytest.raises(CdirError, match=message):
        rank_shards(query, write_gallery(tmp_path, [np.ones((5, 4))]), **options)


def test_labels_must_fit_the_gallery(tmp_path):
    with pytest.raises(CdirError, match="gallery_labels has shape"):
        evaluate_shards(np.ones((2, 4)), write_gallery(tmp_path, [np.ones((5, 4))]), [0, 1], [0] * 4)
