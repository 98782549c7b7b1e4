"""The block-wise computation of `rank`: inner products, a bound that discards most of them, exact ties.

A score and a gallery index are packed into one 64-bit key, so that sorting keys orders exactly by score and then by
gallery index. On a CPU, each thread processes separate blocks, with BLAS limited to one thread. Threads need not wait
for each other, which made this several times faster on a busy machine.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

BLOCK_BYTES = 64 << 20  # limit for one block; each thread needs a few times this, however large the gallery
QUERY_ROWS, GALLERY_ROWS = 512, 8192  # of a block of scores: 16 MiB, so that it fits in the CPU cache
LEAST_ROWS = 32  # of queries at a time, even if their scores take more than BLOCK_BYTES: BLAS is slow with fewer
MOST_CANDIDATES = BLOCK_BYTES // 16  # with more (many equal scores), the block is split in half
INDEX_BITS = 32
INDEX_MASK = (1 << INDEX_BITS) - 1
LAST_KEY = np.iinfo(np.int64).max

Result = TypeVar("Result")
_blas = ThreadpoolController()
_thread = threading.local()  # each thread reuses its buffer for scores: allocating new memory is slow


@dataclass(frozen=True)
class LeftOut:
    """Gallery rows that are left out of single queries' rankings: they rank last, with a score of minus infinity.

    queries, rows  (P,) each: pairs of a query and a gallery row, sorted, each once
    """

    queries: np.ndarray
    rows: np.ndarray

    @property
    def most(self) -> int:
        """The largest number of rows that are left out for one query."""
        return int(np.bincount(self.queries).max(initial=0))

    def block(self, rows: slice) -> "LeftOut":
        """The pairs of a block of queries, which are numbered from 0."""
        first, last = np.searchsorted(self.queries, [rows.start, rows.stop])
        return LeftOut(self.queries[first:last] - rows.start, self.rows[first:last])

    def move_last(self, keys: np.ndarray, k: int) -> np.ndarray:
        """The first k of (n, m) sorted keys, after those of left-out rows have moved to the end.

        m is at least k + most, or the size of the gallery.
        """
        pairs = np.arange(len(keys))[:, None] << INDEX_BITS | keys & INDEX_MASK
        moved = is_in(pairs, self.queries << INDEX_BITS | self.rows)
        keys = np.where(moved, LEFT_OUT_KEY | keys & INDEX_MASK, keys)
        keys.sort(axis=1)
        return keys[:, :k]


def is_in(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Whether each value is one of the sorted `members`. Unlike `numpy.isin`, it does not sort the values."""
    if not len(members):
        return np.zeros(values.shape, bool)
    return members[np.searchsorted(members, values).clip(max=len(members) - 1)] == values


def map_blocks(
    query: torch.Tensor,
    gallery: torch.Tensor,
    k: int,
    use: Callable[[slice, np.ndarray], Result],
    limit: float = np.inf,
    left_out: LeftOut | None = None,
) -> Iterator[Result]:
    """Rank float32 rows (Q, D), (G, D) by inner product; yields use(rows, keys) for each block, in order.

    rows: slice of queries; keys: their (n, k) keys, best first. `use` runs in the thread that computed the keys.
    limit: products beyond +-limit are rounding errors and count as +-limit.
    """
    copies = Copies(gallery.cpu().numpy())
    distinct = gallery[copies.first_rows] if copies.exist else gallery
    n_distinct, on_cpu = len(distinct), query.device.type == "cpu"
    workers = torch.get_num_threads() if on_cpu else 1
    deepest = k if left_out is None else min(k + left_out.most, len(gallery))
    rows, columns = block_shape(len(query), n_distinct, deepest, workers)

    def work(block: slice) -> Result:
        depth = min(deepest, n_distinct)
        if on_cpu:
            keys = best_keys(query[block].numpy(), distinct.numpy(), depth, columns, limit)
        else:
            keys = _best_keys_torch(query[block], distinct, depth, columns, limit)
        if copies.exist:
            keys = copies.spread(keys, deepest)
        return use(block, keys if left_out is None else left_out.block(block).move_last(keys, k))

    return _in_threads(work, _slices(len(query), rows), workers)


def map_scores(
    query: torch.Tensor,
    gallery: torch.Tensor,
    use: Callable[[slice, np.ndarray], Result],
    limit: float = np.inf,
    left_out: LeftOut | None = None,
) -> Iterator[Result]:
    """Like `map_blocks` on a CPU, but yields use(rows, scores) with the (n, G) scores of the whole gallery, unsorted.

    The scores are exactly those that `map_blocks` sorts for k = G. They are valid only during the call of `use`.
    """
    copies = Copies(gallery.numpy())
    distinct = gallery[copies.first_rows].numpy() if copies.exist else gallery.numpy()
    queries, workers = query.numpy(), torch.get_num_threads()
    rows, _ = block_shape(len(query), len(distinct), len(gallery), workers)

    def work(block: slice) -> Result:
        scores = _within(_scores(queries[block], distinct), limit)
        scores = scores.take(copies.group, axis=1) if copies.exist else scores
        if left_out is not None:
            pairs = left_out.block(block)
            scores[pairs.queries, pairs.rows] = -np.inf
        return use(block, scores)

    return _in_threads(work, _slices(len(query), rows), workers)


def _slices(n: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _in_threads(work: Callable[[slice], Result], blocks: Iterable[slice], workers: int) -> Iterator[Result]:
    """Yield the results in order. Only a few are held at once, so that memory is bounded even if the caller is slow."""
    waiting: deque[Future[Result]] = deque()
    with _blas.limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        for block in blocks:
            waiting.append(pool.submit(work, block))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def block_shape(n_query: int, n_gallery: int, k: int, workers: int) -> tuple[int, int]:
    """The numbers of query rows and gallery rows (at least 4k) per block, including memory for k keys per query."""
    columns = -(-n_gallery // max(1, n_gallery // max(GALLERY_ROWS, 4 * k)))
    rows = min(QUERY_ROWS, max(LEAST_ROWS, BLOCK_BYTES // (4 * columns + 8 * k)))
    rounds = -(-n_query // (rows * workers))  # every thread gets equally many blocks
    return -(-n_query // (rounds * workers)), columns


def best_keys(query: np.ndarray, gallery: np.ndarray, k: int, columns: int, limit: float = np.inf) -> np.ndarray:
    """(n, k) sorted keys of the best gallery rows for each query, computed for `columns` gallery rows at a time."""
    best = np.empty((len(query), 0), np.int64)
    for start in range(0, len(gallery), columns):
        best = merge_scores(best, _scores(query, gallery[start : start + columns]), start, k, limit)
    return best


def _scores(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(n, w) inner products in this thread's buffer: valid until its next call."""
    size = len(query) * len(gallery)
    if getattr(_thread, "buffer", np.empty(0)).size < size:
        _thread.buffer = np.empty(size, np.float32)
    return np.matmul(query, gallery.T, out=_thread.buffer[:size].reshape(len(query), len(gallery)))


def _within(scores: np.ndarray, limit: float) -> np.ndarray:
    """Clip the scores to at least -limit and at most limit, in place."""
    return scores if limit == np.inf else scores.clip(-limit, limit, out=scores)


def merge_scores(best: np.ndarray, scores: np.ndarray, start: int, k: int, limit: float = np.inf) -> np.ndarray:
    """The k best keys among `best` (n, 0 or k) and those of `scores` (n, w), of gallery rows from `start` on."""
    n, width = scores.shape
    if best.shape[1] == 0 and 2 * k > width:
        keys = keys_of(_within(scores, limit), np.arange(start, start + width))
        keys.sort(axis=1)
        return keys[:, :k]
    if best.shape[1] == 0:
        candidates = np.flatnonzero(scores >= _bound(scores, k, limit))
    else:  # equal scores are later in the gallery, so they rank behind
        candidates = np.flatnonzero(scores > scores_of(best[:, -1:]))
    if len(candidates) > MOST_CANDIDATES and n > 1:
        halves = zip(np.array_split(best, 2), np.array_split(scores, 2))
        return np.concatenate([merge_scores(*half, start, k, limit) for half in halves])
    rows = candidates // width
    keys = keys_of(_within(scores.ravel()[candidates], limit), start + candidates - rows * width)
    return _first_keys(best, rows, keys, k)


def _bound(scores: np.ndarray, k: int, limit: float) -> np.ndarray:
    """(n, 1): a bound that at least k scores in each row reach, the k-th largest of the maxima of small groups.

    Each of the `groups` takes every groups-th column, so that a gallery sorted by class is spread over all of them.
    All scores beyond the limit are equal, so a bound is never among them.
    """
    n, width = scores.shape
    size = max(1, width // (8 * k))
    groups = width // size
    maxima = scores[:, : size * groups].reshape(n, size, groups).max(axis=1)
    maxima.partition(groups - k, axis=1)
    bound = maxima[:, groups - k, None]
    return np.where(bound > -limit, np.minimum(bound, np.float32(limit)), np.float32(-np.inf))


def _first_keys(best: np.ndarray, rows: np.ndarray, keys: np.ndarray, k: int) -> np.ndarray:
    """(n, k) smallest keys per row, from a table of keys (n, b) and a flat list of keys with their (ascending) rows."""
    counts = np.bincount(rows, minlength=len(best))
    positions = np.arange(len(rows)) - (counts.cumsum() - counts)[rows]
    table = np.full((len(best), best.shape[1] + counts.max()), LAST_KEY)
    table[:, : best.shape[1]] = best
    table[rows, best.shape[1] + positions] = keys
    table.sort(axis=1)
    return table[:, :k]


def keys_of(scores: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """int64 keys; the smallest key has the highest score and, among equal scores, the smallest column.

    Read as integers, the bits of floats have the same order as the floats, once those of negative numbers are flipped.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 makes -0.0 the same score as 0.0
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (~ordered).astype(np.int64) << INDEX_BITS | columns


LEFT_OUT_KEY = keys_of(np.full(1, -np.inf, np.float32), np.zeros(1, np.int64))[0]  # without the index


def scores_of(keys: np.ndarray) -> np.ndarray:
    """The float32 scores packed in the keys."""
    ordered = (~(keys >> INDEX_BITS)).astype(np.int32)
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(np.float32)


def indices_of(keys: np.ndarray) -> np.ndarray:
    """The int32 gallery rows packed in the keys."""
    return (keys & INDEX_MASK).astype(np.int32)


def _best_keys_torch(
    query: torch.Tensor, gallery: torch.Tensor, k: int, columns: int, limit: float = np.inf
) -> np.ndarray:
    """Like `best_keys`, for a GPU, where packing every score into a key is cheap."""
    best = torch.empty((len(query), 0), dtype=torch.int64, device=query.device)
    for start in range(0, len(gallery), columns):
        bits = ((query @ gallery[start : start + columns].T).clamp(-limit, limit) + 0.0).view(torch.int32)
        ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
        keys = (~ordered).long() << INDEX_BITS | torch.arange(start, start + bits.shape[1], device=query.device)
        keys = torch.cat([best, keys], 1)
        best = keys.topk(min(k, keys.shape[1]), dim=1, largest=False, sorted=False).values
    return best.sort(dim=1).values.cpu().numpy()


class Copies:
    """Groups of identical gallery rows, which must tie although BLAS scores may differ in the last bit.

    Only the first row of each group is scored. Its copies come later in the gallery, so the k best first rows and
    their copies contain the k best rows overall.
    """

    def __init__(self, gallery: np.ndarray) -> None:
        """`gallery` (G, D) float32."""
        import pandas as pd  # it would make `cdir search` start slowly

        digests = [hashlib.blake2b(row, digest_size=16).digest() for row in gallery + np.float32(0)]
        self.group, groups = pd.factorize(np.array(digests, object))  # groups are numbered by their first rows
        self.exist = len(groups) < len(gallery)
        self.members = np.argsort(self.group, kind="stable")  # gallery rows, with identical ones side by side
        self.sizes = np.bincount(self.group)
        self.starts = self.sizes.cumsum() - self.sizes
        self.first_rows = self.members[self.starts]

    def spread(self, keys: np.ndarray, k: int) -> np.ndarray:
        """Expand (n, m) keys of distinct rows to (n, k) keys of all gallery rows."""
        group = (keys & INDEX_MASK).ravel()
        sizes = np.minimum(self.sizes[group], k)
        if sizes.sum() > MOST_CANDIDATES and len(keys) > 1:
            return np.concatenate([self.spread(half, k) for half in np.array_split(keys, 2)])
        nth = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
        members = self.members[np.repeat(self.starts[group], sizes) + nth]
        rows = np.repeat(np.repeat(np.arange(len(keys)), keys.shape[1]), sizes)
        spread_keys = np.repeat(keys.ravel() & ~INDEX_MASK, sizes) | members
        return _first_keys(np.empty((len(keys), 0), np.int64), rows, spread_keys, k)
