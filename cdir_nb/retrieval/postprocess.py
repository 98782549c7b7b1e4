"""Post-processing of embeddings between embedding and ranking, and re-ranking by neighbours.

Rows of queries q, reference queries q' and gallery items g have unit length; s(q, g) = q.g is their cosine. Results are
float64 if an argument is, else float32, and on the device of the arguments. Scores are held in blocks of CELLS numbers.

Centring by inner product ranks by s(q, g) minus the mean similarity of g to the queries: it is one way of subtracting
the popularity of each gallery item from its scores, as are `popularity` and `sinkhorn`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cdir_nb.errors import CdirError
from cdir_nb.retrieval.ranking import Embeddings, Ranking, as_array, checked_rows, for_dot_product, rank

if TYPE_CHECKING:  # scipy and pandas would make `cdir search` start slowly
    from scipy import sparse

CELLS = 1 << 22  # numbers in a block
KINDS = ("mean", "top_k", "softmax")
UNIT_TOLERANCE = 1e-3  # of a row's length; rounding to bfloat16 changes it by less


def centre(
    query: Embeddings, gallery: Embeddings, query_mean: Embeddings, gallery_mean: Embeddings
) -> tuple[torch.Tensor, torch.Tensor]:
    """(Q, D) and (G, D): the rows minus their mean, scaled to unit length.

    query_mean, gallery_mean  (D,), usually the mean of images of the domain. Raises CdirError if a row equals its mean
    """
    query, gallery = _checked(query=query, gallery=gallery)
    query_mean = _checked_mean("query_mean", query_mean, query)
    gallery_mean = _checked_mean("gallery_mean", gallery_mean, gallery)
    return _unit("query minus its mean", query - query_mean), _unit("gallery minus its mean", gallery - gallery_mean)


def alpha_query_expansion(
    query: Embeddings, gallery: Embeddings, n: int, alpha: float, leave_out: Sequence | None = None
) -> torch.Tensor:
    """(Q, D): unit(q + sum over the n best gallery rows g of max(s(q, g), 0)^alpha g).

    n          number of gallery rows, all if there are fewer; equal scores are ordered by row
    alpha      at least 0; 0 is the average of q and the n rows, since 0^0 = 1
    leave_out  for each query, the gallery rows that are not used, as in `rank`

    Source: Radenović, Tolias and Chum, TPAMI 2019; the average: Chum et al., ICCV 2007.
    """
    query, gallery = _checked(query=query, gallery=gallery)
    n, alpha = _whole("n", n), _at_least_0("alpha", alpha)
    ranking = rank(query, gallery, k=n, leave_out=leave_out)
    used = np.isfinite(ranking.scores)  # if few rows remain, those that are left out come last
    indices, used = (torch.from_numpy(x).to(gallery.device) for x in (ranking.indices, used))
    expanded = torch.empty_like(query)
    for rows in _blocks(len(query), ranking.k * query.shape[1]):
        near = gallery[indices[rows]]
        weights = torch.einsum("qd,qnd->qn", query[rows], near).clamp(min=0) ** alpha * used[rows]
        expanded[rows] = query[rows] + torch.einsum("qn,qnd->qd", weights, near)
    return _unit("query after its expansion", expanded)


def popularity(
    reference: Embeddings, gallery: Embeddings, kind: str, k: int | None = None, tau: float | None = None
) -> torch.Tensor:
    """(G,): the similarity of each gallery row to reference queries (R, D); to be subtracted from scores.

    kind  "mean": the mean of s(q', g) over q'; centring by inner product
          "top_k": the mean of the k largest (all if there are fewer). CSLS (Conneau et al., ICLR 2018) subtracts half
          of it, NNN (Chowdhury et al., EMNLP 2024) a multiple
          "softmax": tau log mean exp(s(q', g) / tau), the inverted softmax (Smith et al., ICLR 2017)
    Raises CdirError for an unknown kind, for k < 1 with "top_k", and for tau <= 0 with "softmax".
    """
    reference, gallery = _checked(reference=reference, gallery=gallery)
    if kind == "mean":
        return gallery @ reference.mean(0)
    if kind == "top_k":
        k = min(_whole("k", k), len(reference))
        return _over_scores(reference, gallery, lambda s: s.topk(k, dim=0).values.mean(0))
    if kind == "softmax":
        tau = _positive("tau", tau)
        return tau * (_log_sums(reference, gallery, tau) - math.log(len(reference)))
    raise CdirError(f"unknown kind of popularity {kind!r}: use one of {', '.join(KINDS)}")


def sinkhorn(reference: Embeddings, gallery: Embeddings, tau: float, rounds: int = 10) -> torch.Tensor:
    """(G,), to be subtracted from scores: minus tau log of the column factors that balance exp(s(q', g) / tau).

    Each round scales the rows (reference queries) to the sum 1/R, then the columns (gallery rows) to 1/G.
    Source: Sinkhorn and Knopp 1967; DBSN (arXiv 2508.02538) uses tau = 0.01 and 5 to 10 rounds.
    """
    reference, gallery = _checked(reference=reference, gallery=gallery)
    tau, columns = _positive("tau", tau), gallery.new_zeros(len(gallery))
    for _ in range(_whole("rounds", rounds)):
        rows = -_log_sums(gallery, reference, tau, columns) - math.log(len(reference))
        columns = -_log_sums(reference, gallery, tau, rows) - math.log(len(gallery))
    return -tau * columns


def qb_norm_switch(query: Embeddings, gallery: Embeddings, reference: Embeddings) -> torch.Tensor:
    """(Q,) bool: whether QB-Norm subtracts the popularity ("softmax") from a query's scores.

    It does if the query's best gallery row is the best of a reference query, which must not be a test query.
    Source: Bogolin et al., CVPR 2022 (dynamic inverted softmax).
    """
    query, gallery, reference = _checked(query=query, gallery=gallery, reference=reference)
    best, popular = (rank(rows, gallery, k=1).indices[:, 0] for rows in (query, reference))
    return torch.from_numpy(np.isin(best, popular)).to(query.device)


def subtract_popularity(
    query: torch.Tensor, gallery: torch.Tensor, popular: torch.Tensor, switch: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Extend (Q, D) and (G, D) to rows whose *Euclidean* ranking is the ranking by s(q, g) - popular(g).

    popular  (G,), from `popularity` or `sinkhorn`
    switch   (Q,) from `qb_norm_switch`: the queries for which `popular` is subtracted; None: all
    """
    factors = torch.ones_like(query[:, :1]) if switch is None else switch[:, None].to(query.dtype)
    return for_dot_product(torch.cat([query, factors], 1), torch.cat([gallery, -popular[:, None]], 1))


def contrastive_projection(objects: Embeddings, styles: Embeddings, a: float, d: int) -> torch.Tensor:
    """(D, D): the projector that keeps what varies with objects and removes what varies with styles.

    It projects on the d eigenvectors of (1 - a) S_objects - a S_styles with the largest (signed) eigenvalues.
    S is the covariance (divisor n) of rows (n, D), which are not normalised, around their own mean.

    objects, styles  such as CLIP's embeddings of names of objects and of descriptions of styles
    a                from 0 (objects alone) to 1
    Source: BASIC (Psomas et al., NeurIPS 2025). Raises CdirError unless 1 <= d <= D.
    """
    objects, styles = _checked(unit=False, objects=objects, styles=styles)
    a, d = _at_least_0("a", a), _whole("d", d)
    if a > 1:
        raise CdirError(f"a = {a} is above 1: it is the weight of the styles, from 0 to 1")
    if d > objects.shape[1]:
        raise CdirError(f"d = {d} is more than the {objects.shape[1]} columns of objects: give a smaller d")
    _, vectors = torch.linalg.eigh((1 - a) * _covariance(objects) - a * _covariance(styles))  # ascending
    return (vectors[:, -d:] @ vectors[:, -d:].T).to(objects.dtype)


def k_reciprocal(
    ranking: Ranking, query: Embeddings, gallery: Embeddings, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> Ranking:
    """Re-rank the stored ranks of a Ranking by k-reciprocal neighbours; the new scores are minus the new distances.

    Neighbours are searched among queries and gallery together. d(x, y) is 2 - 2 x.y, divided by its maximum over y.
    R(x, k): all y among the k + 1 nearest rows of x (itself included) for which x is among the k + 1 nearest of y
    R*(x): R(x, k1), and R(y, k1 / 2) of each y in it if more than 2/3 of R(y, k1 / 2) is in R(x, k1)
    V(x): exp(-d) on R*(x) and 0 elsewhere, divided by its sum; then its mean over the k2 nearest rows of x
    new distance: (1 - weight) (1 - sum min(V(q), V(g)) / sum max(V(q), V(g))) + weight d(q, g)

    Apart from `ranking`, memory is proportional to Q + G. Source: Zhong et al., CVPR 2017, and its released code.
    """
    from scipy import sparse

    query, gallery = _checked(query=query, gallery=gallery)
    k1, k2, weight = _whole("k1", k1), _whole("k2", k2), _at_least_0("weight", weight)
    if weight > 1 or ranking.n_gallery != len(gallery) or len(ranking) != len(query):
        raise CdirError(
            f"a ranking of {len(ranking)} queries x {ranking.n_gallery} gallery rows does not fit {len(query)} rows of "
            f"query and {len(gallery)} of gallery, or weight {weight} is above 1: give the vectors that were ranked, "
            "and a weight from 0 to 1"
        )
    rows = torch.cat([query, gallery])
    nearest = rank(rows, rows, k=max(k1 + 1, k2)).indices
    codes = _neighbour_codes(rows, nearest, k1)
    if k2 > 1:
        codes = sparse.csr_array(_incidence(nearest[:, :k2]) @ codes / min(k2, nearest.shape[1]))
    of_query, of_gallery = codes[: len(query)], codes[len(query) :].tocsc()
    indices, scores = np.empty_like(ranking.indices), np.empty_like(ranking.scores)
    for block in _blocks(len(query), len(rows)):
        distances = _distances(query[block], rows)[:, len(query) :]
        for row, distance in zip(range(len(query))[block], distances):
            candidates = ranking.indices[row]
            overlap = _overlaps(of_query[row : row + 1], of_gallery)[candidates]
            new = (1 - weight) * (1 - overlap / (2 - overlap)) + weight * distance[candidates]
            new[np.isneginf(ranking.scores[row])] = np.inf  # rows that `rank` left out stay last
            order = np.lexsort((candidates, new))
            indices[row], scores[row] = candidates[order], -new[order]
    return replace(ranking, indices=indices, scores=scores)


def _neighbour_codes(rows: torch.Tensor, nearest: np.ndarray, k1: int) -> "sparse.csr_array":
    """(N, N): V before its mean over neighbours, see `k_reciprocal`."""
    from scipy import sparse

    mutual, half = (_mutual(nearest[:, : k + 1]) for k in (k1, round(k1 / 2)))
    sizes, parts = half.sum(1), []
    for block in _blocks(len(rows), len(rows)):
        own = mutual[block]
        added = sparse.csr_array((own @ half.T).multiply(own))  # how many of R(y, k1 / 2) are in R(x, k1)
        added.data = (3 * added.data > 2 * sizes[added.indices]).astype(np.float64)
        added.eliminate_zeros()
        code = sparse.coo_array(own + added @ half)
        values = np.exp(-_distances(rows[block], rows)[code.row, code.col])
        values /= np.bincount(code.row, values)[code.row]
        parts.append(sparse.csr_array((values, (code.row, code.col)), shape=code.shape))
    return sparse.csr_array(sparse.vstack(parts))


def _incidence(neighbours: np.ndarray) -> "sparse.csr_array":
    """(N, N): 1 where a column is one of the row's neighbours (N, k)."""
    from scipy import sparse

    n, k = neighbours.shape
    return sparse.csr_array((np.ones(n * k), neighbours.ravel(), np.arange(n + 1) * k), shape=(n, n))


def _mutual(neighbours: np.ndarray) -> "sparse.csr_array":
    """(N, N): 1 where both rows are among the other's neighbours."""
    incidence = _incidence(neighbours)
    return incidence.multiply(incidence.T).tocsr()


def _overlaps(code: "sparse.csr_array", codes: "sparse.csc_array") -> np.ndarray:
    """(G,): the sum of min(code, row) for each row of `codes` (G, N)."""
    from scipy import sparse

    columns = codes[:, code.indices]
    smaller = np.minimum(columns.data, np.repeat(code.data, np.diff(columns.indptr)))
    return sparse.csc_array((smaller, columns.indices, columns.indptr), shape=columns.shape).sum(1)


def _distances(query: torch.Tensor, rows: torch.Tensor) -> np.ndarray:
    """(Q, N): squared Euclidean distances of unit rows, divided by the largest of each query."""
    distances = (2 - 2 * query @ rows.T).clamp(min=0)
    return (distances / distances.amax(1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)).cpu().numpy()


def _over_scores(
    reference: torch.Tensor, gallery: torch.Tensor, reduce: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """(G,): reduce((R, n) scores) -> (n,), for one block of gallery rows at a time."""
    blocks = _blocks(len(gallery), len(reference))
    return torch.cat([reduce(reference @ gallery[rows].T) for rows in blocks])


def _log_sums(left: torch.Tensor, right: torch.Tensor, tau: float, add: torch.Tensor | None = None) -> torch.Tensor:
    """For each row of `right`, log of the sum over rows of `left` of exp(their inner product / tau + add)."""
    column = left.new_zeros(len(left), 1) if add is None else add[:, None]
    return _over_scores(left, right, lambda s: torch.logsumexp(s / tau + column, 0))


def _covariance(rows: torch.Tensor) -> torch.Tensor:
    centred = rows.double() - rows.double().mean(0)
    return centred.T @ centred / len(rows)


def _blocks(n: int, width: int) -> Iterator[slice]:
    step = max(1, CELLS // width)
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def _unit(name: str, rows: torch.Tensor) -> torch.Tensor:
    """Rows scaled to unit length. Raises CdirError for a row of zeros."""
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    zero = (lengths[:, 0] < UNIT_TOLERANCE**2).nonzero()
    if len(zero):
        raise CdirError(
            f"row {int(zero[0])} of {name} is zero, which has no direction: use more images, or leave it out"
        )
    return rows / lengths


def _checked(unit: bool = True, **named: Embeddings) -> list[torch.Tensor]:
    """Rows (N, D) of one dtype: finite, of one width, on one device and, if `unit`, of unit length."""
    single = {name: checked_rows(name, rows, "euclidean") for name, rows in named.items()}
    shapes = {(rows.shape[1], str(rows.device)) for rows in single.values()}
    if len(shapes) > 1:
        text = ", ".join(f"{name} {rows.shape[1]} on {rows.device}" for name, rows in single.items())
        raise CdirError(f"columns and devices differ: {text}; embed all with one encoder, and move them to one device")
    if unit:
        for name, rows in single.items():
            lengths = torch.linalg.vector_norm(rows, dim=1)
            wrong = ((lengths - 1).abs() > UNIT_TOLERANCE).nonzero()
            if len(wrong):
                row = int(wrong[0])
                raise CdirError(
                    f"row {row} of {name} has length {float(lengths[row]):.4g} instead of 1: scale the rows with "
                    "torch.nn.functional.normalize"
                )
    exact = [torch.as_tensor(x if isinstance(x, torch.Tensor) else as_array(x)).detach() for x in named.values()]
    return [rows.double() for rows in exact] if torch.float64 in {x.dtype for x in exact} else list(single.values())


def _checked_mean(name: str, mean: Embeddings, rows: torch.Tensor) -> torch.Tensor:
    (mean,) = _checked(unit=False, **{name: as_array(mean)[None]})
    if mean.shape[1] != rows.shape[1]:
        raise CdirError(
            f"{name} has {mean.shape[1]} numbers, but the rows have {rows.shape[1]} columns: give the mean of such rows"
        )
    return mean[0].to(rows)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise CdirError(f"{name} must be a whole number of at least 1: got {value!r}")
    return int(value)


def _positive(name: str, value: Any) -> float:
    if not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise CdirError(f"{name} must be a positive number: got {value!r}")
    return float(value)


def _at_least_0(name: str, value: Any) -> float:
    if not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise CdirError(f"{name} must be a number of at least 0: got {value!r}")
    return float(value)
