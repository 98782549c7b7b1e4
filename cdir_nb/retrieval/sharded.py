"""Ranking and metrics for a gallery in shards, equal to `rank` and `evaluate_embeddings` to the last bit.

The score of a pair comes from the same tile of the same grid as in the single pass (see `blocks`): on the same kind
of CPU, with the same libraries, it has the same bits, whoever computes it. The work is cut into parts; a part is the
run of tiles that begin in one shard. If its last tile crosses the end of the shard, rows of the next one are read too.

`each` decides where the parts are computed: here, one after the other, or by the workers of a cluster.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cdir_nb.errors import CdirError
from cdir_nb.retrieval.blocks import (
    GALLERY_ROWS,
    Copies,
    block_shape,
    keys_of,
    merge_scores,
    one_blas_thread,
    row_digests,
    tile_width,
    tiled_scores,
)
from cdir_nb.retrieval.counting import Sums
from cdir_nb.retrieval.metrics import Classes, Labels, PerQuery, deepest_of, evaluate, results_of
from cdir_nb.retrieval.ranking import (
    Embeddings,
    Ranking,
    centre_of,
    checked_cutoff,
    checked_rows,
    decoded,
    gallery_rows,
    query_rows,
    refuse_large,
    squares_of,
)
from cdir_nb.retrieval.shards import ShardedGallery
from cdir_nb.retrieval.whole_order import counts_before

PIECE_TILES = 16  # of a part, when its whole order is counted: some 130,000 scores of a query at a time
KEYS_AT_ONCE = 1 << 24  # keys of relevant items, 128 MiB: decides how many queries are counted at a time

Each = Callable[[Callable, list[tuple], tuple], Iterable[Any]]  # function(*shared, *task) of each task, in any order


def in_turn(function: Callable, tasks: list[tuple], shared: tuple) -> Iterator[Any]:
    """Here, one task after the other."""
    for task in tasks:
        yield function(*shared, *task)


def rank_shards(
    query_emb: Embeddings,
    gallery: ShardedGallery,
    *,
    k: int | None = None,
    similarity: str = "cosine",
    each: Each = in_turn,
) -> Ranking:
    """The result of `rank(query_emb, rows of the gallery)`, ties included; parameters and errors as there.

    Memory here: about 24 Q k bytes, and 81 per gallery row while copies are looked for. Memory where a part is
    computed: 8 Q k bytes, four times the shard, and a few blocks.
    """
    query = _checked(query_emb, gallery, similarity)
    k = len(gallery) if k is None else min(checked_cutoff(k), len(gallery))
    refuse_large(len(query), k)
    grid, copies, query = _prepared(query, gallery, k, similarity, each)
    depth = min(k, grid.n_rows)
    best = np.empty((len(query), 0), np.int64)
    for keys in each(_best_of_part, [(part,) for part in grid.parts(copies)], (grid, query.numpy(), depth)):
        best = np.concatenate([best, keys], axis=1)
        best.sort(axis=1)
        best = best[:, :depth]
    return decoded(copies.spread(best, k) if copies.any else best, squares_of(query, similarity), len(gallery))


def evaluate_shards(
    query_emb: Embeddings,
    gallery: ShardedGallery,
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    similarity: str = "cosine",
    ks: Sequence[int] = (1, 50, 100, 200),
    ap_ks: Sequence[int | None] = (200, None),
    each: Each = in_turn,
) -> list[PerQuery]:
    """The values of `evaluate_embeddings`, to the last digit; parameters and errors as there.

    mAP@all takes two passes: the first finds the scores of relevant items, in the second each part counts how many of
    its items rank before each of them.
    """
    deepest = deepest_of(ks, ap_ks)
    if deepest is not None:
        ranking = rank_shards(query_emb, gallery, k=deepest, similarity=similarity, each=each)
        return evaluate(ranking, query_labels, gallery_labels, ks, ap_ks)
    query = _checked(query_emb, gallery, similarity)
    classes = Classes(query_labels, gallery_labels, len(query), len(gallery))
    grid, copies, query = _prepared(query, gallery, len(gallery), similarity, each)
    parts = [(part, classes.gallery[part.members]) for part in grid.parts(copies)]
    most = max(1, classes.n_relevant.max())
    step = grid.query_step * max(1, KEYS_AT_ONCE // most // grid.query_step)
    sums = []
    for start in range(0, len(query), step):
        rows = slice(start, start + step)
        ranks = _ranks_of_relevant(grid, parts, query[rows].numpy(), classes.query[rows], each)
        sums.append(Sums(ranks, classes.n_relevant[rows], ks, ap_ks))
    return results_of(sums, classes.n_relevant, len(gallery), ks, ap_ks)


@dataclass(frozen=True)
class _Part:
    """Distinct gallery rows from `start` to `stop`.

    with_copies (m,): the gallery rows equal to these, group by group; sizes (stop - start,): of the groups. Both are
    None if no row of the gallery has a copy.
    """

    start: int
    stop: int
    with_copies: np.ndarray | None
    sizes: np.ndarray | None

    @property
    def members(self) -> np.ndarray:
        """(m,) gallery rows."""
        return np.arange(self.start, self.stop) if self.with_copies is None else self.with_copies

    def firsts(self, start: int, stop: int) -> np.ndarray:
        """(stop - start,) the gallery rows that distinct rows stand for."""
        if self.with_copies is None:
            return np.arange(start, stop)
        begins = self.sizes.cumsum() - self.sizes
        return self.with_copies[begins[start - self.start : stop - self.start]]

    def items(self, start: int, stop: int) -> slice:
        """Which of the members are equal to the distinct rows from `start` to `stop`."""
        before, after = start - self.start, stop - self.start
        if self.sizes is None:
            return slice(before, after)
        return slice(self.sizes[:before].sum(), self.sizes[:after].sum())


@dataclass(frozen=True)
class _Grid:
    """The tiles of the single pass.

    n_rows      distinct gallery rows, in tiles of `tile`; `columns` (whole tiles) are ranked at a time
    query_step  queries are scored at a time
    centre      see `query_rows`
    """

    gallery: ShardedGallery
    centre: torch.Tensor | None
    n_rows: int
    tile: int
    columns: int
    query_step: int

    def parts(self, copies: Copies) -> list[_Part]:
        """One for each shard in which a tile begins."""
        begins = np.arange(0, self.n_rows, self.tile)
        shards = np.searchsorted(self.gallery.starts, copies.firsts[begins], side="right")
        cuts = [*begins[np.flatnonzero(np.diff(shards, prepend=0))].tolist(), self.n_rows]
        if not copies.any:
            return [_Part(a, b, None, None) for a, b in zip(cuts, cuts[1:])]
        ends = np.append(copies.starts, len(self.gallery))
        return [_Part(a, b, copies.members[ends[a] : ends[b]], copies.sizes[a:b]) for a, b in zip(cuts, cuts[1:])]

    def pieces(self, part: _Part, width: int) -> Iterator[tuple[int, int, np.ndarray]]:
        """(start, stop, rows as `gallery_rows` makes them) for each `width` distinct rows of the part."""
        with one_blas_thread():
            for start in range(part.start, part.stop, width):
                stop = min(start + width, part.stop)
                yield start, stop, gallery_rows(self.gallery.rows(part.firsts(start, stop)), self.centre).numpy()

    def scores(self, part: _Part, query: np.ndarray) -> Iterator[tuple[int, slice, np.ndarray]]:
        """(number of the query, which members, their scores) for each piece of the part and each query."""
        for start, stop, rows in self.pieces(part, PIECE_TILES * self.tile):
            for block in range(0, len(query), self.query_step):
                scores = tiled_scores(query[block : block + self.query_step], rows, self.tile)
                if part.sizes is not None:
                    scores = np.repeat(scores, part.sizes[start - part.start : stop - part.start], axis=1)
                for i, of_one in enumerate(scores, block):
                    yield i, part.items(start, stop), of_one


def _checked(query_emb: Embeddings, gallery: ShardedGallery, similarity: str) -> torch.Tensor:
    query = checked_rows("query_emb", query_emb, similarity).cpu()
    if query.shape[1] != gallery.dim:
        raise CdirError(
            f"query_emb has {query.shape[1]} columns and the gallery {gallery.dim}: embed both with the same encoder"
        )
    return query


def _prepared(
    query: torch.Tensor, gallery: ShardedGallery, k: int, similarity: str, each: Each
) -> tuple[_Grid, Copies, torch.Tensor]:
    """Read every shard once, for damage, bad rows and copies; the queries are returned as `query_rows` makes them."""
    centre = centre_of(gallery.mean) if similarity == "euclidean" else None
    digests: dict[int, np.ndarray] = {}
    numbers = [(number,) for number in range(len(gallery.shards))]
    for found in each(_digests_of_shard, numbers, (gallery, similarity, centre)):
        digests |= found
    copies = Copies(np.concatenate([digests[number] for (number,) in numbers]))
    n_rows = len(copies.firsts)
    step, columns = block_shape(len(query), n_rows, k, torch.get_num_threads())
    return _Grid(gallery, centre, n_rows, tile_width(n_rows), columns, step), copies, query_rows(query, centre)


def _digests_of_shard(
    gallery: ShardedGallery, similarity: str, centre: torch.Tensor | None, number: int
) -> dict[int, np.ndarray]:
    """{number of the shard: digests (n,) of its rows as they are compared}."""
    rows = gallery.checked_shard(number, similarity)
    return {number: np.concatenate([row_digests(gallery_rows(r, centre).numpy()) for r in rows.split(GALLERY_ROWS)])}


def _best_of_part(grid: _Grid, query: np.ndarray, k: int, part: _Part) -> np.ndarray:
    """(Q, at most k) sorted keys of the part's best distinct rows."""
    depth, blocks = min(k, part.stop - part.start), range(0, len(query), grid.query_step)
    best = [np.empty((len(query[block : block + grid.query_step]), 0), np.int64) for block in blocks]
    for start, _, rows in grid.pieces(part, grid.columns):
        for i, block in enumerate(blocks):
            scores = tiled_scores(query[block : block + grid.query_step], rows, grid.tile)
            best[i] = merge_scores(best[i], scores, start, depth)
    return np.concatenate(best)


def _ranks_of_relevant(
    grid: _Grid, parts: list[tuple[_Part, np.ndarray]], query: np.ndarray, codes: np.ndarray, each: Each
) -> np.ndarray:
    """(n, most hits) float64 ranks of each query's relevant items, as `counting.ranks_of_hits`; codes (n,): classes."""
    found = [_split(*keys) for keys in each(_relevant_of_part, parts, (grid, query, codes))]
    relevant = [np.sort(np.concatenate(of_one)) for of_one in zip(*found)]
    flat, sizes = np.concatenate(relevant), np.array([len(keys) for keys in relevant])
    before = np.zeros(len(flat), np.int64)
    for counts in each(_counts_of_part, [(part,) for part, _ in parts], (grid, query, flat, sizes)):
        before += counts
    ranks = np.full((len(query), sizes.max()), np.inf)
    for row, of_one in zip(ranks, _split(before, sizes)):
        row[: len(of_one)] = 1 + of_one
    return ranks


def _split(flat: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    return np.split(flat, sizes.cumsum()[:-1])


def _relevant_of_part(
    grid: _Grid, query: np.ndarray, codes: np.ndarray, part: _Part, part_codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The keys of the part's relevant items, query after query, and how many each query has (n,)."""
    found: list[list[np.ndarray]] = [[] for _ in query]
    members = part.members
    for i, items, scores in grid.scores(part, query):
        near = np.flatnonzero(part_codes[items] == codes[i])
        found[i].append(keys_of(scores[near], members[items][near]))
    keys = [np.concatenate(of_one) for of_one in found]
    return np.concatenate(keys), np.array([len(of_one) for of_one in keys])


def _counts_of_part(grid: _Grid, query: np.ndarray, relevant: np.ndarray, sizes: np.ndarray, part: _Part) -> np.ndarray:
    """(r,) int32: how many items of the part rank before each relevant one.

    relevant (r,): keys of all queries' relevant items in the whole gallery, each query's sorted; sizes (n,): how many.
    """
    counts, of_query = np.zeros(len(relevant), np.int32), _split(relevant, sizes)
    into, members = _split(counts, sizes), part.members
    for i, items, scores in grid.scores(part, query):
        if len(into[i]):
            into[i] += counts_before(scores, of_query[i], members[items])
    return counts
