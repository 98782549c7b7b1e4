"""Counts of hits and sums of precisions at hits, from which every convention is computed.

All is computed from the ranks of a query's hits, and each sum is taken from the first hit to the last: so a value does
not depend on which other queries are computed with it.
"""

from collections.abc import Sequence

import numpy as np


class Sums:
    """The sums that all conventions are computed from, for n queries.

    ranks (n, most hits): the ranks of each query's hits, as `ranks_of_hits` gives them.
    For each k in ks: hits[k] (n,) in the first k ranks, hits_in_relevant[k] (n,) hits in the first min(k, n_rel) ranks.
    For each k in ap_ks: found[k] (n,) hits; plain[k] and interpolated[k] (n,) sums of the precisions at those hits.
    """

    def __init__(
        self, ranks: np.ndarray, n_relevant: np.ndarray, ks: Sequence[int], ap_ks: Sequence[int | None]
    ) -> None:
        counts = _hits_by_depth(ranks, max(ks, default=0))
        deepest, each = len(counts) - 1, np.arange(len(ranks))
        self.hits = {k: counts[min(k, deepest)] for k in ks}
        self.hits_in_relevant = {k: counts[np.minimum(min(k, deepest), n_relevant), each] for k in ks}
        precisions = precisions_at_hits(ranks) if ap_ks else None  # 0 where a row is padded
        self.found, self.plain, self.interpolated = {}, {}, {}
        for k in ap_ks:
            inside = (
                np.isfinite(ranks) if k is None else ranks[:, :k] <= k
            )  # hits come first: no rank k after k columns
            kept = precisions if k is None else precisions[:, :k] * inside
            self.found[k], self.plain[k] = inside.sum(1), _in_order(kept)
            self.interpolated[k] = _in_order(highest_from_here_on(kept))


def _hits_by_depth(ranks: np.ndarray, deepest: int) -> np.ndarray:
    """(depth + 1, n) int32: row r has the number of hits in the first r ranks; no hit within `deepest` is deeper."""
    rows, nth = np.nonzero(ranks[:, :deepest] <= deepest)
    places = ranks[rows, nth].astype(np.int64)
    counts = np.zeros((places.max(initial=0) + 1, len(ranks)), np.int32)
    counts[places, rows] = 1
    return counts.cumsum(axis=0, dtype=np.int32, out=counts)


def _in_order(values: np.ndarray) -> np.ndarray:
    """(n,) row sums, added from left to right: zeros at the end change nothing, as they may in numpy's `sum`."""
    return values.cumsum(axis=1)[:, -1] if values.shape[1] else np.zeros(len(values))


def ranks_of_hits(relevant: np.ndarray) -> np.ndarray:
    """(n, k) bool, rank by rank -> (n, most hits) float64 ranks of each row's hits, from 1, padded with infinity."""
    rows, places = np.divmod(np.flatnonzero(relevant), relevant.shape[1])
    counts = np.bincount(rows, minlength=len(relevant))
    ranks = np.full((len(relevant), counts.max(initial=0)), np.inf)
    ranks[rows, np.arange(len(rows)) - (counts.cumsum() - counts)[rows]] = places + 1
    return ranks


def precisions_at_hits(ranks: np.ndarray) -> np.ndarray:
    """(n, most hits) precisions at the ranks of hits; 0 where a row is padded."""
    return np.arange(1, ranks.shape[1] + 1) / ranks


def highest_from_here_on(precisions: np.ndarray) -> np.ndarray:
    """Each precision replaced by the highest one at this or any later hit."""
    return np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
