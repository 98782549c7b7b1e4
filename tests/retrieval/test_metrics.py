"""Every convention against hand-worked cases, slow plain Python, and libraries that mean the same."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from cdir_nb.errors import CdirError
from cdir_nb.retrieval import (
    AVERAGE_PRECISION,
    PRECISION,
    Ranking,
    as_reported,
    average_precision,
    blocks,
    bootstrap_interval,
    evaluate,
    evaluate_embeddings,
    families,
    metrics,
    per_class,
    precision_at_k,
    precision_recall,
    random_fraction,
    rank,
)


def ranking_of(*orders, n_gallery=None):
    indices = np.array(orders, np.int32)
    return Ranking(
        indices, -np.arange(indices.size, dtype=np.float32).reshape(indices.shape), n_gallery or indices.shape[1]
    )


@pytest.fixture(scope="module")
def world():
    """50 queries, 120 gallery items, 9 classes of uneven size; class "h" has no gallery item, class "i" only one."""
    draw = np.random.default_rng(0)
    names = np.array(list("abcdefgh"))
    query_labels = draw.choice(names, 50)
    gallery_labels = draw.choice(names[:7], 120, p=np.array([40, 25, 15, 10, 5, 3, 2]) / 100)
    query_labels[:3], gallery_labels[77] = ["i", "h", "i"], "i"
    centre = {name: draw.standard_normal(8) for name in "abcdefghi"}
    emb = [
        np.stack([centre[y] for y in labels]) + draw.standard_normal((len(labels), 8))
        for labels in (query_labels, gallery_labels)
    ]
    return *emb, query_labels, gallery_labels


# ---- by hand ---------------------------------------------------------------------------------------------------

GALLERY = ["x", "y", "x", "y", "y", "x"]
HAND = ranking_of([1, 0, 2, 3, 5, 4], [0, 1, 2, 3, 4, 5], [1, 3, 4, 0, 2, 5])
# Relevant, rank by rank:      x: . 1 1 . 1 .        y: . 1 . 1 1 .        z: nothing in the gallery
LABELS = ["x", "y", "z"]


@pytest.mark.parametrize(
    "convention, k, values, mean",
    [
        # x: 2 hits in 4; y: 2 in 4; z: 0 in 4. Mean (1/2 + 1/2 + 0) / 3
        ("hits_over_k", 4, [1 / 2, 1 / 2, 0], 1 / 3),
        # k beyond the gallery: all 3 relevant items are found, and the base is still k
        ("hits_over_k", 100, [3 / 100, 3 / 100, 0], 2 / 100),
        ("hits_over_min_k_relevant", 100, [2 / 3, 1 / 3, np.nan], 1 / 2),
        ("ucdir_micro", 100, [2 / 3, 1 / 3, np.nan], 3 / 6),
        # n_rel = 3 for x and y, so the first 3 ranks count: x 2/3, y 1/3; z is 0/0 and left out: (2/3 + 1/3) / 2
        ("hits_over_min_k_relevant", 4, [2 / 3, 1 / 3, np.nan], 1 / 2),
        # first 2 ranks: x 1/2, y 1/2
        ("hits_over_min_k_relevant", 2, [1 / 2, 1 / 2, np.nan], 1 / 2),
        # micro: (2 + 1 + 0) / (3 + 3 + 0)
        ("ucdir_micro", 4, [2 / 3, 1 / 3, np.nan], 3 / 6),
    ],
)
def test_precision_by_hand(convention, k, values, mean):
    result = precision_at_k(HAND, LABELS, GALLERY, k, convention)
    assert result.values == pytest.approx(values, nan_ok=True) and result.mean == pytest.approx(mean)


def test_micro_mean_weighs_large_classes_more():
    # gallery a a a b; query a sees a b a a (first 3: 2 of 3), query b sees a b .. (first 1: 0 of 1)
    ranking, labels = ranking_of([0, 3, 1, 2], [0, 3, 1, 2]), (["a", "b"], list("aaab"))
    assert precision_at_k(ranking, *labels, 3, "ucdir_micro").mean == 2 / 4  # (2 + 0) / (3 + 1)
    assert precision_at_k(ranking, *labels, 3, "hits_over_min_k_relevant").mean == pytest.approx((2 / 3 + 0) / 2)
    assert precision_at_k(ranking, *labels, 3, "hits_over_k").mean == pytest.approx((2 / 3 + 1 / 3) / 2)


@pytest.mark.parametrize(
    "convention, k, values",
    [
        # precisions at hits: x 1/2, 2/3, 3/5; y 1/2, 2/4, 3/5
        ("over_found", 4, [(1 / 2 + 2 / 3) / 2, (1 / 2 + 2 / 4) / 2, 0]),
        ("over_found", 1, [0, 0, 0]),
        ("over_min_k_relevant", 4, [(1 / 2 + 2 / 3) / 3, (1 / 2 + 2 / 4) / 3, np.nan]),
        ("over_min_k_relevant", 2, [(1 / 2) / 2, (1 / 2) / 2, np.nan]),
        ("over_relevant", 2, [(1 / 2) / 3, (1 / 2) / 3, np.nan]),
        ("over_relevant", None, [(1 / 2 + 2 / 3 + 3 / 5) / 3, (1 / 2 + 2 / 4 + 3 / 5) / 3, np.nan]),
        # each precision raised to the best from there on within k: x (2/3, 2/3, 3/5), y (3/5, 3/5, 3/5)
        ("voc_interpolated", None, [(2 / 3 + 2 / 3 + 3 / 5) / 3, 3 / 5, np.nan]),
        # within 4: x (2/3, 2/3), y (1/2, 1/2), base min(4, 3)
        ("voc_interpolated", 4, [(2 / 3 + 2 / 3) / 3, (1 / 2 + 1 / 2) / 3, np.nan]),
        ("voc_interpolated", 2, [(1 / 2) / 2, (1 / 2) / 2, np.nan]),
        # k beyond the gallery is the whole ranking
        ("over_found", 100, [(1 / 2 + 2 / 3 + 3 / 5) / 3, (1 / 2 + 2 / 4 + 3 / 5) / 3, 0]),
        ("over_min_k_relevant", 100, [(1 / 2 + 2 / 3 + 3 / 5) / 3, (1 / 2 + 2 / 4 + 3 / 5) / 3, np.nan]),
        ("over_relevant", 100, [(1 / 2 + 2 / 3 + 3 / 5) / 3, (1 / 2 + 2 / 4 + 3 / 5) / 3, np.nan]),
        ("voc_interpolated", 100, [(2 / 3 + 2 / 3 + 3 / 5) / 3, 3 / 5, np.nan]),
    ],
)
def test_average_precision_by_hand(convention, k, values):
    result = average_precision(HAND, LABELS, GALLERY, k, convention)
    assert result.values == pytest.approx(values, nan_ok=True)
    assert result.mean == pytest.approx(np.nanmean(values))


# ---- against slow plain Python, written from the description ----------------------------------------------------


def ucdir_micro(lists, k):
    """Per query look at min(k, n_rel) ranks only; add up hits and ranks looked at, then divide once."""
    hits = looked_at = 0
    for relevant in lists:
        depth = min(k, sum(relevant))
        for rank_index in range(depth):
            hits += relevant[rank_index]
        looked_at += depth
    return hits / looked_at


def voc_ap(relevant, k):
    """Area under precision over recall, with precision made to fall: the sum of recall steps x highest precision left.

    Only k ranks are seen, and recall counts towards the most that k ranks could hold.
    """
    base = min(k, sum(relevant))
    if base == 0:
        return math.nan
    points, hits = [], 0  # (recall, precision) at each rank
    for depth, hit in enumerate(relevant[:k], start=1):
        hits += hit
        points.append((hits / base, hits / depth))
    area, before = 0.0, 0.0
    for place, (recall, _) in enumerate(points):
        area += (recall - before) * max(precision for _, precision in points[place:])
        before = recall
    return area


def plain_ap(relevant, k, convention):
    hits = total = 0
    for depth, hit in enumerate(relevant[:k], start=1):
        if hit:
            hits += 1
            total += hits / depth
    n_rel = sum(relevant)
    base = {"over_found": max(hits, 1), "over_min_k_relevant": min(k, n_rel), "over_relevant": n_rel}[convention]
    return total / base if base else math.nan


def relevance_lists(world, ranking):
    return [[int(world[3][i] == label) for i in row] for row, label in zip(ranking.indices, world[2])]


@pytest.mark.parametrize("k", [1, 2, 7, 30, 119, 120, 500, None])
def test_all_conventions_against_plain_python(world, k):
    ranking = rank(*world[:2])
    lists, depth = relevance_lists(world, ranking), k or 120
    results = evaluate(ranking, *world[2:], ks=(depth,), ap_ks=(k,))
    results = {(r.metric.kind, r.convention): r for r in results}
    assert len(results) == len(PRECISION) + len(AVERAGE_PRECISION)
    expected = [sum(row[:depth]) / depth for row in lists]
    assert results["precision", "hits_over_k"].values == pytest.approx(expected)
    expected = [sum(row[: min(depth, sum(row))]) / min(depth, sum(row)) if sum(row) else math.nan for row in lists]
    assert results["precision", "hits_over_min_k_relevant"].values == pytest.approx(expected, nan_ok=True)
    assert results["precision", "ucdir_micro"].mean == pytest.approx(ucdir_micro(lists, depth))
    for name in AVERAGE_PRECISION:
        expected = [voc_ap(row, depth) if name == "voc_interpolated" else plain_ap(row, depth, name) for row in lists]
        assert results["average_precision", name].values == pytest.approx(expected, nan_ok=True)
        assert results["average_precision", name].mean == pytest.approx(np.nanmean(expected))


# ---- against other libraries, where they mean the same ----------------------------------------------------------


def relevant_rows(world, ranking):
    """(query, relevant by gallery row, relevant by rank) of queries whose class is in the gallery."""
    for q, label in enumerate(world[2]):
        relevant = world[3] == label
        if relevant.any():
            yield q, relevant, relevant[ranking.indices[q]]


def scores_by_row(ranking, q):
    scores = np.empty(ranking.n_gallery, np.float32)
    scores[ranking.indices[q]] = ranking.scores[q]
    return scores


def test_sklearn_is_over_relevant_in_full_and_over_found_on_a_slice(world):
    from sklearn.metrics import average_precision_score

    ranking = rank(*world[:2])
    full = average_precision(ranking, *world[2:], None, "over_relevant").values
    cut = average_precision(ranking, *world[2:], 20, "over_found").values
    for q, relevant, in_order in relevant_rows(world, ranking):
        assert full[q] == pytest.approx(average_precision_score(relevant, scores_by_row(ranking, q)))
        if in_order[:20].any():
            assert cut[q] == pytest.approx(average_precision_score(in_order[:20], ranking.scores[q, :20]))


def test_torchmetrics_is_over_found(world):
    from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_precision

    ranking = rank(*world[:2])
    ap = average_precision(ranking, *world[2:], 60, "over_found").values
    precision = precision_at_k(ranking, *world[2:], 60).values
    for q, relevant, _ in relevant_rows(world, ranking):
        scores, target = torch.from_numpy(scores_by_row(ranking, q)) + 2, torch.from_numpy(relevant)  # it drops <= 0
        assert ap[q] == pytest.approx(float(retrieval_average_precision(scores, target, top_k=60)), abs=1e-6)
        assert precision[q] == pytest.approx(float(retrieval_precision(scores, target, top_k=60)), abs=1e-6)


def test_pytorch_metric_learning(world):
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    codes = [torch.tensor([ord(x) for x in labels]) for labels in world[2:]]
    known = torch.isin(codes[0], codes[1])  # it refuses to count queries without relevant items; so do our means
    emb = [torch.nn.functional.normalize(torch.tensor(x)).float() for x in world[:2]]
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision"), k=120, device=torch.device("cpu")
    )
    theirs = calculator.get_accuracy(emb[0][known], codes[0][known], emb[1], codes[1])
    ranking = rank(*world[:2])
    ours = {
        "precision_at_1": precision_at_k(rank(world[0][known.numpy()], world[1]), codes[0][known], codes[1], 1),
        "r_precision": precision_at_k(ranking, *world[2:], 120, "hits_over_min_k_relevant"),
        "mean_average_precision": average_precision(ranking, *world[2:], None, "over_relevant"),
    }
    for name, result in ours.items():
        assert result.mean == pytest.approx(theirs[name]), name


@pytest.mark.medium
def test_ranx_divides_by_all_relevant(world):
    from ranx import Qrels, Run
    from ranx import evaluate as ranx_evaluate

    ranking = rank(*world[:2])
    rows = list(relevant_rows(world, ranking))
    qrels = Qrels({str(q): {str(i): 1 for i in np.flatnonzero(relevant)} for q, relevant, _ in rows})
    run = Run({str(q): {str(i): float(120 - place) for place, i in enumerate(ranking.indices[q])} for q, *_ in rows})
    theirs = ranx_evaluate(qrels, run, ["map", "map@10", "precision@10"], make_comparable=True)
    keep = np.array([q for q, *_ in rows])
    assert average_precision(ranking, *world[2:], None, "over_relevant").mean == pytest.approx(theirs["map"])
    assert average_precision(ranking, *world[2:], 10, "over_relevant").mean == pytest.approx(theirs["map@10"])
    assert precision_at_k(ranking, *world[2:], 10).select(keep).mean == pytest.approx(theirs["precision@10"])
    for name in ("over_found", "over_min_k_relevant", "voc_interpolated"):
        assert average_precision(ranking, *world[2:], 10, name).mean > theirs["map@10"] + 0.01


# ---- properties ------------------------------------------------------------------------------------------------


def test_conventions_are_ordered_and_meet_where_they_should(world):
    ranking = rank(*world[:2])
    for k in (3, 20, 60):
        found, within, relevant, voc = (
            average_precision(ranking, *world[2:], k, convention).values for convention in AVERAGE_PRECISION
        )
        ok = ~np.isnan(within)
        assert (found[ok] >= within[ok] - 1e-12).all() and (within[ok] >= relevant[ok] - 1e-12).all()
        assert (voc[ok] >= within[ok] - 1e-12).all() and (voc[ok] <= 1).all()
    found, within, relevant, _ = (average_precision(ranking, *world[2:], None, c).values for c in AVERAGE_PRECISION)
    assert np.array_equal(within, relevant, equal_nan=True)
    assert np.array_equal(found[ok], relevant[ok]) and (found[~ok] == 0).all() and (~ok).any()


def test_a_perfect_ranking_reaches_the_ceiling():
    labels = np.repeat(list("abc"), [2, 5, 9])
    order = np.stack([np.argsort(labels != y, kind="stable") for y in "abc"])
    results = evaluate(ranking_of(*order), list("abc"), labels, (4,), (4, None))
    results = {(result.convention, result.k): result.values for result in results}
    assert results.pop(("hits_over_k", 4)).tolist() == [2 / 4, 1, 1]
    assert results.pop(("over_relevant", 4)).tolist() == [1, 4 / 5, 4 / 9]
    assert all((values == 1).all() for values in results.values()) and len(results) == 9


def test_a_hit_moved_up_never_hurts():
    draw = np.random.default_rng(5)
    labels = np.array(list("aabbbbcccccc"))
    for _ in range(30):
        order = draw.permutation(12)
        place = int(draw.choice(np.flatnonzero(labels[order][1:] == "b"))) + 1
        better = order.copy()
        better[[place - 1, place]] = order[[place, place - 1]]
        for worse_one, better_one in zip(
            *(evaluate(ranking_of(o), ["b"], labels, (1, 4, 9), (12, None)) for o in (order, better))
        ):
            assert better_one.mean >= worse_one.mean - 1e-12, str(worse_one.metric)


def test_metrics_do_not_see_the_order_of_the_gallery(world):
    turn = np.random.default_rng(2).permutation(120)
    straight = evaluate(rank(*world[:2]), *world[2:], (1, 30), (30, None))
    turned = evaluate(rank(world[0], world[1][turn]), world[2], world[3][turn], (1, 30), (30, None))
    assert [r.mean for r in straight] == pytest.approx([r.mean for r in turned])


def test_past_the_gallery_a_precision_is_what_any_ranking_reaches():
    labels, draw = np.repeat(list("abc"), 10), np.random.default_rng(0)
    ranking = rank(draw.normal(size=(30, 8)), draw.normal(size=(30, 8)))
    over_k = {r.k: r for r in evaluate(ranking, labels, labels, ks=(10, 50, 200), ap_ks=()) if "over_k" in r.name}
    assert (over_k[50].values == 10 / 50).all() and over_k[200].mean == pytest.approx(0.05)
    assert over_k[200].name == "P@200 (hits_over_k)"


# ---- the ways in -----------------------------------------------------------------------------------------------


def test_evaluate_gives_what_the_single_metrics_give(world, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK_CELLS", 700)  # several parts
    ranking = rank(*world[:2])
    results = evaluate(ranking, *world[2:], ks=(1, 5, 100), ap_ks=(5, None))
    assert [(r.convention, r.k) for r in results] == [(c, k) for k in (1, 5, 100) for c in PRECISION] + [
        (c, k) for k in (5, None) for c in AVERAGE_PRECISION
    ]
    for r in results:
        single = {"precision": precision_at_k, "average_precision": average_precision}[r.metric.kind]
        assert np.array_equal(single(ranking, *world[2:], r.k, r.convention).values, r.values, equal_nan=True)
    table = pd.DataFrame(r.row() for r in results)
    assert len(table) == 17 and set(table["queries"]) == {50}
    assert set(table["queries_without_relevant"]) == {sum(label not in world[3] for label in world[2])} != {0}
    assert table["metric"].iloc[[0, -1]].tolist() == ["P@1:hits_over_k", "mAP@all:voc_interpolated"]


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
@pytest.mark.parametrize(("ks", "ap_ks"), [((1, 20), (5, None)), ((1, 20), (5,)), ((5,), ()), ((), (5,))])
def test_embeddings_in_blocks_give_the_same(world, monkeypatch, similarity, ks, ap_ks):
    whole = evaluate(rank(*world[:2], similarity=similarity), *world[2:], ks=ks, ap_ks=ap_ks)
    monkeypatch.setattr(blocks, "QUERY_ROWS", 4)
    parts = evaluate_embeddings(*world, similarity=similarity, ks=ks, ap_ks=ap_ks)
    assert [r.metric for r in parts] == [r.metric for r in whole]
    for a, b in zip(parts, whole):
        assert np.array_equal(a.values, b.values, equal_nan=True)


def test_top_k_is_enough_for_cutoffs_within_it(world):
    full, cut = (evaluate(rank(*world[:2], k=k), *world[2:], ks=(1, 20), ap_ks=(20,)) for k in (None, 20))
    for a, b in zip(full, cut):
        assert np.array_equal(a.values, b.values, equal_nan=True)


def test_labels_of_any_kind_agree(world):
    ranking = rank(*world[:2])
    expected = average_precision(ranking, *world[2:]).values
    numbers = [np.array([ord(x) for x in labels]) for labels in world[2:]]
    for convert in (list, torch.tensor, lambda x: x.astype(np.int16), lambda x: x.astype(float)):
        assert np.array_equal(average_precision(ranking, *map(convert, numbers)).values, expected)
    texts = [labels.astype(object) for labels in world[2:]]
    assert np.array_equal(average_precision(ranking, *texts).values, expected)


def test_arrays_tensors_and_lists_are_alike(world):
    emb, labels, ks = [x.astype(np.float32) for x in world[:2]], [[ord(x) for x in y] for y in world[2:]], {"ks": (5,)}
    expected = [r.row() for r in evaluate(rank(*emb, k=200), *labels, ks=(5,))]
    family = next(f for f in families() if f.unit and f.similarity == "euclidean")
    reported = as_reported(family, *emb, *labels, 5)
    values = precision_at_k(rank(*emb), *labels, 5).values
    interval = bootstrap_interval(values, labels[0])
    for convert in (np.asarray, torch.tensor, lambda x: np.asarray(x).tolist(), lambda x: [*torch.tensor(x)]):
        e, y = [convert(x) for x in emb], [convert(x) for x in labels]
        ranking = rank(*e, k=200)
        assert [r.row() for r in evaluate(ranking, *y, ks=(5,))] == expected
        by_hand = Ranking(convert(ranking.indices), convert(ranking.scores), 120)
        assert [r.row() for r in evaluate(by_hand, *y, ks=(5,))] == expected
        assert [r.row() for r in evaluate_embeddings(*e, *y, ap_ks=(200,), **ks)] == expected
        assert as_reported(family, *e, *y, 5) == pytest.approx(reported)
        assert bootstrap_interval(convert(values), y[0]) == interval
        assert per_class(precision_at_k(ranking, *y, 5).select(convert(np.arange(9))), y[0][:9])
        assert random_fraction(y[1], 0.5).tolist() == random_fraction(np.array(labels[1]), 0.5).tolist()
        assert precision_recall(ranking, *y, convert([0.0, 0.5]))[1].shape == (50, 2)


def test_per_class_means():
    # values 1/2, 1/2, 0 at hits_over_k 4 for queries of classes x, y, z; micro within a class: sum over sum
    assert per_class(precision_at_k(HAND, LABELS, GALLERY, 4), LABELS) == {"x": 0.5, "y": 0.5, "z": 0}
    micro = per_class(precision_at_k(HAND, LABELS, GALLERY, 4, "ucdir_micro"), np.array(["q", "q", "z"]))
    assert micro["q"] == 3 / 6 and math.isnan(micro["z"])


def test_curves_by_hand():
    # x: (recall, precision) at hits (1/3, 1/2), (2/3, 2/3), (1, 3/5); highest from there on: 2/3, 2/3, 3/5
    recalls, curves = precision_recall(HAND, LABELS, GALLERY, recalls=[0, 1 / 3, 0.34, 2 / 3, 0.7, 1])
    assert curves[0] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2 / 3, 3 / 5, 3 / 5])
    assert curves[1] == pytest.approx([3 / 5] * 6) and np.isnan(curves[2]).all() and len(recalls) == 6


def test_curves_against_plain_python(world):
    ranking = rank(*world[:2])
    recalls, curves = precision_recall(ranking, *world[2:])
    assert recalls.tolist() == np.linspace(0, 1, 101).tolist()
    for q, _, in_order in relevant_rows(world, ranking):
        hits = in_order.cumsum()
        expected = [max(h / (d + 1) for d, h in enumerate(hits) if h >= r * hits[-1] - 1e-9) for r in recalls]
        assert curves[q] == pytest.approx(expected)


def test_recall_that_is_met_exactly_counts():
    # 100 relevant, the first 7 in front: recall 0.07 is reached at rank 7, though 0.07 * 100 > 7 in floating point
    order = [*range(7), 100, *range(7, 100), *range(101, 200)]
    _, curves = precision_recall(ranking_of(order), ["x"], ["x"] * 100 + ["y"] * 100)
    assert curves[0, 7] == 1 and curves[0, 8] == pytest.approx(100 / 101)


def test_nothing_relevant_at_all():
    results = evaluate(ranking_of([0, 1], [1, 0]), ["z", "w"], ["x", "y"], (1,), (None,))
    assert [r.mean for r in results] == pytest.approx([0, np.nan, np.nan, 0, np.nan, np.nan, np.nan], nan_ok=True)
    assert np.isnan(precision_recall(ranking_of([0, 1]), ["z"], ["x", "y"])[1]).all()


# ---- bootstrap intervals ------------------------------------------------------------------------------------------


def test_a_bootstrap_interval_of_queries_is_the_normal_one():
    values = np.random.default_rng(1).normal(0.4, 0.2, 400)
    half = 1.96 * values.std() / np.sqrt(400)
    assert bootstrap_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.003)
    wide, narrow = bootstrap_interval(values, level=0.95), bootstrap_interval(values, level=0.5)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]


def test_an_interval_over_classes_counts_a_class_once_and_ignores_undefined_queries():
    values, classes = np.repeat([0.0, 0.2, 0.9, 0.4], 100), np.repeat(list("abcd"), 100)
    low, high = bootstrap_interval(values, classes)
    of_queries = bootstrap_interval(values)
    assert high - low > 5 * (of_queries[1] - of_queries[0])
    assert bootstrap_interval(np.array([0.0, 0.2, 0.9, 0.4])) == pytest.approx((low, high))  # 4 classes, 4 draws
    assert bootstrap_interval(np.array([np.nan, 0.5, 0.5])) == (0.5, 0.5)
    with pytest.raises(CdirError, match="no query has a value"):
        bootstrap_interval(np.array([np.nan]))


# ---- refusals --------------------------------------------------------------------------------------------------

CUT = ranking_of([0, 1], [1, 2], n_gallery=5)
FIVE = list("aabbb")


BOTH = ["a", "b"]


@pytest.mark.parametrize(
    "call, value",
    [
        (lambda: precision_at_k(CUT, BOTH, FIVE, 3), "k=3"),
        (lambda: average_precision(CUT, BOTH, FIVE, 4, "over_relevant"), "k=4"),
        (lambda: average_precision(CUT, BOTH, FIVE), "k=None"),
        (lambda: precision_recall(CUT, BOTH, FIVE), "k=None"),
        (lambda: evaluate(CUT, BOTH, FIVE), "k=50"),
        (lambda: precision_at_k(CUT, BOTH, FIVE, 0), "got 0"),
        (lambda: average_precision(CUT, BOTH, FIVE, 1.5), "got 1.5"),
        (lambda: evaluate_embeddings(np.ones((1, 2)), np.ones((2, 2)), ["a"], BOTH, ks=(0,)), "got 0"),
        (lambda: precision_at_k(CUT, BOTH, FIVE, 1, "micro"), "'micro'"),
        (lambda: average_precision(CUT, BOTH, FIVE, 1, "ucdir_micro"), "'ucdir_micro'"),
        (lambda: precision_at_k(CUT, ["a"], FIVE, 1), "query_labels has shape (1,) for 2 queries"),
        (lambda: precision_at_k(CUT, BOTH, FIVE[:4], 1), "gallery_labels has shape (4,) for 5 items"),
        (lambda: precision_at_k(CUT, np.eye(2), FIVE, 1), "query_labels has shape (2, 2) for 2 queries"),
        (lambda: precision_at_k(CUT, ["a", None], FIVE, 1), "query_labels has no label in row 1"),
        (lambda: precision_at_k(CUT, [1.0, 2.0], [1, 1, 2, 2, np.nan], 1), "gallery_labels has no label in row 4"),
        (lambda: precision_at_k(CUT, [0, 1], FIVE, 1), "query_labels and gallery_labels"),
        (lambda: Ranking([[0, -1]], [[1, 0]], 5), "index -1"),
        (lambda: Ranking([[0, 5]], [[1, 0]], 5), "index 5"),
        (lambda: Ranking([[0, 1]], [[1]], 5), "(1, 1)"),
        (lambda: Ranking([[0.5]], [[1]], 5), "float64"),
        (lambda: bootstrap_interval([0.1, 0.2], ["a"]), "groups has shape (1,) for 2 values"),
        (lambda: per_class(precision_at_k(CUT, BOTH, FIVE, 1), ["a"]), "query_labels has shape (1,) for 2 queries"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, value):
    with pytest.raises(CdirError) as error:
        call()
    assert value in str(error.value) and "\n" not in str(error.value)
