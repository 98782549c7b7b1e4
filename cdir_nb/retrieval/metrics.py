"""Metrics of a ranking. The convention is part of a metric's name: it can change the value for one ranking a lot.

For a query, n_rel is the number of gallery items of its class, and h is how many of them are in the first k ranks.
Every convention is a fraction; a value of 0 / 0 is NaN and is left out of the mean.

precision at cut-off k (at most the size of the gallery)
  hits_over_k               h / k                         SnMpNet, SAKE, AMA, ProS, ClipPrompt. n_rel = 0 gives 0.
  hits_over_min_k_relevant  hits in the first min(k, n_rel) ranks / min(k, n_rel): ZSE-SBIR. n_rel = 0: NaN.
  ucdir_micro               the same fraction for each query, but the mean is sum of numerators / sum of denominators
                            over all queries: UCDIR, DG-UCDIR, ProtoOT. n_rel = 0 adds nothing.
average precision: the sum of the precisions at the ranks of hits within k, divided by a base
  over_found                base h                        SnMpNet, sem-pcyc, ProS, ClipPrompt. h = 0 gives 0.
  over_min_k_relevant       base min(k, n_rel)            inferred from TKI's tables. n_rel = 0: NaN, left out.
  over_relevant             base n_rel                    the textbook definition. n_rel = 0: NaN, left out.
  voc_interpolated          base min(k, n_rel), and each precision is replaced by the highest one at this or any later
                            rank within k: SAKE, AMA, ZSE-SBIR. n_rel = 0: NaN, left out, as in their code.
Without a cut-off (k=None) all but voc_interpolated agree, except for queries with n_rel = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from cdir_nb.conventions import AVERAGE_PRECISION, PRECISION, Metric
from cdir_nb.errors import CdirError
from cdir_nb.retrieval.counting import Sums, highest_from_here_on, precisions_at_hits, ranks_of_hits
from cdir_nb.retrieval.ranking import Embeddings, Ranking, checked_cutoff, checked_pair, each_block, each_score
from cdir_nb.retrieval.whole_order import Members

BLOCK_CELLS = 1 << 22  # ranks processed at a time
SORTED = 2_000  # up to this many gallery items, sorting them is faster than counting what ranks before the hits

Labels = Sequence | np.ndarray | torch.Tensor


@dataclass(frozen=True)
class PerQuery:
    """One metric for every query, as numerator (Q,) and denominator (Q,)."""

    metric: Metric
    numerator: np.ndarray
    denominator: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """(Q,) float64; NaN for queries that the convention leaves undefined."""
        with np.errstate(invalid="ignore"):
            return self.numerator / self.denominator

    @property
    def mean(self) -> float:
        """Mean over queries that have a value (ucdir_micro: sum / sum); NaN if no query has one."""
        defined = self.denominator > 0
        if not defined.any():
            return float("nan")
        if self.metric.convention == "ucdir_micro":
            return float(self.numerator.sum() / self.denominator.sum())
        return float((self.numerator[defined] / self.denominator[defined]).mean())

    @property
    def convention(self) -> str:
        """The convention of the metric."""
        return self.metric.convention

    @property
    def k(self) -> int | None:
        """The cut-off of the metric; None: the whole ranking."""
        return self.metric.k

    def row(self) -> dict[str, object]:
        """One table row, for `pd.DataFrame(result.row() for result in results)`."""
        return {"metric": str(self.metric), "value": self.mean}

    def select(self, rows: np.ndarray) -> "PerQuery":
        """Only the queries selected by index or mask."""
        return PerQuery(self.metric, self.numerator[rows], self.denominator[rows])


def precision_at_k(
    ranking: Ranking, query_labels: Labels, gallery_labels: Labels, k: int, convention: str = "hits_over_k"
) -> PerQuery:
    """Precision in the first k ranks; the module docstring defines the conventions.

    Labels (Q,) and (G,): text or numbers. Raises CdirError if their lengths do not fit the ranking, if the ranking
    keeps fewer than k ranks (although the gallery has more), or if the convention is unknown.
    """
    _known(convention, PRECISION)
    return evaluate(ranking, query_labels, gallery_labels, ks=(k,), ap_ks=())[PRECISION.index(convention)]


def average_precision(
    ranking: Ranking, query_labels: Labels, gallery_labels: Labels, k: int | None = None, convention: str = "over_found"
) -> PerQuery:
    """Average precision in the first k ranks, or (k=None) in the whole ranking; errors as in `precision_at_k`."""
    _known(convention, AVERAGE_PRECISION)
    return evaluate(ranking, query_labels, gallery_labels, ks=(), ap_ks=(k,))[AVERAGE_PRECISION.index(convention)]


def evaluate(
    ranking: Ranking,
    query_labels: Labels,
    gallery_labels: Labels,
    ks: Sequence[int] = (1, 50, 100, 200),
    ap_ks: Sequence[int | None] = (200,),
) -> list[PerQuery]:
    """Every convention at every cut-off, in one pass over the ranking. Errors as in `precision_at_k`."""
    classes = Classes(query_labels, gallery_labels, len(ranking), ranking.n_gallery)
    _cutoffs_within(ranking, ks, ap_ks)
    step = max(1, BLOCK_CELLS // ranking.k)
    parts = [slice(start, start + step) for start in range(0, len(ranking), step)]
    hits = ((rows, ranks_of_hits(classes.relevant(rows, ranking.indices[rows]))) for rows in parts)
    sums = [Sums(ranks, classes.n_relevant[rows], ks, ap_ks) for rows, ranks in hits]
    return results_of(sums, classes.n_relevant, ranking.n_gallery, ks, ap_ks)


def evaluate_embeddings(
    query_emb: Embeddings,
    gallery_emb: Embeddings,
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    similarity: str = "cosine",
    ks: Sequence[int] = (1, 50, 100, 200),
    ap_ks: Sequence[int | None] = (200, None),
) -> list[PerQuery]:
    """`rank` and `evaluate`, one block of queries at a time: mAP@all for a gallery of any size in bounded memory.

    The values are those of `evaluate(rank(...))` to the last digit. On a CPU, mAP@all does not sort a large gallery.
    """
    deepest = deepest_of(ks, ap_ks)
    query, gallery, k = checked_pair(query_emb, gallery_emb, deepest, similarity)
    classes = Classes(query_labels, gallery_labels, len(query), len(gallery))

    def of_ranking(rows: slice, block: Ranking) -> Sums:
        return Sums(ranks_of_hits(classes.relevant(rows, block.indices)), classes.n_relevant[rows], ks, ap_ks)

    def of_scores(rows: slice, scores: np.ndarray) -> Sums:
        return Sums(members.ranks(scores, classes.query[rows]), classes.n_relevant[rows], ks, ap_ks)

    if deepest is None and len(gallery) > SORTED and query.device.type == "cpu":
        members = Members(classes.gallery)
        sums = list(each_score(query, gallery, similarity, of_scores))
    else:
        sums = list(each_block(query, gallery, k, similarity, of_ranking))
    return results_of(sums, classes.n_relevant, len(gallery), ks, ap_ks)


def deepest_of(ks: Sequence[int], ap_ks: Sequence[int | None]) -> int | None:
    """How many ranks these cut-offs need; None: all."""
    for cutoff in (*ks, *ap_ks):
        cutoff is None or checked_cutoff(cutoff)
    return None if None in ap_ks or not (*ks, *ap_ks) else max((*ks, *ap_ks))


def per_class(result: PerQuery, query_labels: Labels) -> dict[object, float]:
    """{class: mean over its queries}, classes sorted; NaN if none of its queries has a value."""
    labels = _array("query_labels", query_labels, len(result.numerator), "queries in the result")
    return {label: result.select(labels == label).mean for label in np.unique(labels).tolist()}


def precision_recall(
    ranking: Ranking, query_labels: Labels, gallery_labels: Labels, recalls: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated precision-recall curves, from the whole ranking.

    Precision at recall r is the highest precision at any rank where recall is at least r. Returns recalls (R,), by
    default 0, 0.01, ..., 1, and curves (Q, R), NaN for queries without relevant items;
    `np.nanmean(curves, axis=0)` is the mean curve.
    """
    classes = Classes(query_labels, gallery_labels, len(ranking), ranking.n_gallery)
    _cutoffs_within(ranking, (), (None,))
    recalls = np.linspace(0, 1, 101) if recalls is None else np.asarray(recalls, float)
    curves = np.full((len(ranking), len(recalls)), np.nan)
    step = max(1, BLOCK_CELLS // ranking.k)
    for start in range(0, len(ranking), step):
        rows = slice(start, min(start + step, len(ranking)))
        precisions = precisions_at_hits(ranks_of_hits(classes.relevant(rows, ranking.indices[rows])))
        n_relevant = classes.n_relevant[rows, None]
        nth = np.ceil(recalls * n_relevant - 1e-9).clip(1, None).astype(int) - 1  # 1e-9: as floats, 0.14 * 50 > 7
        if precisions.shape[1]:
            nth = nth.clip(0, precisions.shape[1] - 1)
            found = np.take_along_axis(highest_from_here_on(precisions), nth, axis=1)
            curves[rows] = np.where(n_relevant > 0, found, np.nan)
    return recalls, curves


class Classes:
    """Labels of both sides as integer codes, and the number of relevant gallery items for each query."""

    def __init__(self, query_labels: Labels, gallery_labels: Labels, n_query: int, n_gallery: int) -> None:
        query = _array("query_labels", query_labels, n_query, "queries in the ranking")
        gallery = _array("gallery_labels", gallery_labels, n_gallery, "items in the gallery")
        if (query.dtype.kind == "O") != (gallery.dtype.kind == "O"):
            raise CdirError(
                "query_labels and gallery_labels: one is text and the other numbers: "
                "use class names for both, or class numbers for both"
            )
        codes = pd.factorize(np.concatenate([query, gallery]))[0].astype(np.int32)
        self.query, self.gallery = codes[:n_query], codes[n_query:]
        self.n_relevant = np.bincount(self.gallery, minlength=codes.max() + 1)[self.query]

    def relevant(self, rows: slice, indices: np.ndarray) -> np.ndarray:
        """(n, k) bool: True where the ranked item has the query's class."""
        return self.gallery.take(indices) == self.query[rows, None]


def _array(name: str, labels: Labels, expected: int, of_what: str) -> np.ndarray:
    labels = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    if labels.ndim != 1 or len(labels) != expected:
        raise CdirError(f"{name} has shape {labels.shape} for {expected} {of_what}: expected one label per row")
    if pd.isna(labels).any():
        raise CdirError(f"{name} has no label in row {np.flatnonzero(pd.isna(labels))[0]}: add one or drop the row")
    return labels if labels.dtype.kind in "iufb" else labels.astype(object)


def _known(convention: str, conventions: tuple[str, ...]) -> None:
    if convention not in conventions:
        raise CdirError(f"unknown convention {convention!r}: use one of {', '.join(conventions)}")


def _cutoffs_within(ranking: Ranking, ks: Sequence[int], ap_ks: Sequence[int | None]) -> None:
    for k in (*ks, *ap_ks):
        needed = ranking.n_gallery if k is None else min(checked_cutoff(k), ranking.n_gallery)
        if needed > ranking.k:
            wanted = "a metric over the whole ranking" if k is None else f"a metric at {k}"
            raise CdirError(f"{wanted} needs more than the {ranking.k} ranks kept: call rank with k={k}")


def results_of(
    sums: list[Sums], n_relevant: np.ndarray, n_gallery: int, ks: Sequence[int], ap_ks: Sequence[int | None]
) -> list[PerQuery]:
    """One result per cut-off and convention: `ks` x PRECISION, then `ap_ks` x AVERAGE_PRECISION."""
    results = []
    for k in ks:
        hits, early = (
            np.concatenate([getattr(part, name)[k] for part in sums]) for name in ("hits", "hits_in_relevant")
        )
        capped = np.minimum(k, n_relevant)
        fractions = ((hits, np.full(len(hits), min(k, n_gallery))), (early, capped), (early, capped))
        results += [PerQuery(Metric("precision", k, name), *fraction) for name, fraction in zip(PRECISION, fractions)]
    for k in ap_ks:
        found, plain, interpolated = (
            np.concatenate([getattr(part, name)[k] for part in sums]) for name in ("found", "plain", "interpolated")
        )
        capped = n_relevant if k is None else np.minimum(k, n_relevant)
        bases = (np.maximum(found, 1), capped, n_relevant, capped)
        results += [
            PerQuery(Metric("average_precision", k, name), total, base)
            for name, total, base in zip(AVERAGE_PRECISION, (plain, plain, plain, interpolated), bases)
        ]
    return results
