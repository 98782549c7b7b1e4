"""The blocked pass behind `rank`: inner products, a bound that discards most of them, and exact ties.

A score and a gallery index are packed into one 64-bit key, so that sorting keys orders by score and breaks ties by
gallery index, exactly. On a CPU each thread walks through blocks of its own, with BLAS on one thread: nobody waits
for a thread that another program holds up, which on a busy machine made this several times faster.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

BLOCK_BYTES = 64 << 20  # what a block may take; the pass needs a few times this per thread, however large the gallery
QUERY_ROWS, GALLERY_ROWS = 512, 8192  # largest block of scores: 16 MiB, so that it stays in the processor's cache
MOST_CANDIDATES = BLOCK_BYTES // 16  # more (many equal scores) are handled in halves of the block
INDEX_BITS = 32
INDEX_MASK = (1 << INDEX_BITS) - 1
LAST_KEY = np.iinfo(np.int64).max

Result = TypeVar("Result")
_blas = ThreadpoolController()
_own = threading.local()  # each thread's buffer for scores: fresh pages of memory are dear


def map_blocks(
    query: torch.Tensor, gallery: torch.Tensor, k: int, use: Callable[[slice, np.ndarray], Result]
) -> Iterator[Result]:
    """Rank float32 rows (Q, D), (G, D) by inner product; yields use(rows, keys) block by block, in order.

    rows: slice of queries; keys: their (n, k) keys, best first. `use` runs in the thread that made the keys.
    """
    copies = _Copies(gallery)
    distinct = gallery[copies.firsts] if copies.any else gallery
    on_cpu = query.device.type == "cpu"
    workers = torch.get_num_threads() if on_cpu else 1
    best_keys = _best_keys if on_cpu else _best_keys_torch
    if on_cpu:
        query, distinct = query.numpy(), distinct.numpy()
    rows, columns = _block_shape(len(query), len(distinct), k, workers)

    def work(start: int) -> Result:
        block = slice(start, min(start + rows, len(query)))
        keys = best_keys(query[block], distinct, min(k, len(distinct)), columns)
        return use(block, copies.spread(keys, k) if copies.any else keys)

    return _in_threads(work, range(0, len(query), rows), workers)


def _in_threads(work: Callable[[int], Result], items: Iterable[int], workers: int) -> Iterator[Result]:
    """Results in order, with no more than a few waiting, so that memory stays bounded however slow the reader."""
    waiting: deque = deque()
    with _blas.limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _block_shape(n_query: int, n_gallery: int, k: int, workers: int) -> tuple[int, int]:
    """Rows of queries and of gallery to score at a time. Where k is a large part of the gallery, its keys count."""
    columns = -(-n_gallery // max(1, n_gallery // max(GALLERY_ROWS, 4 * k)))
    rows = min(QUERY_ROWS, max(1, BLOCK_BYTES // (4 * columns + 8 * k)))
    rounds = -(-n_query // (rows * workers))  # every thread gets as many blocks
    return -(-n_query // (rounds * workers)), columns


def _best_keys(query: np.ndarray, gallery: np.ndarray, k: int, columns: int) -> np.ndarray:
    """(n, k) sorted keys of the best gallery rows."""
    if getattr(_own, "buffer", np.empty(0)).size < len(query) * columns:
        _own.buffer = np.empty(len(query) * columns, np.float32)
    best = np.empty((len(query), 0), np.int64)
    for start in range(0, len(gallery), columns):
        part = gallery[start : start + columns]
        scores = _own.buffer[: len(query) * len(part)].reshape(len(query), len(part))
        np.matmul(query, part.T, out=scores)
        best = _merge(best, scores, start, k)
    return best


def _merge(best: np.ndarray, scores: np.ndarray, start: int, k: int) -> np.ndarray:
    """The k first of `best` (n, 0 or k) and of the new scores (n, w), which belong to gallery rows from `start` on."""
    n, width = scores.shape
    if best.shape[1] == 0 and 2 * k > width:
        keys = _keys(scores, np.arange(start, start + width))
        keys.sort(axis=1)
        return keys[:, :k]
    if best.shape[1] == 0:
        wanted = np.flatnonzero(scores >= _bound(scores, k))
    else:  # equal scores stand later in the gallery, so they lose
        wanted = np.flatnonzero(scores > scores_of(best[:, -1:]))
    if len(wanted) > MOST_CANDIDATES and n > 1:
        halves = zip(np.array_split(best, 2), np.array_split(scores, 2))
        return np.concatenate([_merge(*half, start, k) for half in halves])
    rows = wanted // width
    return _first_keys(best, rows, _keys(scores.ravel()[wanted], start + wanted - rows * width), k)


def _bound(scores: np.ndarray, k: int) -> np.ndarray:
    """(n, 1) scores that at least k of each row reach: the k-th best of the maxima of many small groups.

    A group takes every so-manieth column, so that a gallery sorted by class spreads over all groups.
    """
    n, width = scores.shape
    size = max(1, width // (8 * k))
    groups = width // size
    maxima = scores[:, : size * groups].reshape(n, size, groups).max(axis=1)
    maxima.partition(groups - k, axis=1)
    return maxima[:, groups - k, None]


def _first_keys(best: np.ndarray, rows: np.ndarray, keys: np.ndarray, k: int) -> np.ndarray:
    """The k first, row by row, of a table of keys (n, b) and of loose keys with their rows (ascending)."""
    counts = np.bincount(rows, minlength=len(best))
    nth = np.arange(len(rows)) - (counts.cumsum() - counts)[rows]
    table = np.full((len(best), best.shape[1] + counts.max()), LAST_KEY)
    table[:, : best.shape[1]] = best
    table[rows, best.shape[1] + nth] = keys
    table.sort(axis=1)
    return table[:, :k]


def _keys(scores: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """int64 keys; the smallest has the highest score and, among equals, the smallest column.

    The bits of a float order as integers do, once those of negative numbers are turned round.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 makes -0.0 the same score as 0.0
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (~ordered).astype(np.int64) << INDEX_BITS | columns


def scores_of(keys: np.ndarray) -> np.ndarray:
    """The float32 scores inside keys."""
    ordered = (~(keys >> INDEX_BITS)).astype(np.int32)
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(np.float32)


def indices_of(keys: np.ndarray) -> np.ndarray:
    """The int32 gallery rows inside keys."""
    return (keys & INDEX_MASK).astype(np.int32)


def _best_keys_torch(query: torch.Tensor, gallery: torch.Tensor, k: int, columns: int) -> np.ndarray:
    """As `_best_keys`, on a GPU, where packing every score into a key costs little."""
    best = torch.empty((len(query), 0), dtype=torch.int64, device=query.device)
    for start in range(0, len(gallery), columns):
        bits = (query @ gallery[start : start + columns].T + 0.0).view(torch.int32)
        ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
        keys = (~ordered).long() << INDEX_BITS | torch.arange(start, start + bits.shape[1], device=query.device)
        keys = torch.cat([best, keys], 1)
        best = keys.topk(min(k, keys.shape[1]), dim=1, largest=False, sorted=False).values
    return best.sort(dim=1).values.cpu().numpy()


class _Copies:
    """Which gallery rows are identical: they must tie, but BLAS may give them scores that differ in the last bit.

    Only the first of each is scored. Every copy comes after its first, so the k best first ones have among their
    copies the k best rows of all.
    """

    def __init__(self, gallery: torch.Tensor) -> None:
        seen: dict[bytes, int] = {}
        digests = (hashlib.blake2b(row, digest_size=16).digest() for row in (gallery + 0.0).cpu().numpy())
        group = np.array([seen.setdefault(digest, len(seen)) for digest in digests])
        self.any = len(seen) < len(group)
        self.members = np.argsort(group, kind="stable")  # gallery rows, identical ones side by side
        self.sizes = np.bincount(group)
        self.starts = self.sizes.cumsum() - self.sizes
        self.firsts = self.members[self.starts]

    def spread(self, keys: np.ndarray, k: int) -> np.ndarray:
        """(n, m) keys over first ones -> (n, k) keys over the whole gallery."""
        group = (keys & INDEX_MASK).ravel()
        sizes = np.minimum(self.sizes[group], k)
        if sizes.sum() > MOST_CANDIDATES and len(keys) > 1:
            return np.concatenate([self.spread(half, k) for half in np.array_split(keys, 2)])
        nth = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
        members = self.members[np.repeat(self.starts[group], sizes) + nth]
        rows = np.repeat(np.repeat(np.arange(len(keys)), keys.shape[1]), sizes)
        spread_keys = np.repeat(keys.ravel() & ~INDEX_MASK, sizes) | members
        return _first_keys(np.empty((len(keys), 0), np.int64), rows, spread_keys, k)
