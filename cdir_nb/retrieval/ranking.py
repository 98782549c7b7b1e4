"""Rankings: for each query, the first k or all gallery rows in order of similarity.

Scores are float32. Ties are ordered by gallery row, and identical gallery rows always tie.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch

from cdir_nb.errors import CdirError
from cdir_nb.retrieval.blocks import indices_of, map_blocks, map_scores, scores_of

SIMILARITIES = ("cosine", "euclidean")
MOST_RESULT_BYTES = 16 << 30  # `rank` refuses a larger result

Embeddings = torch.Tensor | np.ndarray


@dataclass(frozen=True)
class Ranking:
    """The best gallery rows of each query, best first.

    indices    (Q, k) int32 gallery rows; equal scores are ordered by row
    scores     (Q, k) float32, in descending order: cosine, or minus the Euclidean distance
    n_gallery  size of the gallery; if k < n_gallery, only the first k ranks are stored
    """

    indices: np.ndarray
    scores: np.ndarray
    n_gallery: int

    @property
    def k(self) -> int:
        """The number of ranks stored."""
        return self.indices.shape[1]

    def __len__(self) -> int:
        return len(self.indices)


def rank(
    query_emb: Embeddings, gallery_emb: Embeddings, *, k: int | None = None, similarity: str = "cosine"
) -> Ranking:
    """Rank the gallery for each query.

    query_emb (Q, D), gallery_emb (G, D): tensors or arrays of numbers, compared in float32; on the GPU if both are
    on it. k: number of ranks (None: all; at most G). similarity: "cosine" or "euclidean".
    The result is on the CPU and takes 8 Q k bytes; if a whole ranking does not fit in memory, use `rank_blocks` or
    `metrics.evaluate_embeddings`. Raises CdirError for NaN, infinities, empty or mismatched input, k < 1, an unknown
    similarity, and, with cosine, a row of zeros.
    """
    query, gallery, k = checked_pair(query_emb, gallery_emb, k, similarity)
    size = 8 * len(query) * k
    if size > MOST_RESULT_BYTES:
        raise CdirError(
            f"a ranking of {len(query)} queries x {k} ranks would take {size / 2**30:.0f} GiB: "
            "give a smaller k, or use evaluate_embeddings or rank_blocks, which hold one block at a time"
        )
    indices = np.empty((len(query), k), np.int32)
    scores = np.empty((len(query), k), np.float32)
    for rows, block in ranked_blocks(query, gallery, k, similarity):
        indices[rows], scores[rows] = block.indices, block.scores
    return Ranking(indices, scores, len(gallery))


def rank_blocks(
    query_emb: Embeddings, gallery_emb: Embeddings, *, k: int | None = None, similarity: str = "cosine"
) -> Iterator[tuple[slice, Ranking]]:
    """Like `rank`, but yields (slice of query rows, their Ranking) for one block of queries at a time."""
    query, gallery, k = checked_pair(query_emb, gallery_emb, k, similarity)
    return ranked_blocks(query, gallery, k, similarity)


def for_dot_product(query: torch.Tensor, gallery: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Extend (Q, D) and (G, D) to (Q, D + 1) and (G, D + 1), whose *Euclidean* ranking is that by dot product.

    The extra column gives all gallery rows the length L of the longest row: |q - g|^2 = |q|^2 + L^2 - 2 q.g.
    """
    squares = gallery.square().sum(1, keepdim=True)
    remainder = (squares.max() - squares).clamp(min=0).sqrt()
    return torch.cat([query, torch.zeros_like(query[:, :1])], 1), torch.cat([gallery, remainder], 1)


def ranked_blocks(
    query: torch.Tensor,
    gallery: torch.Tensor,
    k: int,
    similarity: str,
    use: Callable[[slice, Ranking], Any] = lambda rows, block: (rows, block),
) -> Iterator[Any]:
    """Yield use(rows, Ranking of these query rows) for each block of queries; `use` runs in worker threads."""
    query, gallery = _as_inner_products(query, gallery, similarity)
    euclidean = similarity == "euclidean"
    squares = query[:, :-1].square().sum(1, keepdim=True).cpu().numpy() if euclidean else None

    def decode(rows: slice, keys: np.ndarray) -> Any:
        scores = scores_of(keys)
        if squares is not None:  # so far, score = (|q|^2 - |q - g|^2) / 2
            scores = -np.sqrt(np.maximum(squares[rows] - 2 * scores, 0))
        return use(rows, Ranking(indices_of(keys), scores, len(gallery)))

    return map_blocks(query, gallery, k, decode)


def scored_blocks(
    query: torch.Tensor, gallery: torch.Tensor, similarity: str, use: Callable[[slice, np.ndarray], Any]
) -> Iterator[Any]:
    """Like `ranked_blocks` on a CPU, but with use(rows, scores): (n, G) inner products that order the whole gallery."""
    return map_scores(*_as_inner_products(query, gallery, similarity), use)


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
    """Apply `checked_rows` to both; check that they have the same dimension and device. Returns k as at most G."""
    query = checked_rows("query_emb", query_emb, similarity)
    gallery = checked_rows("gallery_emb", gallery_emb, similarity)
    if query.shape[1] != gallery.shape[1]:
        raise CdirError(
            f"query_emb has {query.shape[1]} columns and gallery_emb has {gallery.shape[1]}: "
            "embed both with the same encoder"
        )
    if query.device != gallery.device:
        raise CdirError(f"query_emb is on {query.device} and gallery_emb on {gallery.device}: move one with .to()")
    return query, gallery, len(gallery) if k is None else min(checked_cutoff(k), len(gallery))


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
        emb = torch.as_tensor(emb).detach()
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
