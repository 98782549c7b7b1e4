"""Rankings: for each query, the first k or all gallery rows in order of similarity.

Scores are float32; cosines are in [-1, 1]. Ties are ordered by gallery row, and identical gallery rows always tie.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch

from cdir_nb.errors import CdirError
from cdir_nb.retrieval.blocks import INDEX_BITS, INDEX_MASK, LeftOut, indices_of, map_blocks, map_scores, scores_of

SIMILARITIES = ("cosine", "euclidean")
MOST_RESULT_BYTES = 16 << 30  # `rank` refuses a larger result
LIMITS = {"cosine": 1.0, "euclidean": np.inf}  # of inner products; beyond them are rounding errors
NEARLY_EQUAL = {"cosine": 2e-6, "euclidean": 1e-12}  # squared distance from the first row, relative to its length

Array = torch.Tensor | np.ndarray | Sequence
Embeddings = Array


@dataclass(frozen=True)
class Ranking:
    """The best gallery rows of each query, best first.

    indices    (Q, k) int32 gallery rows; equal scores are ordered by row
    scores     (Q, k) float32, in descending order: cosine, or minus the Euclidean distance
    n_gallery  size of the gallery; if k < n_gallery, only the first k ranks are stored
    left_out   the gallery rows that were left out of single queries' rankings; these rank last, with a score of minus
               infinity, and no metric counts them
    repeated   (Q,) bool: queries whose vector is also in the gallery; None if `rank` was called with `leave_out`

    A ranking computed by another program can be given as arrays, tensors or lists. Raises CdirError unless indices and
    scores are (Q, k), and the indices are gallery rows.
    """

    indices: np.ndarray
    scores: np.ndarray
    n_gallery: int
    left_out: LeftOut | None = None
    repeated: np.ndarray | None = None

    def __post_init__(self) -> None:
        indices, scores = as_array(self.indices), as_array(self.scores)
        if indices.ndim != 2 or indices.shape != scores.shape or indices.dtype.kind not in "iu":
            raise CdirError(
                f"a ranking has indices of shape {indices.shape} and type {indices.dtype}, and scores of shape "
                f"{scores.shape}: expected whole numbers (Q, k), and as many scores"
            )
        if indices.size and (indices.min() < 0 or indices.max() >= self.n_gallery):
            wrong = indices.min() if indices.min() < 0 else indices.max()
            raise CdirError(f"a ranking has index {wrong} in a gallery of {self.n_gallery}: count rows from 0")
        object.__setattr__(self, "indices", indices)
        object.__setattr__(self, "scores", scores)

    @property
    def k(self) -> int:
        """The number of ranks stored."""
        return self.indices.shape[1]

    def __len__(self) -> int:
        return len(self.indices)


def rank(
    query_emb: Embeddings,
    gallery_emb: Embeddings,
    *,
    k: int | None = None,
    similarity: str = "cosine",
    leave_out: Sequence | None = None,
) -> Ranking:
    """Rank the gallery for each query.

    query_emb (Q, D), gallery_emb (G, D): tensors, arrays or lists of numbers, compared in float32, on the GPU if both
    are there. k: number of ranks (None: all; at most G). similarity: "cosine" or "euclidean".
    leave_out: for each query, the gallery row or rows to leave out of its ranking: Q sequences (an empty one for none),
    or an array (Q,) or (Q, m). `own_rows(query, gallery)` returns the rows of the queries' own images.
    The result is on the CPU and takes 8 Q k bytes; if a whole ranking does not fit in memory, use `rank_blocks` or
    `metrics.evaluate_embeddings`. Raises CdirError for NaN, infinities, empty or mismatched input, k < 1, an unknown
    similarity, and, with cosine, a row of zeros. Warns if all gallery rows are nearly equal.
    """
    query, gallery, k = checked_pair(query_emb, gallery_emb, k, similarity)
    left_out = checked_leave_out(leave_out, len(query), len(gallery))
    size = 8 * len(query) * k
    if size > MOST_RESULT_BYTES:
        raise CdirError(
            f"a ranking of {len(query)} queries x {k} ranks would take {size / 2**30:.0f} GiB: "
            "give a smaller k, or use evaluate_embeddings or rank_blocks, which hold one block at a time"
        )
    indices = np.empty((len(query), k), np.int32)
    scores = np.empty((len(query), k), np.float32)
    for rows, block in ranked_blocks(query, gallery, k, similarity, left_out=left_out):
        indices[rows], scores[rows] = block.indices, block.scores
    return Ranking(indices, scores, len(gallery), left_out, repeated(query, gallery) if leave_out is None else None)


def rank_blocks(
    query_emb: Embeddings,
    gallery_emb: Embeddings,
    *,
    k: int | None = None,
    similarity: str = "cosine",
    leave_out: Sequence | None = None,
) -> Iterator[tuple[slice, Ranking]]:
    """Like `rank`, but yields (slice of query rows, their Ranking) for one block of queries at a time."""
    query, gallery, k = checked_pair(query_emb, gallery_emb, k, similarity)
    left_out = checked_leave_out(leave_out, len(query), len(gallery))
    return ranked_blocks(query, gallery, k, similarity, left_out=left_out)


def for_dot_product(query: Embeddings, gallery: Embeddings) -> tuple[torch.Tensor, torch.Tensor]:
    """Extend (Q, D) and (G, D) to (Q, D + 1) and (G, D + 1), whose *Euclidean* ranking is the ranking by dot product.

    The extra column gives all gallery rows the length L of the longest row: |q - g|^2 = |q|^2 + L^2 - 2 q.g.
    """
    query, gallery, _ = checked_pair(query, gallery, None, "euclidean")
    squares = gallery.square().sum(1, keepdim=True)
    remainder = (squares.max() - squares).clamp(min=0).sqrt()
    return torch.cat([query, torch.zeros_like(query[:, :1])], 1), torch.cat([gallery, remainder], 1)


def ranked_blocks(
    query: torch.Tensor,
    gallery: torch.Tensor,
    k: int,
    similarity: str,
    use: Callable[[slice, Ranking], Any] = lambda rows, block: (rows, block),
    left_out: LeftOut | None = None,
) -> Iterator[Any]:
    """Yield use(rows, Ranking of these query rows) for each block of queries; `use` runs in worker threads."""
    query, gallery = _as_inner_products(query, gallery, similarity)
    euclidean = similarity == "euclidean"
    squares = query[:, :-1].square().sum(1, keepdim=True).cpu().numpy() if euclidean else None

    def decode(rows: slice, keys: np.ndarray) -> Any:
        scores = scores_of(keys)
        if squares is not None:  # so far, score = (|q|^2 - |q - g|^2) / 2
            scores = -np.sqrt(np.maximum(squares[rows] - 2 * scores, 0))
        block = left_out and left_out.block(rows)
        return use(rows, Ranking(indices_of(keys), scores, len(gallery), block))

    return map_blocks(query, gallery, k, decode, LIMITS[similarity], left_out)


def scored_blocks(
    query: torch.Tensor,
    gallery: torch.Tensor,
    similarity: str,
    use: Callable[[slice, np.ndarray], Any],
    left_out: LeftOut | None = None,
) -> Iterator[Any]:
    """Like `ranked_blocks` on a CPU, but with use(rows, scores): (n, G) inner products that order the whole gallery.

    The scores of rows that are left out are minus infinity.
    """
    query, gallery = _as_inner_products(query, gallery, similarity)
    return map_scores(query, gallery, use, LIMITS[similarity], left_out)


def _as_inner_products(
    query: torch.Tensor, gallery: torch.Tensor, similarity: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows whose inner products rank the gallery in the same order as the similarity.

    cosine: unit rows. euclidean: [q, 1] and [g, -|g|^2 / 2], with inner product (|q|^2 - |q - g|^2) / 2.
    """
    if similarity == "cosine":
        return _unit_rows(query), _unit_rows(gallery)
    # Subtracting a common vector changes no distance, and a large offset would cost precision. Rounding it keeps
    # integers exact.
    centre = gallery.mean(0, dtype=torch.float64).round().float()
    query, gallery = query - centre, gallery - centre
    extended = torch.cat([gallery, -gallery.square().sum(1, keepdim=True) / 2], 1)
    return torch.cat([query, torch.ones_like(query[:, :1])], 1), extended


def _unit_rows(rows: torch.Tensor) -> torch.Tensor:
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=torch.float64).float()


def checked_pair(
    query_emb: Embeddings, gallery_emb: Embeddings, k: int | None, similarity: str
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Apply `checked_rows` to both; check that they have the same dimension and device. Returns k, at most G.

    Warns if all gallery rows are nearly equal.
    """
    query = checked_rows("query_emb", query_emb, similarity)
    gallery = checked_rows("gallery_emb", gallery_emb, similarity)
    if query.shape[1] != gallery.shape[1]:
        raise CdirError(
            f"query_emb has {query.shape[1]} columns and gallery_emb has {gallery.shape[1]}: "
            "embed both with the same encoder"
        )
    if query.device != gallery.device:
        raise CdirError(f"query_emb is on {query.device} and gallery_emb on {gallery.device}: move one with .to()")
    if nearly_equal(gallery[[0, len(gallery) // 2, -1]], similarity) and nearly_equal(gallery, similarity):
        warnings.warn(
            "gallery_emb: all rows are nearly equal, so rounding errors decide the order of results: "
            "check the encoder and its input",
            stacklevel=3,
        )
    return query, gallery, len(gallery) if k is None else min(checked_cutoff(k), len(gallery))


def nearly_equal(rows: torch.Tensor, similarity: str) -> bool:
    """Whether the (N, D) rows differ by little more than the precision of their scores; N > 1."""
    rows = _unit_rows(rows) if similarity == "cosine" else rows
    squares = (rows - rows[0]).square().sum(1)
    return len(rows) > 1 and bool((squares <= NEARLY_EQUAL[similarity] * rows[0].square().sum()).all())


def repeated(query: torch.Tensor, gallery: torch.Tensor) -> np.ndarray:
    """(Q,) bool: whether a row of (Q, D) is also in (G, D), bit by bit."""
    sums = [emb.view(torch.int32).sum(1) for emb in (query, gallery)]
    candidates = torch.isin(*sums).cpu().numpy()
    if candidates.any():
        rows = {row.tobytes() for row in gallery[torch.isin(*reversed(sums))].cpu().numpy()}
        candidates[candidates] = [row.tobytes() in rows for row in query.cpu().numpy()[candidates]]
    return candidates


def checked_leave_out(leave_out: Sequence | None, n_query: int, n_gallery: int) -> LeftOut | None:
    """The argument of `rank`, checked; None if nothing is left out. Raises CdirError for rows outside the gallery."""
    if leave_out is None:
        return None
    if len(leave_out) != n_query:
        raise CdirError(
            f"leave_out has {len(leave_out)} entries for {n_query} queries: give the gallery rows of each query, "
            "an empty list for none"
        )
    parts = [np.atleast_1d(as_array(rows)) for rows in leave_out]
    queries = np.repeat(np.arange(n_query), [len(rows) for rows in parts])
    if not len(queries):
        return None
    rows = np.concatenate([part for part in parts if len(part)])
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n_gallery:
        wrong = next((row for row in rows.ravel().tolist() if row not in range(n_gallery)), rows.dtype)
        raise CdirError(f"leave_out has {wrong}, which is not a row of the gallery: count its {n_gallery} rows from 0")
    pairs = np.unique(queries << INDEX_BITS | rows)
    return LeftOut(pairs >> INDEX_BITS, pairs & INDEX_MASK)


def as_array(values: Array) -> np.ndarray:
    """A tensor, an array or a (nested) list of either as an array on the CPU."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    if isinstance(values, (list, tuple)) and any(isinstance(row, torch.Tensor) for row in values):
        values = [as_array(row) for row in values]
    return np.asarray(values)


def checked_cutoff(k: int) -> int:
    """k as an int; raises CdirError unless it is a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise CdirError(f"k must be a whole number of at least 1, or None for the whole gallery: got {k!r}")
    return int(k)


def checked_rows(name: str, emb: Embeddings, similarity: str) -> torch.Tensor:
    """Convert to contiguous (N, D) float32. Raises CdirError if values are not finite or, with cosine, a row is zero.

    name  the argument's name, for messages
    """
    if similarity not in SIMILARITIES:
        raise CdirError(f"unknown similarity {similarity!r}: use one of {', '.join(SIMILARITIES)}")
    try:
        emb = torch.as_tensor(emb if isinstance(emb, torch.Tensor) else as_array(emb)).detach()
    except (TypeError, ValueError, RuntimeError):
        raise CdirError(f"{name} is not an array of numbers: expected an (N, D) tensor or array") from None
    if emb.ndim != 2 or emb.is_complex():
        raise CdirError(
            f"{name} has shape {tuple(emb.shape)} and type {emb.dtype}: expected an (N, D) array of real numbers"
        )
    if 0 in emb.shape:
        raise CdirError(f"{name} is empty, shape {tuple(emb.shape)}: check which domains and classes were selected")
    emb = emb.float().contiguous()
    norms = torch.linalg.vector_norm(emb, dim=1, dtype=torch.float64)  # one pass detects NaN, infinities and zero rows
    _refuse(
        name, ~torch.isfinite(norms), "has NaN, an infinity or a value beyond float32", "find the bad image or step"
    )
    if similarity == "cosine":
        _refuse(name, norms == 0, "is a zero vector, which has no cosine", "drop it or use similarity='euclidean'")
    return emb


def _refuse(name: str, bad: torch.Tensor, what: str, remedy: str) -> None:
    rows = bad.nonzero()[:, 0].tolist()
    if rows:
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise CdirError(f"row {rows[0]}{more} of {name} {what}: {remedy}")
