"""Counts of hits and sums of precisions at hits, from which every convention is computed."""

from collections.abc import Sequence

import numpy as np


class Sums:
    """The sums that all conventions are computed from, for n queries.

    For each k in ks: hits[k] (n,) in the first k ranks, hits_in_relevant[k] (n,) hits in the first min(k, n_rel) ranks.
    For each k in ap_ks: found[k] (n,) hits; plain[k] and interpolated[k] (n,) sums of the precisions at those hits.
    """

    def __init__(
        self, relevant: np.ndarray, n_relevant: np.ndarray, ks: Sequence[int], ap_ks: Sequence[int | None]
    ) -> None:
        n, deepest = len(relevant), min(max(ks, default=0), relevant.shape[1])
        counts = np.zeros((deepest + 1, n), np.int32)  # row r: hits in the first r ranks
        np.cumsum(relevant[:, :deepest].T, axis=0, out=counts[1:])
        self.hits = {k: counts[min(k, deepest)] for k in ks}
        self.hits_in_relevant = {k: counts[np.minimum(k, n_relevant), np.arange(n)] for k in ks}
        ranks, precisions = precisions_at_hits(relevant) if ap_ks else (None, None)
        self.found, self.plain, self.interpolated = {}, {}, {}
        for k in ap_ks:
            inside = ranks <= (np.inf if k is None else k)
            width = int(inside.sum(1).max(initial=0))  # hits come first, so all later columns are padding
            inside, kept = inside[:, :width] & np.isfinite(ranks[:, :width]), precisions[:, :width]
            kept = np.where(inside, kept, 0)
            self.found[k], self.plain[k] = inside.sum(1), kept.sum(1)
            self.interpolated[k] = np.where(inside, highest_from_here_on(kept), 0).sum(1)


def precisions_at_hits(relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) bool -> the ranks of each row's hits, counted from 1, and the precisions there, both (n, most hits).

    Rows with fewer hits are padded with rank infinity and precision 0.
    """
    rows, places = np.divmod(np.flatnonzero(relevant), relevant.shape[1])
    counts = np.bincount(rows, minlength=len(relevant))
    ranks = np.full((len(relevant), counts.max(initial=0)), np.inf)
    ranks[rows, np.arange(len(rows)) - (counts.cumsum() - counts)[rows]] = places + 1
    return ranks, np.arange(1, ranks.shape[1] + 1) / ranks


def highest_from_here_on(precisions: np.ndarray) -> np.ndarray:
    """Each precision replaced by the highest one at this or any later hit."""
    return np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
