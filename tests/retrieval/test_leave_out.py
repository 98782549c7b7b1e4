"""Rows that a query must not find: against rankings of a gallery without them, one query at a time."""

import warnings

import numpy as np
import pytest
import torch

from cdir_nb.errors import CdirError
from cdir_nb.retrieval import (
    evaluate,
    evaluate_embeddings,
    merge_rankings,
    metrics,
    precision_at_k,
    precision_recall,
    rank,
    rank_blocks,
)

CUTOFFS = {"ks": (1, 5, 400), "ap_ks": (5, None)}


def signs(n, seed):
    """Rows of +-1: cosines and distances are exact in float32, ties abound, and many rows are equal."""
    draw = np.random.default_rng(seed)
    return draw.choice([-1.0, 1.0], (n, 16)).astype(np.float32)[draw.integers(0, n, n)]


def drawn(n_query, n_gallery, seed=0, most=6):
    """For each query up to `most` gallery rows, often none."""
    draw = np.random.default_rng(seed)
    return [draw.choice(n_gallery, max(0, draw.integers(-2, most)), replace=False) for _ in range(n_query)]


QUERY, GALLERY, LEFT_OUT = signs(40, 1), signs(300, 2), drawn(40, 300)


def one_by_one(query, gallery, leave_out, similarity="cosine"):
    """For each query (its row, the remaining gallery rows, their ranking)."""
    for row, rows in zip(query, leave_out):
        others = np.setdiff1d(np.arange(len(gallery)), rows)
        yield row, others, rank(row[None], gallery[others], similarity=similarity)


@pytest.mark.parametrize("k", [1, 5, 120, 296, 300, None])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_ranks_are_those_of_a_gallery_without_them_and_they_come_last(small_blocks, k, similarity):
    ranking = rank(QUERY, GALLERY, k=k, similarity=similarity, leave_out=LEFT_OUT)
    assert ranking.indices.shape == (40, k or 300)
    for i, (_, others, alone) in enumerate(one_by_one(QUERY, GALLERY, LEFT_OUT, similarity)):
        expected = [*others[alone.indices[0]], *np.sort(LEFT_OUT[i])][:k]
        assert ranking.indices[i].tolist() == expected
        ranked = min(len(others), k or 300)
        assert np.allclose(ranking.scores[i, :ranked], alone.scores[0, :ranked], atol=1e-6)
        assert (ranking.scores[i, ranked:] == -np.inf).all()


@pytest.mark.parametrize("path", ["sorted", "counted", "ranked"])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_metrics_are_those_of_a_gallery_without_them(small_blocks, monkeypatch, path, similarity):
    monkeypatch.setattr(metrics, "SORTED", 0 if path == "counted" else 10**6)
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 8, 40), draw.integers(0, 7, 300)
    LEFT_OUT[0] = np.flatnonzero(labels[1] == labels[0][0])  # of the first query, everything relevant
    if path == "ranked":
        results = evaluate(rank(QUERY, GALLERY, similarity=similarity, leave_out=LEFT_OUT), *labels, **CUTOFFS)
    else:
        results = evaluate_embeddings(QUERY, GALLERY, *labels, similarity=similarity, leave_out=LEFT_OUT, **CUTOFFS)
    for i, (row, others, _) in enumerate(one_by_one(QUERY, GALLERY, LEFT_OUT, similarity)):
        part = rank(row[None], GALLERY[others], similarity=similarity, leave_out=[[]])
        for result, alone in zip(results, evaluate(part, labels[0][[i]], labels[1][others], **CUTOFFS)):
            assert result.numerator[i] == alone.numerator[0] and result.denominator[i] == alone.denominator[0]
            assert result.n_relevant[i] == alone.n_relevant[0]
    assert results[0].without_relevant == 1 + (labels[0][1:] == 7).sum()


def test_curves_are_those_of_a_gallery_without_them():
    labels = np.arange(40) % 3, np.arange(300) % 3
    _, curves = precision_recall(rank(QUERY, GALLERY, leave_out=LEFT_OUT), *labels)
    for i, (row, others, _) in enumerate(one_by_one(QUERY, GALLERY, LEFT_OUT)):
        alone = rank(row[None], GALLERY[others], leave_out=[[]])
        assert np.array_equal(curves[i], precision_recall(alone, labels[0][[i]], labels[1][others])[1][0])


def test_a_set_against_itself_is_leave_one_out():
    # by hand: a at 0 and 1 degrees, b at 10 and 40; the nearest other image of each: a, a, a, b
    angles = np.radians([0, 1, 10, 40])
    emb = np.stack([np.cos(angles), np.sin(angles)], 1)
    ranking = rank(emb, emb, leave_out=np.arange(4))
    assert ranking.indices.tolist() == [[1, 2, 3, 0], [0, 2, 3, 1], [1, 0, 3, 2], [2, 1, 0, 3]]
    assert precision_at_k(ranking, list("aabb"), list("aabb"), 1).values.tolist() == [1, 1, 0, 1]
    # with k over the whole gallery, the own image is no hit: one relevant image each
    assert precision_at_k(ranking, list("aabb"), list("aabb"), 4).mean == 1 / 4


def test_forms_blocks_and_merged_parts_agree():
    table = np.stack([np.arange(40), np.arange(40) + 40], 1)
    expected = rank(QUERY, GALLERY, k=50, leave_out=table)
    for leave_out in (torch.tensor(table), table.tolist(), list(table[:, ::-1]), [*torch.tensor(table)]):
        assert np.array_equal(rank(QUERY, GALLERY, k=50, leave_out=leave_out).indices, expected.indices)
    labels = np.arange(40) % 3, np.arange(300) % 3
    values = [r.mean for r in evaluate(expected, *labels, ks=(1, 50), ap_ks=(50,))]
    for rows, block in rank_blocks(QUERY, GALLERY, k=50, leave_out=table):
        assert np.array_equal(block.indices, expected.indices[rows])
        assert np.array_equal(block.left_out.queries + rows.start, np.repeat(np.arange(40)[rows], 2))
    parts = [(GALLERY[:61], [r[r < 61] for r in table]), (GALLERY[61:], [r[r >= 61] - 61 for r in table])]
    merged = merge_rankings(*(rank(QUERY, part, k=50, leave_out=rows) for part, rows in parts), 50)
    assert np.array_equal(merged.indices, expected.indices)
    assert [r.mean for r in evaluate(merged, *labels, ks=(1, 50), ap_ks=(50,))] == pytest.approx(values)


def test_leaving_nothing_out_is_the_plain_ranking():
    plain = rank(QUERY, GALLERY, k=9)
    nothing = rank(QUERY, GALLERY, k=9, leave_out=[[]] * 40)
    assert np.array_equal(plain.indices, nothing.indices) and np.array_equal(plain.scores, nothing.scores)
    assert nothing.left_out is None


def test_queries_that_find_their_own_vector_are_reported_once_unless_something_was_said():
    emb = np.random.default_rng(0).standard_normal((30, 5))
    gallery, labels = np.concatenate([emb[:4], emb[20:] + 1]), (["x"] * 30, ["x"] * 14)
    for call in (
        lambda **more: evaluate(rank(emb, gallery, **more), *labels, ks=(1,), ap_ks=()),
        lambda **more: evaluate_embeddings(emb, gallery, *labels, ks=(1,), ap_ks=(), **more),
        lambda **more: precision_recall(rank(emb, gallery, **more), *labels),
    ):
        with pytest.warns(UserWarning, match="4 of 30 queries") as caught:
            call()
        assert len(caught) == 1 and "\n" not in str(caught[0].message)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call(leave_out=[[i] if i < 4 else [] for i in range(30)])
            call(leave_out=[[]] * 30)
            rank(emb, gallery)  # neighbours, which nothing is computed from


@pytest.mark.parametrize(
    "leave_out, value",
    [
        ([[0]], "1 entries for 3 queries"),
        ([[0], [5], [0]], "has 5"),
        ([-1, 0, 0], "has -1"),
        ([[0.5], [0], [0]], "0.5"),
        ([["a"], ["b"], ["c"]], "a"),
        (np.eye(3, 5) > 0, "bool"),
        ([[[0]], [[0]], [[0]]], "int"),
    ],
)
def test_bad_rows_are_refused_in_one_line(leave_out, value):
    for call in (rank, rank_blocks, lambda *emb, **more: evaluate_embeddings(*emb, "abc", "abcde", **more)):
        with pytest.raises(CdirError) as error:
            call(signs(3, 0), signs(5, 0), leave_out=leave_out)
        assert value in str(error.value) and "leave_out" in str(error.value) and "\n" not in str(error.value)
