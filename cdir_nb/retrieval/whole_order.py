"""Ranks of a query's relevant items in the whole gallery, without sorting the gallery.

A relevant item's rank is one more than the number of items that rank before it. So only the relevant scores are put in
order, and the others are counted between them: every score falls into one of many narrow intervals, and only in
intervals with a relevant score does the exact order (by score, then by gallery row) have to be found.
"""

import numpy as np

from cdir_nb.retrieval.blocks import INDEX_MASK, keys_of

INTERVALS = 1 << 14  # between a query's best and worst relevant score; their counts fit in the CPU's second-level cache


class Members:
    """The gallery rows of each class. `codes` (G,): the class of each gallery row, as integers from 0 on."""

    def __init__(self, codes: np.ndarray) -> None:
        self.codes = codes
        self._rows = np.argsort(codes, kind="stable")
        self._starts = np.searchsorted(codes, np.arange(codes.max() + 2), sorter=self._rows)

    def of(self, code: int) -> np.ndarray:
        """Sorted gallery rows of a class; none if no row has it."""
        return self._rows[self._starts[code] : self._starts[code + 1]] if code + 1 < len(self._starts) else _NONE

    def ranks(self, scores: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """(n, most hits) float64: for scores (n, G) and the queries' classes (n,), the ranks of all relevant items.

        As `counting.ranks_of_hits` of the whole ranking: from 1, ascending, padded with infinity.
        """
        found = [self._ranks_of_one(row, code) for row, code in zip(scores, codes)]
        ranks = np.full((len(found), max(map(len, found), default=0)), np.inf)
        for row, of_one in zip(ranks, found):
            row[: len(of_one)] = of_one
        return ranks

    def _ranks_of_one(self, scores: np.ndarray, code: int) -> np.ndarray:
        members = self.of(code)
        if not len(members):
            return _NONE
        interval = _intervals(scores, scores.take(members))
        shared = np.zeros(INTERVALS + 3, bool)
        shared[interval.take(members)] = True
        counts = np.bincount(interval, minlength=len(shared))
        counts[shared] = 0
        near = np.flatnonzero(
            shared.take(interval)
        )  # the relevant items, and the few others that share their intervals
        keys = np.sort(keys_of(scores.take(near), near)) & INDEX_MASK
        places = np.flatnonzero(self.codes.take(keys) == code)
        return 1 + places + counts.cumsum()[interval[keys[places]]]


_NONE = np.empty(0, np.int64)


def _intervals(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """(G,) from 0 (above all relevant scores) to INTERVALS + 2 (below all), as scores fall; equal scores never part."""
    best, worst = float(relevant.max()), float(relevant.min())
    width = max((best - worst) / INTERVALS, 1e-30)
    with np.errstate(over="ignore"):  # infinity is below all relevant scores, as it should be
        place = (np.float32(best) - scores) * np.float32(1 / width)
    place.clip(-1, INTERVALS + 1, out=place)
    return (place + np.float32(1)).astype(np.intp)
