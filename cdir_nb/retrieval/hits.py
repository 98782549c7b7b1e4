"""Ranks of each query's hits (relevant items), taken from a ranking or counted without sorting the gallery.

Every metric is computed from these ranks. Sums over hits are computed from the first hit to the last, so that the value
of a query does not depend on other queries of its block.
"""

import numpy as np

from cdir_nb.retrieval.blocks import keys_of, scores_of

INTERVALS = 1 << 14  # between a query's best and worst relevant score; their counts fit in the CPU's second-level cache
_NO_ROWS = np.empty(0, np.int64)


def ranks_of_hits(relevant: np.ndarray) -> np.ndarray:
    """(n, m) float64 ranks of the hits of each row of `relevant` (n, k), from 1.

    m is the largest number of hits; shorter rows are padded with infinity.
    """
    rows, columns = np.divmod(np.flatnonzero(relevant), relevant.shape[1])
    counts = np.bincount(rows, minlength=len(relevant))
    ranks = np.full((len(relevant), counts.max(initial=0)), np.inf)
    ranks[rows, np.arange(len(rows)) - (counts.cumsum() - counts)[rows]] = columns + 1
    return ranks


def hits_by_depth(ranks: np.ndarray, deepest: int) -> np.ndarray:
    """(depth + 1, n) int32: row r has the number of hits in the first r ranks.

    depth is the rank of the last hit, at most `deepest`.
    """
    rows, columns = np.nonzero(ranks[:, :deepest] <= deepest)
    depths = ranks[rows, columns].astype(np.int64)
    counts = np.zeros((depths.max(initial=0) + 1, len(ranks)), np.int32)
    counts[depths, rows] = 1
    return counts.cumsum(axis=0, dtype=np.int32, out=counts)


def precisions_at_hits(ranks: np.ndarray) -> np.ndarray:
    """(n, m) precisions at the (n, m) ranks of hits; 0 for padding."""
    return np.arange(1, ranks.shape[1] + 1) / ranks


def interpolated(precisions: np.ndarray) -> np.ndarray:
    """Replace each precision (n, m) by the highest precision at this or any later hit."""
    return np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]


def sum_in_order(values: np.ndarray) -> np.ndarray:
    """(n,) row sums, added from left to right. Unlike with NumPy's `sum`, trailing zeros never change the result."""
    return values.cumsum(axis=1)[:, -1] if values.shape[1] else np.zeros(len(values))


class ClassMembers:
    """The gallery rows of each class. `codes` (G,): the class of each gallery row, as integers from 0 on."""

    def __init__(self, codes: np.ndarray) -> None:
        self._rows = np.argsort(codes, kind="stable")
        self._starts = np.searchsorted(codes, np.arange(codes.max() + 2), sorter=self._rows)

    def rows(self, code: int) -> np.ndarray:
        """Sorted gallery rows of a class; empty if there are none."""
        return self._rows[self._starts[code] : self._starts[code + 1]] if code + 1 < len(self._starts) else _NO_ROWS

    def ranks(self, scores: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """(n, m) float64 ranks of all relevant items, equal to `ranks_of_hits` of the whole ranking.

        scores  (n, G) scores of each query with the whole gallery; minus infinity: left out, not relevant
        codes   (n,) classes of the queries
        """
        ranks_per_query = [self._ranks_of_query(row, code) for row, code in zip(scores, codes)]
        ranks = np.full((len(scores), max(map(len, ranks_per_query), default=0)), np.inf)
        for row, query_ranks in zip(ranks, ranks_per_query):
            row[: len(query_ranks)] = query_ranks
        return ranks

    def _ranks_of_query(self, scores: np.ndarray, code: int) -> np.ndarray:
        rows = self.rows(code)
        relevant = scores.take(rows)
        ranked = relevant > -np.inf
        if not ranked.any():
            return _NO_ROWS
        return 1 + _counts_before(scores, np.sort(keys_of(relevant[ranked], rows[ranked])))


def _counts_before(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """(r,) how many items rank before each of the r > 0 relevant ones; scores (G,); relevant (r,): their sorted keys.

    Every score falls into one of many narrow intervals, which are counted. The exact order, by score and then by
    gallery row, is needed only inside intervals that contain a relevant score.
    """
    relevant_scores = scores_of(relevant)
    best, worst = relevant_scores[[0, -1]]
    intervals, relevant_intervals = _intervals(scores, best, worst), _intervals(relevant_scores, best, worst)
    is_shared = np.zeros(INTERVALS + 3, bool)
    is_shared[relevant_intervals] = True
    counts = np.bincount(intervals, minlength=len(is_shared))
    counts[is_shared] = 0
    rows = np.flatnonzero(is_shared.take(intervals))  # the few items that share an interval with a relevant one
    keys = np.sort(keys_of(scores.take(rows), rows))
    return counts.cumsum()[relevant_intervals] + np.searchsorted(keys, relevant)


def _intervals(scores: np.ndarray, best: np.float32, worst: np.float32) -> np.ndarray:
    """(G,) from 0 (above `best`) to INTERVALS + 2 (below `worst`), as scores fall; equal scores share an interval."""
    width = max((float(best) - float(worst)) / INTERVALS, 1e-30)
    with np.errstate(over="ignore"):  # infinity is clipped to the last interval
        position = (best - scores) * np.float32(1 / width)
    position.clip(-1, INTERVALS + 1, out=position)
    return (position + np.float32(1)).astype(np.intp)
