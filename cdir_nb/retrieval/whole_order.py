"""Ranks of a query's relevant items in the whole gallery, without sorting the gallery.

A relevant item's rank is one more than the number of items that rank before it. So only the relevant scores are put in
order, and the others are counted between them: every score falls into one of many narrow intervals, and only in
intervals with a relevant score does the exact order (by score, then by gallery row) have to be found.
"""

import numpy as np

from cdir_nb.retrieval.blocks import keys_of, scores_of

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
        relevant = np.sort(keys_of(scores.take(members), members))
        return 1 + counts_before(scores, relevant)


_NONE = np.empty(0, np.int64)


def counts_before(scores: np.ndarray, relevant: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """(r,) how many items rank before each of the r > 0 relevant ones.

    scores (w,): of the items; relevant (r,): sorted keys, of items among these or elsewhere; rows (w,): the items'
    gallery rows (None: 0, 1, ..., w - 1). So the counts from parts of a gallery add up to those of the whole.
    """
    marks = scores_of(relevant)
    interval, at_marks = (_intervals(values, marks[0], marks[-1]) for values in (scores, marks))
    shared = np.zeros(INTERVALS + 3, bool)
    shared[at_marks] = True
    counts = np.bincount(interval, minlength=len(shared))
    counts[shared] = 0
    near = np.flatnonzero(shared.take(interval))  # the few items that share an interval with a relevant one
    keys = np.sort(keys_of(scores.take(near), near if rows is None else rows.take(near)))
    return counts.cumsum()[at_marks] + np.searchsorted(keys, relevant)


def _intervals(scores: np.ndarray, best: np.float32, worst: np.float32) -> np.ndarray:
    """(G,) from 0 (above all relevant scores) to INTERVALS + 2 (below all), as scores fall; equal scores never part."""
    width = max((float(best) - float(worst)) / INTERVALS, 1e-30)
    with np.errstate(over="ignore"):  # infinity is below all relevant scores, as it should be
        place = (best - scores) * np.float32(1 / width)
    place.clip(-1, INTERVALS + 1, out=place)
    return (place + np.float32(1)).astype(np.intp)
