"""rank against brute force, its ties, its memory, its refusals."""

import warnings

import numpy as np
import pytest
import torch

from cdir_nb.errors import CdirError
from cdir_nb.retrieval import blocks, for_dot_product, rank, rank_blocks, ranking


def brute_force(query, gallery, similarity="cosine"):
    """(Q, G) order by float64 scores and gallery index, one pair at a time."""
    query, gallery = np.asarray(query, float), np.asarray(gallery, float)
    if similarity == "cosine":
        query = query / np.linalg.norm(query, axis=1, keepdims=True)
        gallery = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
        scores = query @ gallery.T
    else:
        scores = -np.sqrt(((query[:, None] - gallery[None]) ** 2).sum(2))
    return np.stack([np.lexsort((np.arange(len(gallery)), -row)) for row in scores]), scores


def signs(n, dim, seed):
    """Rows of +-1: with dim = 16 every norm is 4, so cosines are exact in float32 and ties abound."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], (n, dim)).astype(np.float32)


def integers(n, dim, seed):
    return np.random.default_rng(seed).integers(-2, 3, (n, dim)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 2, 5, 37, 150, 299, 300, None])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
@pytest.mark.parametrize("seed", [0, 1])
def test_ties_at_every_cut_stand_in_gallery_order(small_blocks, k, similarity, seed):
    make = signs if similarity == "cosine" else integers
    query, gallery = make(40, 16, seed), make(300, 16, seed + 10)
    order, scores = brute_force(query, gallery, similarity)
    result = rank(query, gallery, k=k, similarity=similarity)
    assert np.array_equal(result.indices, order[:, :k])
    assert np.allclose(result.scores, np.take_along_axis(scores, order, 1)[:, :k], atol=1e-5)
    assert result.indices.dtype == np.int32 and result.scores.dtype == np.float32


@pytest.mark.parametrize("k", [10, None])
@pytest.mark.parametrize("dim", [3, 64, 129])
def test_default_blocks_agree_with_brute_force(k, dim):
    draw = np.random.default_rng(dim)
    query, gallery = draw.standard_normal((60, dim)), draw.standard_normal((700, dim))
    for similarity in ("cosine", "euclidean"):
        result = rank(query, gallery, k=k, similarity=similarity)
        order, scores = brute_force(query, gallery, similarity)
        ours = np.take_along_axis(scores, result.indices.astype(int), 1)  # float32 may swap near-equal neighbours
        assert np.allclose(ours, np.take_along_axis(scores, order, 1)[:, :k], atol=1e-5)
        assert all(len(set(row)) == result.k for row in result.indices)


@pytest.mark.parametrize("k", [1, 5, 100, 400, None])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_identical_gallery_rows_always_tie(small_blocks, k, similarity):
    """BLAS gives equal columns scores that differ in the last bit (dim 128 shows it); the order must not."""
    draw = np.random.default_rng(3)
    base = draw.standard_normal((200, 128)).astype(np.float32)
    gallery = np.concatenate([base, base[::-1], base[:50]])
    query = draw.standard_normal((30, 128)).astype(np.float32)
    single = rank(query, base, similarity=similarity).indices
    copies = [sorted({i, 399 - i} | ({400 + i} if i < 50 else set())) for i in range(200)]
    expected = np.array([[c for i in row for c in copies[i]] for row in single])
    assert np.array_equal(rank(query, gallery, k=k, similarity=similarity).indices, expected[:, :k])


def test_collapsed_embeddings_give_the_gallery_order(small_blocks):
    result = rank(np.ones((9, 4)), np.ones((500, 4)), k=20)
    assert np.array_equal(result.indices, np.tile(np.arange(20), (9, 1)))


@pytest.mark.parametrize("k", [1, 5, 20, 200, None])
@pytest.mark.parametrize("sign", [1, -1])
def test_cosines_stay_within_one_and_tie_there(small_blocks, k, sign):
    draw = np.random.default_rng(0)
    query, gallery = (x + 1e-4 * draw.standard_normal(x.shape) for x in (np.ones((10, 64)), np.ones((500, 64))))
    result = rank(sign * query, gallery, k=k)
    assert np.abs(result.scores).max() <= 1
    ties = np.diff(result.scores) == 0
    assert (np.diff(result.indices)[ties] > 0).all(), "equal scores stand in gallery order"


@pytest.mark.parametrize("k", [1, 3, 10, 40, 100])
@pytest.mark.parametrize("middle", [1, -1, 0])
def test_scores_beyond_the_limit_count_as_the_limit(small_blocks, k, middle):
    draw = np.random.default_rng(k)
    scores = np.float32(middle) + draw.choice(np.float32([-2e-7, -1e-7, 0, 1e-7, 2e-7]), (9, 100))
    best = np.empty((9, 0), np.int64)
    for start in range(0, 100, 50 if k < 50 else 100):
        best = blocks.merge_scores(best, scores[:, start : start + (50 if k < 50 else 100)].copy(), start, k, 1.0)
    clipped = scores.clip(-1, 1)
    assert np.array_equal(blocks.indices_of(best), np.argsort(-clipped, axis=1, kind="stable")[:, :k])
    on_gpu = blocks._best_keys_torch(torch.from_numpy(scores), torch.eye(100), k, 50, 1.0)
    assert np.array_equal(blocks.indices_of(on_gpu), blocks.indices_of(best))


@pytest.mark.parametrize("rows", [np.ones((50, 64)), np.ones((50, 64)) + 1e-4 * integers(50, 64, 0)])
def test_collapsed_embeddings_are_reported(rows):
    with pytest.warns(UserWarning, match="nearly equal") as caught:
        rank(rows[:3] + 1e-3, rows, k=5)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)


def test_embeddings_with_differences_are_not_reported():
    draw = np.random.default_rng(0)
    near = 1 + 0.01 * draw.standard_normal((50, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rank(near[:2], near)
        rank(near[:2], [near[0]])  # a gallery of one
        rank(near[:2], np.concatenate([near[:1]] * 30 + [near[1:2]] * 10 + [near[:1]] * 30))  # mostly copies
        rank(1000 + near[:2], 1000 + near, similarity="euclidean")
        rank(np.zeros((2, 3)), np.eye(3), similarity="euclidean")


def test_keys_order_scores_and_give_them_back():
    scores = np.array([[np.inf, 3e38, 1, 1e-45, 0, -1e-45, -1, -3e38, -np.inf]], np.float32)
    keys = blocks.keys_of(scores, np.arange(9))
    assert (np.diff(keys) > 0).all() and np.array_equal(blocks.scores_of(keys), scores)
    assert blocks.indices_of(keys).tolist() == [list(range(9))]
    assert np.diff(blocks.keys_of(np.array([[0.0, -0.0, 0.0]], np.float32), np.arange(3))).tolist() == [[1, 1]]  # ties


def test_a_hand_worked_case():
    # cosine: query (1, 0) with (0, 2), (3, 3), (5, 0), (-1, 0) gives 0, 1/sqrt 2, 1, -1
    result = rank(torch.tensor([[1, 0]]), np.array([[0, 2], [3, 3], [5, 0], [-1, 0]]))
    assert result.indices.tolist() == [[2, 1, 0, 3]]
    assert result.scores[0] == pytest.approx([1, 0.5**0.5, 0, -1])
    # Euclidean: distances sqrt(1 + 4), sqrt(4 + 9), 4, 2
    result = rank([[1.0, 0]], [[0.0, 2], [3, 3], [5, 0], [-1, 0]], similarity="euclidean")
    assert result.indices.tolist() == [[3, 0, 1, 2]]
    assert result.scores[0] == pytest.approx([-2, -(5**0.5), -(13**0.5), -4])


def test_a_large_common_offset_costs_no_digits():
    draw = np.random.default_rng(0)
    query, gallery = draw.standard_normal((20, 8)), draw.standard_normal((50, 8))
    result = rank(query.round(2) + 1000, gallery.round(2) + 1000, similarity="euclidean")
    order, scores = brute_force(query.round(2), gallery.round(2), "euclidean")
    assert np.allclose(result.scores, np.take_along_axis(scores, order, 1), atol=2e-3)


@pytest.mark.parametrize("k", [1, 9, None])
def test_order_follows_a_permuted_gallery(k):
    draw = np.random.default_rng(1)
    query, gallery, turn = draw.standard_normal((20, 6)), draw.standard_normal((90, 6)), draw.permutation(90)
    assert np.array_equal(turn[rank(query, gallery[turn], k=k).indices], rank(query, gallery, k=k).indices)


def test_scores_never_rise_and_small_k_is_a_prefix():
    query, gallery = integers(30, 5, 0) + 0.5, integers(200, 5, 1) + 0.5
    full = rank(query, gallery)
    assert (np.diff(full.scores) <= 0).all()
    for k in (1, 3, 50, 120):
        assert np.array_equal(rank(query, gallery, k=k).indices, full.indices[:, :k])
    assert rank(query, gallery, k=999).k == full.n_gallery == 200 and len(full) == 30


def test_tensors_arrays_and_types_agree():
    query, gallery = integers(5, 4, 0) + 3, integers(9, 4, 1) + 3
    expected = rank(query, gallery, k=4)
    for convert in (
        lambda x: torch.tensor(x, dtype=torch.float64),
        lambda x: x.astype(np.int64),
        lambda x: torch.tensor(x, dtype=torch.bfloat16),
        np.asfortranarray,
        lambda x: torch.tensor(x, requires_grad=True),
    ):
        assert np.array_equal(rank(convert(query), convert(gallery), k=4).indices, expected.indices)


def test_blocks_add_up_to_rank(small_blocks):
    query, gallery = signs(40, 16, 0), signs(100, 16, 1)
    whole, seen = rank(query, gallery, k=9), []
    for rows, block in rank_blocks(query, gallery, k=9):
        assert np.array_equal(block.indices, whole.indices[rows]) and block.n_gallery == 100
        seen += range(40)[rows]
    assert seen == list(range(40))


def test_torch_path_gives_the_same_keys():
    """The GPU's code, run on the CPU, where its inner products are the same for +-1 rows."""
    query, gallery = signs(20, 16, 0), signs(150, 16, 1)
    for k in (1, 7, 60, 150):
        ours = blocks.best_keys(query, gallery, k, 150)
        theirs = blocks._best_keys_torch(torch.from_numpy(query), torch.from_numpy(gallery), k, 64)
        assert np.array_equal(ours, theirs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_gpu_agrees_with_cpu():
    query, gallery = torch.from_numpy(signs(300, 16, 0)), torch.from_numpy(signs(5000, 16, 1))
    for k in (10, None):
        gpu = rank(query.cuda(), gallery.cuda(), k=k)
        assert np.array_equal(gpu.indices, rank(query, gallery, k=k).indices)


def test_memory_is_flat_in_the_gallery():
    """A block's scores and keys stay within the budget, whatever the gallery; a full order needs whole rows."""
    for n_gallery in (10, 5_000, 50_000, 1_000_000, 20_000_000):
        rows, columns = blocks.block_shape(100_000, n_gallery, min(200, n_gallery), 2)
        assert rows * (4 * columns + 8 * min(200, n_gallery)) <= blocks.BLOCK_BYTES
        assert rows >= 128 and columns >= min(n_gallery, blocks.GALLERY_ROWS)
    for n_gallery in (5_000, 175_327, 1_000_000):
        rows, columns = blocks.block_shape(100_000, n_gallery, n_gallery, 2)
        assert columns == n_gallery and (rows <= blocks.LEAST_ROWS or rows * 12 * n_gallery <= blocks.BLOCK_BYTES)


def test_no_score_matrix_wider_than_a_block_is_made(monkeypatch):
    shapes = []
    merge = blocks.merge_scores
    monkeypatch.setattr(
        blocks, "merge_scores", lambda best, scores, *rest: shapes.append(scores.shape) or merge(best, scores, *rest)
    )
    draw = np.random.default_rng(0)
    rank(draw.standard_normal((600, 4)), draw.standard_normal((40_000, 4)), k=5)
    assert max(rows for rows, _ in shapes) <= blocks.QUERY_ROWS
    assert max(columns for _, columns in shapes) < 2 * blocks.GALLERY_ROWS


def test_waiting_blocks_are_few():
    """A slow reader must not make the pass pile up results."""
    taken = []
    results = blocks._in_threads(lambda item: -item, (taken.append(item) or item for item in range(50)), 2)
    assert next(results) == 0 and len(taken) == 3
    assert list(results) == [-item for item in range(1, 50)]


GOOD = np.ones((3, 2))
NAN = np.array([[1, 2], [3, np.nan]])


@pytest.mark.parametrize(
    "query, gallery, options, value",
    [
        (NAN, GOOD, {}, "row 1 of query_emb"),
        (GOOD, np.full((4, 2), np.inf), {}, "row 0 (and 3 more) of gallery_emb"),
        (GOOD, GOOD * 1e300, {}, "row 0 (and 2 more) of gallery_emb"),
        (NAN, GOOD, {"similarity": "euclidean"}, "row 1 of query_emb"),
        (np.empty((0, 2)), GOOD, {}, "query_emb is empty, shape (0, 2)"),
        (GOOD, torch.empty(0, 2), {}, "gallery_emb is empty, shape (0, 2)"),
        (np.empty((3, 0)), np.empty((3, 0)), {}, "query_emb is empty, shape (3, 0)"),
        (GOOD, np.ones((3, 5)), {}, "query_emb has 2 columns and gallery_emb has 5"),
        (np.ones(3), GOOD, {}, "query_emb has shape (3,) and type torch.float64"),
        (GOOD * 1j, GOOD, {}, "query_emb has shape (3, 2) and type torch.complex128"),
        (np.array([["a", "b"]]), GOOD, {}, "query_emb"),
        ([[1, 2], [3]], GOOD, {}, "query_emb"),
        (GOOD, GOOD, {"k": 0}, "got 0"),
        (GOOD, GOOD, {"k": -3}, "got -3"),
        (GOOD, GOOD, {"k": 2.5}, "got 2.5"),
        (GOOD, GOOD, {"k": True}, "got True"),
        (GOOD, GOOD, {"similarity": "dot"}, "'dot'"),
        (GOOD, np.eye(3)[:, :2], {}, "row 2 of gallery_emb"),
    ],
)
def test_bad_input_is_refused_in_one_line(query, gallery, options, value):
    for entry in (rank, rank_blocks):
        with pytest.raises(CdirError) as error:
            entry(query, gallery, **options)
        assert value in str(error.value) and "\n" not in str(error.value)


def test_euclidean_order_of_the_longer_rows_is_the_order_of_dot_products():
    draw = torch.Generator().manual_seed(0)
    query, gallery = torch.randn(20, 6, generator=draw), torch.randn(50, 6, generator=draw)
    gallery *= torch.rand(50, 1, generator=draw) * 5  # lengths must matter
    indices = rank(*for_dot_product(query, gallery), similarity="euclidean").indices
    assert (indices == np.argsort(-(query @ gallery.T).numpy(), axis=1)).all()
    assert (indices != rank(query, gallery, similarity="euclidean").indices).any()
    assert (indices != rank(query, gallery).indices).any()


def test_zero_vectors_are_welcome_under_euclidean():
    assert rank(np.zeros((1, 2)), [[3.0, 0], [0, 0]], similarity="euclidean").indices.tolist() == [[1, 0]]


def test_two_devices_are_refused(monkeypatch):
    monkeypatch.setattr(ranking, "checked_rows", lambda name, emb, _: torch.ones(3, 2, device=emb))
    with pytest.raises(CdirError, match="cpu and gallery_emb on meta"):
        rank("cpu", "meta")


def test_an_order_too_big_to_hold_is_refused(monkeypatch):
    monkeypatch.setattr(ranking, "MOST_RESULT_BYTES", 100)
    with pytest.raises(CdirError, match="3 queries x 6 ranks"):
        rank(GOOD, np.ones((6, 2)))
