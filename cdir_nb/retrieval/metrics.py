"""Metrics of a ranking. The name of a metric includes its convention, which can change its value considerably.

For a query, n_rel is the number of gallery items of its class, and h the number of these in the first k ranks. Items
that are left out of its ranking count in neither. Every convention is a fraction; a value of 0 / 0 is NaN and is left
out of the mean. k may exceed the size G of the gallery: h is then n_rel, and no precision depends on the order of the
results.

precision at cut-off k
  hits_over_k               h / k, for k > G too          SnMpNet, SAKE, AMA, ProS, ClipPrompt. n_rel = 0 gives 0.
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

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cdir_nb.conventions import AVERAGE_PRECISION, PRECISION, Metric
from cdir_nb.errors import CdirError
from cdir_nb.retrieval.blocks import LeftOut
from cdir_nb.retrieval.hits import (
    ClassMembers,
    hits_by_depth,
    interpolated,
    precisions_at_hits,
    ranks_of_hits,
    sum_in_order,
)
from cdir_nb.retrieval.ranking import (
    Array,
    Embeddings,
    Ranking,
    as_array,
    checked_cutoff,
    checked_leave_out,
    checked_pair,
    ranked_blocks,
    repeated,
    scored_blocks,
)

BLOCK_CELLS = 1 << 22  # ranks processed at a time
SORTED = 2_000  # up to this many gallery items, sorting them is faster than counting what ranks before the hits
BOOTSTRAP_DRAWS = 1000
DRAWN_AT_ONCE = 100  # draws; bounds memory: draws x groups

LABEL_KINDS = ("string", "integer", "floating", "mixed-integer-float", "boolean", "categorical", "empty")

Labels = Array
Fractions = dict[tuple[int | None, str], tuple[np.ndarray, np.ndarray]]  # (k, convention): numerator, denominator (n,)


@dataclass(frozen=True)
class PerQuery:
    """One metric for every query, as numerator (Q,) and denominator (Q,), with the number of relevant items (Q,)."""

    metric: Metric
    numerator: np.ndarray
    denominator: np.ndarray
    n_relevant: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """(Q,) float64; NaN for queries that the convention leaves undefined."""
        with np.errstate(invalid="ignore"):
            return self.numerator / self.denominator

    @property
    def mean(self) -> float:
        """Mean over queries with a defined value (ucdir_micro: sum / sum); NaN if there are none."""
        defined = self.denominator > 0
        if not defined.any():
            return float("nan")
        if self.metric.convention == "ucdir_micro":
            return float(self.numerator.sum() / self.denominator.sum())
        return float((self.numerator[defined] / self.denominator[defined]).mean())

    @property
    def without_relevant(self) -> int:
        """The number of queries for which the gallery has no relevant item."""
        return int((self.n_relevant == 0).sum())

    @property
    def name(self) -> str:
        """A name for display, such as "mAP@200 (over_found)"."""
        return f"{self.metric.short} ({self.convention})"

    @property
    def convention(self) -> str:
        """The name of the convention, such as "over_found"."""
        return self.metric.convention

    @property
    def k(self) -> int | None:
        """The cut-off of the metric; None: the whole ranking."""
        return self.metric.k

    def row(self) -> dict[str, object]:
        """A row of a table, as in `pd.DataFrame(result.row() for result in results)`."""
        return {
            "metric": str(self.metric),
            "value": self.mean,
            "queries": len(self.n_relevant),
            "queries_without_relevant": self.without_relevant,
        }

    def select(self, rows: Array) -> "PerQuery":
        """The values of the queries selected by index or mask."""
        rows = as_array(rows)
        return PerQuery(self.metric, self.numerator[rows], self.denominator[rows], self.n_relevant[rows])


def precision_at_k(
    ranking: Ranking, query_labels: Labels, gallery_labels: Labels, k: int, convention: str = "hits_over_k"
) -> PerQuery:
    """Precision in the first k ranks; the module docstring defines the conventions.

    Labels (Q,) and (G,): text or numbers. Raises CdirError if their lengths do not fit the ranking, if the ranking
    has fewer than k ranks (although the gallery is larger), or if the convention is unknown.
    """
    _check_convention(convention, PRECISION)
    results = evaluate(ranking, query_labels, gallery_labels, ks=(k,), ap_ks=())
    return next(result for result in results if result.convention == convention)


def average_precision(
    ranking: Ranking, query_labels: Labels, gallery_labels: Labels, k: int | None = None, convention: str = "over_found"
) -> PerQuery:
    """Average precision in the first k ranks, or (k=None) in the whole ranking; errors as in `precision_at_k`."""
    _check_convention(convention, AVERAGE_PRECISION)
    results = evaluate(ranking, query_labels, gallery_labels, ks=(), ap_ks=(k,))
    return next(result for result in results if result.convention == convention)


def evaluate(
    ranking: Ranking,
    query_labels: Labels,
    gallery_labels: Labels,
    ks: Sequence[int] = (1, 50, 100, 200),
    ap_ks: Sequence[int | None] = (200,),
) -> list[PerQuery]:
    """Every convention at every cut-off, in one pass over the ranking. Errors as in `precision_at_k`.

    Warns about queries whose vector is also in the gallery, unless `rank` was called with `leave_out`.
    """
    classes = Classes(query_labels, gallery_labels, len(ranking), ranking.n_gallery, ranking.left_out)
    _check_depth(ranking, ks, ap_ks)
    _warn_of_repeated(ranking.repeated)
    blocks = []
    for rows in _blocks(ranking):
        ranks = ranks_of_hits(classes.relevant(rows, ranking.indices[rows], ranking.scores[rows]))
        blocks.append(fractions(ranks, classes.n_relevant[rows], ks, ap_ks))
    return _results(blocks, classes.n_relevant, ks, ap_ks)


def evaluate_embeddings(
    query_emb: Embeddings,
    gallery_emb: Embeddings,
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    similarity: str = "cosine",
    ks: Sequence[int] = (1, 50, 100, 200),
    ap_ks: Sequence[int | None] = (200, None),
    leave_out: Sequence | None = None,
) -> list[PerQuery]:
    """Apply `rank` and `evaluate` to one block of queries at a time, in bounded memory even for mAP@all.

    The values are exactly those of `evaluate(rank(...))`. On a CPU, mAP@all is computed without sorting a large
    gallery. Arguments, errors and warnings as in `rank` and `evaluate`.
    """
    cutoffs = [checked_cutoff(k) for k in (*ks, *ap_ks) if k is not None]
    deepest = None if None in ap_ks else max(cutoffs, default=None)
    query, gallery, k = checked_pair(query_emb, gallery_emb, deepest, similarity)
    left_out = checked_leave_out(leave_out, len(query), len(gallery))
    classes = Classes(query_labels, gallery_labels, len(query), len(gallery), left_out)
    _warn_of_repeated(repeated(query, gallery) if leave_out is None else None)

    def of_ranks(rows: slice, ranks: np.ndarray) -> Fractions:
        return fractions(ranks, classes.n_relevant[rows], ks, ap_ks)

    def of_ranking(rows: slice, block: Ranking) -> Fractions:
        return of_ranks(rows, ranks_of_hits(classes.relevant(rows, block.indices, block.scores)))

    if deepest is None and len(gallery) > SORTED and query.device.type == "cpu":
        members = ClassMembers(classes.gallery)

        def of_scores(rows: slice, scores: np.ndarray) -> Fractions:
            return of_ranks(rows, members.ranks(scores, classes.query[rows]))

        blocks = scored_blocks(query, gallery, similarity, of_scores, left_out)
    else:
        blocks = ranked_blocks(query, gallery, k, similarity, of_ranking, left_out)
    return _results(list(blocks), classes.n_relevant, ks, ap_ks)


def fractions(ranks: np.ndarray, n_relevant: np.ndarray, ks: Sequence[int], ap_ks: Sequence[int | None]) -> Fractions:
    """Numerator and denominator of every convention for n queries; this function defines the conventions.

    ranks       (n, m) ranks of each query's hits, as returned by `ranks_of_hits`
    n_relevant  (n,) number of relevant gallery items
    """
    by_name: Fractions = {}
    depths, queries = hits_by_depth(ranks, max(ks, default=0)), np.arange(len(ranks))
    for k in ks:
        capped = np.minimum(k, n_relevant)
        hits, hits_in_capped = depths[min(k, len(depths) - 1)], depths[np.minimum(capped, len(depths) - 1), queries]
        by_name[k, "hits_over_k"] = hits, np.full(len(hits), k)
        by_name[k, "hits_over_min_k_relevant"] = hits_in_capped, capped
        by_name[k, "ucdir_micro"] = hits_in_capped, capped
    precisions = precisions_at_hits(ranks)  # 0 where a row is padded
    for k in ap_ks:
        within = np.isfinite(ranks) if k is None else ranks[:, :k] <= k  # the k-th hit has rank k or more
        precisions_within = precisions[:, :k] * within
        total, hits = sum_in_order(precisions_within), within.sum(1)
        capped = n_relevant if k is None else np.minimum(k, n_relevant)
        by_name[k, "over_found"] = total, np.maximum(hits, 1)
        by_name[k, "over_min_k_relevant"] = total, capped
        by_name[k, "over_relevant"] = total, n_relevant
        by_name[k, "voc_interpolated"] = sum_in_order(interpolated(precisions_within)), capped
    return by_name


def _results(
    blocks: list[Fractions], n_relevant: np.ndarray, ks: Sequence[int], ap_ks: Sequence[int | None]
) -> list[PerQuery]:
    """One result per cut-off and convention: `ks` x PRECISION, then `ap_ks` x AVERAGE_PRECISION."""
    metrics = [Metric("precision", k, name) for k in ks for name in PRECISION]
    metrics += [Metric("average_precision", k, name) for k in ap_ks for name in AVERAGE_PRECISION]
    results = []
    for metric in metrics:
        numerators, denominators = zip(*(block[metric.k, metric.convention] for block in blocks))
        results.append(PerQuery(metric, np.concatenate(numerators), np.concatenate(denominators), n_relevant))
    return results


def per_class(result: PerQuery, query_labels: Labels) -> dict[object, float]:
    """{class: mean over its queries}, sorted by class; NaN if no query of a class has a defined value."""
    labels = _checked_labels("query_labels", query_labels, len(result.numerator), "queries in the result")
    return {label: result.select(labels == label).mean for label in np.unique(labels).tolist()}


def precision_recall(
    ranking: Ranking, query_labels: Labels, gallery_labels: Labels, recalls: Array | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated precision-recall curves, from the whole ranking.

    Precision at recall r is the highest precision at any rank where recall is at least r. Returns recalls (R,), by
    default 0, 0.01, ..., 1, and curves (Q, R), NaN for queries without relevant items;
    `np.nanmean(curves, axis=0)` is the mean curve.
    """
    classes = Classes(query_labels, gallery_labels, len(ranking), ranking.n_gallery, ranking.left_out)
    _check_depth(ranking, (), (None,))
    _warn_of_repeated(ranking.repeated)
    recalls = np.linspace(0, 1, 101) if recalls is None else as_array(recalls).astype(float)
    curves = np.full((len(ranking), len(recalls)), np.nan)
    for rows in _blocks(ranking):
        precisions = precisions_at_hits(
            ranks_of_hits(classes.relevant(rows, ranking.indices[rows], ranking.scores[rows]))
        )
        n_relevant = classes.n_relevant[rows, None]
        nth = np.ceil(recalls * n_relevant - 1e-9).clip(1, None).astype(int) - 1  # 1e-9: as floats, 0.14 * 50 > 7
        if precisions.shape[1]:
            nth = nth.clip(0, precisions.shape[1] - 1)
            curve = np.take_along_axis(interpolated(precisions), nth, axis=1)
            curves[rows] = np.where(n_relevant > 0, curve, np.nan)
    return recalls, curves


def bootstrap_interval(
    values: Array, groups: Array | None = None, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """(low, high): percentile bootstrap interval of the mean of (Q,) values, at confidence `level`.

    groups  (Q,) group of each query, such as its class; groups are resampled instead of queries. Queries of a class are
            correlated, so these intervals are wider; they are appropriate for claims about new classes
    NaN values are ignored. Raises CdirError if all values are NaN.
    """
    values = as_array(values).astype(float)
    defined = ~np.isnan(values)
    if not defined.any():
        raise CdirError("no query has a value, so there is no interval: check labels and convention")
    names = np.arange(len(values)) if groups is None else _checked_labels("groups", groups, len(values), "values")
    return interval_over_directions([values[defined]], [names[defined]], BOOTSTRAP_DRAWS, level=level, seed=seed)


def interval_over_directions(
    values: Sequence[np.ndarray], groups: Sequence[Sequence | np.ndarray], draws: int, *, level: float, seed: int
) -> tuple[float, float]:
    """(low, high): as `bootstrap_interval`, of the mean over directions of the mean over queries.

    values  one array per direction, one defined value per query
    groups  the group of each query, such as its class. Groups are drawn with replacement, as many as there are. A drawn
            group adds its queries in every direction; a direction without a drawn query does not count in that draw
    """
    names, codes = np.unique(np.concatenate([np.asarray(part) for part in groups]), return_inverse=True)
    codes = np.split(codes, np.cumsum([len(part) for part in values])[:-1])
    sums = np.stack([np.bincount(c, v, len(names)) for c, v in zip(codes, values)], axis=1)  # groups x directions
    sizes = np.stack([np.bincount(c, minlength=len(names)) for c in codes], axis=1)
    random, means = np.random.default_rng(seed), []
    for start in range(0, draws, DRAWN_AT_ONCE):
        times = drawn_times(random, len(names), min(DRAWN_AT_ONCE, draws - start))
        with np.errstate(invalid="ignore"):
            means.append(np.nanmean((times @ sums) / (times @ sizes), axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def drawn_times(random: np.random.Generator, groups: int, draws: int) -> np.ndarray:
    """(draws, groups): how often each group is drawn, if `groups` groups are drawn with replacement."""
    drawn = random.integers(groups, size=(draws, groups))
    return np.stack([np.bincount(row, minlength=groups) for row in drawn])


class Classes:
    """Query and gallery labels as integer codes, and the number of relevant gallery items for each query."""

    def __init__(
        self,
        query_labels: Labels,
        gallery_labels: Labels,
        n_query: int,
        n_gallery: int,
        left_out: LeftOut | None = None,
    ) -> None:
        import pandas as pd  # it would make `cdir search` start slowly

        query = _checked_labels("query_labels", query_labels, n_query, "queries in the ranking")
        gallery = _checked_labels("gallery_labels", gallery_labels, n_gallery, "items in the gallery")
        if (query.dtype.kind == "O") != (gallery.dtype.kind == "O"):
            raise CdirError(
                "query_labels and gallery_labels: one is text and the other numbers: "
                "use class names for both, or class numbers for both"
            )
        codes = pd.factorize(np.concatenate([query, gallery]))[0].astype(np.int32)
        self.query, self.gallery = codes[:n_query], codes[n_query:]
        self.n_relevant = np.bincount(self.gallery, minlength=codes.max() + 1)[self.query]
        self.left_out = left_out
        if left_out is not None:
            relevant = self.query[left_out.queries] == self.gallery[left_out.rows]
            self.n_relevant -= np.bincount(left_out.queries[relevant], minlength=n_query)

    def relevant(self, rows: slice, indices: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """(n, k) bool: True where the ranked item has the query's class and is not left out."""
        same_class = self.gallery.take(indices) == self.query[rows, None]
        return same_class if self.left_out is None else same_class & (scores > -np.inf)


def _warn_of_repeated(repeated: np.ndarray | None) -> None:
    """Warn if query vectors are also in the gallery; such a query ranks itself first, whatever the encoder does."""
    if repeated is not None and repeated.any():
        warnings.warn(
            f"{repeated.sum()} of {len(repeated)} queries have their own vector in the gallery, which ranks first: "
            "give leave_out=own_rows(queries, gallery) of the image sets, or leave_out=[[]] * Q if the images differ",
            stacklevel=3,
        )


def _checked_labels(name: str, labels: Labels, expected: int, items: str) -> np.ndarray:
    import pandas as pd

    if not isinstance(labels, (list, tuple)) or any(isinstance(label, torch.Tensor) for label in labels):
        labels = as_array(labels)
    kind = pd.api.types.infer_dtype(labels)
    if kind not in LABEL_KINDS:  # NumPy would turn numbers among texts into texts
        raise CdirError(f"{name} are neither all text nor all numbers ({kind}): use one label of one kind per row")
    labels = np.asarray(labels, dtype=object if kind == "string" else None)
    if labels.ndim != 1 or len(labels) != expected:
        raise CdirError(f"{name} has shape {labels.shape} for {expected} {items}: expected one label per row")
    if pd.isna(labels).any():
        raise CdirError(f"{name} has no label in row {np.flatnonzero(pd.isna(labels))[0]}: add one or drop the row")
    return labels if labels.dtype.kind in "iufb" else labels.astype(object)


def _check_convention(convention: str, conventions: tuple[str, ...]) -> None:
    if convention not in conventions:
        raise CdirError(f"unknown convention {convention!r}: use one of {', '.join(conventions)}")


def _blocks(ranking: Ranking) -> Iterator[slice]:
    step = max(1, BLOCK_CELLS // ranking.k)
    return (slice(start, min(start + step, len(ranking))) for start in range(0, len(ranking), step))


def _check_depth(ranking: Ranking, ks: Sequence[int], ap_ks: Sequence[int | None]) -> None:
    for k in (*ks, *ap_ks):
        needed = ranking.n_gallery if k is None else min(checked_cutoff(k), ranking.n_gallery)
        if needed > ranking.k:
            metric = "a metric over the whole ranking" if k is None else f"a metric at {k}"
            raise CdirError(f"{metric} needs more than the {ranking.k} ranks of this ranking: call rank with k={k}")
