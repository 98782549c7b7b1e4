"""Post-processing against slow loops, and against the relation between centring and popularity."""

import numpy as np
import pytest
import torch

from cdir_nb.errors import CdirError
from cdir_nb.retrieval import (
    alpha_query_expansion,
    centre,
    contrastive_projection,
    k_reciprocal,
    popularity,
    postprocess,
    qb_norm_switch,
    rank,
    sinkhorn,
    subtract_popularity,
)

QUERIES, ITEMS, DIM = 23, 41, 6


def unit_rows(n, seed, offset=0.4, dim=DIM):
    rows = np.random.default_rng(seed).standard_normal((n, dim)) + offset
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(params=["one block", "many blocks"])
def any_blocks(request, monkeypatch):
    if request.param == "many blocks":
        monkeypatch.setattr(postprocess, "CELLS", 100)


@pytest.fixture
def query():
    return unit_rows(QUERIES, 0)


@pytest.fixture
def gallery():
    return unit_rows(ITEMS, 1, offset=-0.3)


def equal(result, expected):
    np.testing.assert_allclose(np.asarray(result), expected, rtol=1e-6, atol=1e-8)


def test_centre_subtracts_each_mean_and_scales(query, gallery):
    means = query.mean(0), gallery.mean(0)
    for rows, mean, result in zip((query, gallery), means, centre(query, gallery, *means)):
        for row, found in zip(rows, result):
            equal(found, (row - mean) / np.sqrt(sum((row - mean) ** 2)))


def expanded_by_loop(query, gallery, n, alpha, leave_out):
    rows = []
    for q, out in zip(query, leave_out):
        scores = [(-float(q @ g), row) for row, g in enumerate(gallery) if row not in out]
        total = q.copy()
        for negative, row in sorted(scores)[:n]:
            total += max(-negative, 0) ** alpha * gallery[row]
        rows.append(total / np.linalg.norm(total))
    return np.array(rows)


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize("alpha", [0, 1, 3, 0.5])
@pytest.mark.parametrize("n", [1, 10, ITEMS, 1000])
def test_query_expansion_is_the_loop(query, gallery, n, alpha):
    """With n = ITEMS, many similarities are negative."""
    equal(alpha_query_expansion(query, gallery, n, alpha), expanded_by_loop(query, gallery, n, alpha, [()] * QUERIES))
    left_out = [np.arange(i % 4) * 7 for i in range(QUERIES)]
    found = alpha_query_expansion(query, gallery, n, alpha, left_out)
    one_each = np.arange(QUERIES)
    equal(
        alpha_query_expansion(query, gallery, n, alpha, one_each),
        expanded_by_loop(query, gallery, n, alpha, one_each[:, None]),
    )
    equal(found, expanded_by_loop(query, gallery, n, alpha, left_out))


def test_query_expansion_takes_ties_in_gallery_order_and_left_out_rows_have_no_weight():
    query, side = np.eye(3)[:1], [0.6, 0.8, 0]
    gallery = np.array([[0, 0, 1.0], side, [0.6, -0.8, 0], [0.6, 0, 0.8]])
    total = query[0] + 0.6**2 * gallery[1] + 0.6**2 * gallery[2]
    equal(alpha_query_expansion(query, gallery, 2, 2)[0], total / np.linalg.norm(total))
    only_first = query[0] + gallery[0]  # the plain average counts similarities of 0, but not rows that are left out
    found = alpha_query_expansion(query, gallery, 4, 0, [[1, 2, 3]])[0]
    equal(found, only_first / np.linalg.norm(only_first))


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize("k", [1, 5, 100])
def test_popularity_is_the_loop(query, gallery, k):
    tau, scores = 0.05, [[float(q @ g) for q in query] for g in gallery]
    equal(popularity(query, gallery, "mean"), [sum(row) / len(row) for row in scores])
    best = [sorted(row)[::-1][:k] for row in scores]
    equal(popularity(query, gallery, "top_k", k=k), [sum(row) / len(row) for row in best])
    means = [sum(np.exp(s / tau) for s in row) / len(row) for row in scores]
    equal(popularity(query, gallery, "softmax", tau=tau), [tau * np.log(mean) for mean in means])


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize("rounds", [1, 2, 10])
def test_sinkhorn_is_the_loop_over_a_matrix(query, gallery, rounds):
    tau = 0.1
    kernel = np.exp(query @ gallery.T / tau)
    columns = np.ones(ITEMS)
    for _ in range(rounds):
        rows = 1 / QUERIES / (kernel * columns).sum(1)
        columns = 1 / ITEMS / (kernel * rows[:, None]).sum(0)
    equal(sinkhorn(query, gallery, tau, rounds), -tau * np.log(columns))


def test_sinkhorn_balances_both_sides_and_does_not_overflow(query, gallery):
    plan = np.exp((query @ gallery.T - np.asarray(sinkhorn(query, gallery, 0.1, 500))) / 0.1)
    plan /= plan.sum(1, keepdims=True)
    np.testing.assert_allclose(plan.sum(0), QUERIES / ITEMS, rtol=1e-6)
    assert torch.isfinite(sinkhorn(query.astype(np.float32), gallery.astype(np.float32), 0.001)).all()


@pytest.mark.parametrize("seed", range(5))
def test_before_scaling_centring_subtracts_the_mean_popularity(seed):
    query, gallery = unit_rows(60, seed, dim=12), unit_rows(90, seed + 10, -0.3, 12)
    centred = (query - query.mean(0)) @ (gallery - gallery.mean(0)).T
    scores = query @ gallery.T - np.asarray(popularity(query, gallery, "mean"))
    difference = centred - scores
    np.testing.assert_allclose(difference, difference[:, :1].repeat(len(gallery), 1), atol=1e-12)
    extended = subtract_popularity(*map(torch.from_numpy, (query, gallery)), popularity(query, gallery, "mean"))
    order = rank(*extended, similarity="euclidean").indices
    assert np.array_equal(order, np.argsort(-centred, axis=1))
    scaled = rank(*centre(query, gallery, query.mean(0), gallery.mean(0))).indices
    assert (scaled != order).any(axis=1).all(), "scaling the gallery changes the order"


def test_qb_norm_subtracts_only_from_queries_whose_best_row_attracts_others(query, gallery):
    reference = unit_rows(5, 3)
    attracting = {int(np.argmax(gallery @ r)) for r in reference}
    expected = [int(np.argmax(gallery @ q)) in attracting for q in query]
    switch = qb_norm_switch(query, gallery, reference)
    assert switch.tolist() == expected and 0 < sum(expected) < QUERIES
    popular = popularity(reference, gallery, "softmax", tau=0.05)
    scores = query @ gallery.T - np.array(expected)[:, None] * np.asarray(popular)
    extended = subtract_popularity(*map(torch.from_numpy, (query, gallery)), popular, switch)
    assert np.array_equal(rank(*extended, similarity="euclidean").indices, np.argsort(-scores, axis=1))


def projection_by_loop(objects, styles, a, d):
    covariances = []
    for rows in (objects, styles):
        mean, total = sum(rows) / len(rows), np.zeros((rows.shape[1],) * 2)
        for row in rows:
            total += np.outer(row - mean, row - mean) / len(rows)
        covariances.append(total)
    values, vectors = np.linalg.eig((1 - a) * covariances[0] - a * covariances[1])
    best = sorted(range(len(values)), key=lambda i: -values[i])[:d]
    return sum(np.outer(vectors[:, i], vectors[:, i]) for i in best)


@pytest.mark.parametrize("a", [0, 0.2, 0.9, 1])
@pytest.mark.parametrize("d", [1, 3, DIM])
def test_contrastive_projection_is_the_sum_over_the_largest_signed_eigenvalues(a, d):
    """With a = 0.9 and 1, the eigenvalues of largest size are negative. Rows are not of unit length."""
    objects, styles = 3 * unit_rows(30, 5) + 1, unit_rows(9, 6)
    found = contrastive_projection(objects, styles, a, d)
    equal(found, projection_by_loop(objects, styles, a, d))
    equal(found @ found, np.asarray(found))


def reranked_by_loop(query, gallery, k1, k2, weight):
    """(Q, G) distances, by the definition for every pair of rows, with sets and dictionaries."""
    rows = np.concatenate([query, gallery])
    n, d = len(rows), 2 - 2 * rows @ rows.T
    d = d / d.max(1, keepdims=True)
    nearest = [sorted(range(n), key=lambda y: (d[x, y], y)) for x in range(n)]

    def mutual(x, k):
        return {y for y in nearest[x][: k + 1] if x in nearest[y][: k + 1]}

    codes = np.zeros((n, n))
    for x in range(n):
        members = set(mutual(x, k1))
        for y in mutual(x, k1):
            half = mutual(y, round(k1 / 2))
            if len(half & mutual(x, k1)) > 2 / 3 * len(half):
                members |= half
        for y in members:
            codes[x, y] = np.exp(-d[x, y]) / sum(np.exp(-d[x, z]) for z in members)
    codes = np.array([codes[nearest[x][:k2]].mean(0) for x in range(n)])
    new = np.zeros((len(query), len(gallery)))
    for q in range(len(query)):
        for g in range(len(gallery)):
            both = codes[[q, len(query) + g]]
            jaccard = 1 - both.min(0).sum() / both.max(0).sum()
            new[q, g] = (1 - weight) * jaccard + weight * d[q, len(query) + g]
    return new


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (5, 1, 0.3), (7, 9, 0.0), (3, 2, 1.0), (200, 3, 0.3)])
def test_k_reciprocal_is_the_loop(query, gallery, k1, k2, weight):
    new = reranked_by_loop(query, gallery, k1, k2, weight)
    for k in (ITEMS, 12):
        ranking = rank(query, gallery, k=k)
        result = k_reciprocal(ranking, query, gallery, k1, k2, weight)
        for row in range(QUERIES):
            candidates = sorted(ranking.indices[row].tolist(), key=lambda g: (round(new[row, g], 6), g))
            assert result.indices[row].tolist() == candidates
        np.testing.assert_allclose(-result.scores, np.take_along_axis(new, result.indices, 1), atol=1e-5)
        assert (result.k, result.n_gallery) == (k, ITEMS)


def test_k_reciprocal_leaves_last_what_the_ranking_left_out(query):
    ranking = rank(query, query, leave_out=np.arange(QUERIES))
    result = k_reciprocal(ranking, query, query)
    assert result.indices[:, -1].tolist() == list(range(QUERIES)) and np.isneginf(result.scores[:, -1]).all()
    assert np.isfinite(result.scores[:, :-1]).all() and result.left_out is ranking.left_out


def test_k_reciprocal_of_many_copies_is_finite(query):
    gallery = np.concatenate([query, np.repeat(query[:1], 30, axis=0)])
    result = k_reciprocal(rank(query, gallery), query, gallery, k1=4, k2=2)
    assert np.isfinite(result.scores).all()


def test_k_reciprocal_needs_memory_for_blocks_only(monkeypatch):
    """No array has as many numbers as pairs of rows."""
    largest = []
    blocks = postprocess._distances

    def recorded(*rows):
        distances = blocks(*rows)
        largest.append(distances.size)
        return distances

    monkeypatch.setattr(postprocess, "_distances", recorded)
    monkeypatch.setattr(postprocess, "CELLS", 2000)
    query, gallery = unit_rows(150, 0), unit_rows(250, 1)
    k_reciprocal(rank(query, gallery, k=10), query, gallery)
    assert max(largest) <= 2000


def test_tensors_and_arrays_of_any_precision_agree(query, gallery):
    equal(alpha_query_expansion(query.tolist(), list(gallery), 5, 3), alpha_query_expansion(query, gallery, 5, 3))
    for dtype in (torch.float32, torch.float64):
        rows = torch.from_numpy(query).to(dtype), torch.from_numpy(gallery).to(dtype)
        found = alpha_query_expansion(*rows, 5, 3)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, alpha_query_expansion(query, gallery, 5, 3), atol=1e-6)
        assert popularity(*rows, "mean").dtype == sinkhorn(*rows, 0.1).dtype == dtype


def test_one_query_is_expanded_as_among_all(query, gallery):
    together = alpha_query_expansion(query, gallery, 5, 3)
    for row in range(QUERIES):
        equal(alpha_query_expansion(query[row : row + 1], gallery, 5, 3)[0], together[row])


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda q, g: centre(q, 2 * g, q.mean(0), g.mean(0)), "gallery has length 2 "),
        (lambda q, g: centre(q, g, q.mean(0)[:2], g.mean(0)), "query_mean has 2 numbers"),
        (lambda q, g: centre(q, g, q.mean(0) * np.nan, g.mean(0)), "query_mean"),
        (lambda q, g: centre(q[:1], g, q[0], g.mean(0)), "row 0 of query"),
        (lambda q, g: alpha_query_expansion(q, g, 0, 3), "n must be"),
        (lambda q, g: alpha_query_expansion(q, g, 2.5, 3), "2.5"),
        (lambda q, g: alpha_query_expansion(q, g, 2, -1), "alpha must be"),
        (lambda q, g: alpha_query_expansion(q, g, 2, np.nan), "nan"),
        (lambda q, g: alpha_query_expansion(q, g, 2, 3, [[0]]), "1 entries for 23 queries"),
        (lambda q, g: alpha_query_expansion(q, g, 2, 3, [[ITEMS]] * QUERIES), "leave_out has 41"),
        (lambda q, g: alpha_query_expansion(q, g[:, :3], 2, 3), "gallery 3"),
        (lambda q, g: alpha_query_expansion(q * np.inf, g, 2, 3), "row 0"),
        (lambda q, g: alpha_query_expansion(q[:1], -q[:1], 1, 0), "row 0"),  # q - q
        (lambda q, g: popularity(q, g, "median"), "'median'"),
        (lambda q, g: popularity(q, g, "top_k"), "k must be"),
        (lambda q, g: popularity(q, g, "softmax"), "tau must be"),
        (lambda q, g: popularity(q, g, "softmax", tau=0), "tau must be"),
        (lambda q, g: popularity(q[:0], g, "mean"), "reference is empty"),
        (lambda q, g: sinkhorn(q, g, 0.1, rounds=0), "rounds must be"),
        (lambda q, g: contrastive_projection(q, g, 0.2, DIM + 1), "d = 7"),
        (lambda q, g: contrastive_projection(q, g, 1.2, 2), "a = 1.2"),
        (lambda q, g: contrastive_projection(q[0], g, 0.2, 2), "objects has shape"),
        (lambda q, g: k_reciprocal(rank(q, g), q[:5], g), "5 rows"),
        (lambda q, g: k_reciprocal(rank(q, g), q, g, k1=0), "k1 must be"),
        (lambda q, g: k_reciprocal(rank(q, g), q, g, weight=2), "weight 2"),
    ],
)
def test_bad_input_is_refused_in_one_line(query, gallery, call, named):
    with pytest.raises(CdirError, match=named) as error:
        call(query, gallery)
    assert "\n" not in str(error.value)
