"""Ranks of relevant items by counting, against a full sort: ties, copies, galleries of one class, extreme scores."""

import numpy as np
import pytest

from cdir_nb.retrieval import blocks, evaluate, evaluate_embeddings, hits, metrics, rank
from cdir_nb.retrieval.hits import ClassMembers
from cdir_nb.retrieval.metrics import fractions
from cdir_nb.retrieval.ranking import ranked_blocks

CUTOFFS = {"ks": (1, 7, 50, 1000), "ap_ks": (7, 50, None)}


def sorted_ranks(scores, gallery_codes, codes):
    """One query at a time: sort by score, then by row, and look where the relevant rows went."""
    orders = [np.lexsort((np.arange(len(row)), -row)) for row in scores]
    return [np.flatnonzero(gallery_codes[order] == code) + 1 for order, code in zip(orders, codes)]


def assert_ranks(scores, gallery_codes, codes):
    ranks = ClassMembers(np.asarray(gallery_codes)).ranks(np.asarray(scores, np.float32), np.asarray(codes))
    expected = sorted_ranks(np.asarray(scores, np.float32), np.asarray(gallery_codes), codes)
    assert [row[np.isfinite(row)].tolist() for row in ranks] == [row.tolist() for row in expected]
    assert ranks.shape == (len(codes), max(map(len, expected)))


@pytest.mark.parametrize("intervals", [1, 3, 16384])
@pytest.mark.parametrize("levels", [1, 2, 40, 100_000])
def test_ranks_are_those_of_a_full_sort(monkeypatch, intervals, levels):
    """With few levels nearly everything ties; with few intervals nearly everything shares one."""
    monkeypatch.setattr(hits, "INTERVALS", intervals)
    draw = np.random.default_rng(levels)
    scores = draw.integers(0, levels, (30, 400)) / levels - 0.5
    assert_ranks(scores, draw.choice(5, 400, p=[0.6, 0.3, 0.08, 0.01, 0.01]), draw.integers(0, 7, 30))


def test_by_hand():
    #            rows: 0    1    2    3    4; relevant 1, 3, 4; rows 0 and 1 tie, 0.9 stands before both
    ranks = ClassMembers(np.array([0, 1, 0, 1, 1])).ranks(
        np.array([[0.5, 0.5, 0.9, -1, 0.4]], np.float32), np.array([1])
    )
    assert ranks.tolist() == [[3, 4, 5]]


def test_extreme_scores_and_minus_zero():
    row = [0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, 1e-30, 0.0]
    for relevant in ([1, 7], [0], [4, 5], [2, 3, 6], list(range(8))):
        assert_ranks([row], np.isin(np.arange(8), relevant).astype(int), [1])


def test_neighbouring_floats_are_told_apart():
    step = np.nextafter(np.float32(0.5), np.float32(1)) - np.float32(0.5)
    scores = 0.5 + step * np.random.default_rng(0).permutation(300).astype(np.float32)
    assert_ranks([scores, scores], np.arange(300) % 3, [0, 2])


def signs(n, seed):
    return np.random.default_rng(seed).choice([-1.0, 1.0], (n, 16)).astype(np.float32)


def normal(n, seed):
    return np.random.default_rng(seed).standard_normal((n, 129)).astype(np.float32)


def with_copies(n, seed):
    """Each row up to three times: copies must tie although BLAS may score them differently."""
    rows = normal(n, seed)
    return rows[np.random.default_rng(seed).integers(0, n // 3, n)]


@pytest.mark.parametrize("make", [signs, normal, with_copies])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_every_metric_is_that_of_the_sorted_gallery_to_the_last_digit(make, similarity, monkeypatch):
    monkeypatch.setattr(metrics, "SORTED", 0)
    draw = np.random.default_rng(1)
    emb, labels = (make(150, 2), make(900, 3)), (draw.integers(0, 8, 150), draw.integers(0, 6, 900))
    counted = evaluate_embeddings(*emb, *labels, similarity=similarity, **CUTOFFS)
    ranked = evaluate(rank(*emb, similarity=similarity), *labels, **CUTOFFS)
    assert [str(r.metric) for r in counted] == [str(r.metric) for r in ranked]
    for a, b in zip(counted, ranked):
        assert np.array_equal(a.numerator, b.numerator) and np.array_equal(a.denominator, b.denominator), a.metric


def test_a_large_gallery_is_not_sorted_on_a_cpu(monkeypatch):
    monkeypatch.setattr(metrics, "SORTED", 9)
    small, large = ((signs(5, 0), signs(n, 1), [0] * 5, [0] * n) for n in (9, 10))
    used = []
    monkeypatch.setattr(metrics, "ranked_blocks", lambda *args: used.append("sorted") or ranked_blocks(*args))
    assert evaluate_embeddings(*small, ks=(1,), ap_ks=(None,)) and used == ["sorted"]
    monkeypatch.setattr(blocks, "merge_scores", None)
    assert evaluate_embeddings(*large, ks=(1,), ap_ks=(None,)) and used == ["sorted"]


def test_values_do_not_depend_on_the_other_queries():
    """numpy's own `sum` adds up a padded row in another order than the row alone."""
    draw = np.random.default_rng(5)
    n_relevant = np.array([0, 3, *range(100, 1300, 37)])
    ranks_per_query = [np.sort(draw.choice(5000, n, replace=False)) + 1.0 for n in n_relevant]
    padded = np.full((len(n_relevant), max(n_relevant)), np.inf)
    for row, ranks in zip(padded, ranks_per_query):
        row[: len(ranks)] = ranks
    together = fractions(padded, n_relevant, (10, 100), (100, None))
    for i, ranks in enumerate(ranks_per_query):
        alone = fractions(ranks[None], n_relevant[i : i + 1], (10, 100), (100, None))
        for name, (numerator, denominator) in alone.items():
            assert (together[name][0][i], together[name][1][i]) == (numerator[0], denominator[0]), name
