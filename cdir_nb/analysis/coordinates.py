"""From (N, D) vectors to points in the plane: t-SNE, UMAP, principal axes (PCA).

t-SNE and UMAP preserve neighbourhoods, but not distances, cluster sizes or the gaps between clusters: do not read
those off a map, measure them.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from cdir_nb.analysis.distances import unit_rows
from cdir_nb.errors import CdirError, require_extra

SMALLEST = 10  # with fewer points, neither method has meaningful neighbourhoods


def sample_rows(groups: Sequence[str], n: int, seed: int) -> np.ndarray:
    """At most n row numbers, sorted: equally many from every group (all of a small one), chosen with `seed`.

    groups  (N,) the name of each row's group, for instance "domain/class"
    """
    groups = np.asarray(groups)
    if len(groups) <= n:
        return np.arange(len(groups))
    order = np.random.default_rng(seed).permutation(len(groups))
    _, inverse = np.unique(groups[order], return_inverse=True)
    turn = _turn_within_group(inverse)
    return np.sort(order[np.argsort(turn, kind="stable")[:n]])  # first rows of all groups, then second rows ...


def _turn_within_group(group: np.ndarray) -> np.ndarray:
    """(N,) int: how many earlier rows belong to the same group."""
    turn = np.zeros(len(group), dtype=int)
    for value in np.unique(group):
        member = group == value
        turn[member] = np.arange(member.sum())
    return turn


def project(emb: np.ndarray, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """(N, D) embeddings -> (N, 2) points, by cosine; `method`: "tsne" (sklearn) or "umap" (umap-learn).

    The same seed gives the same map on one machine; on another machine the map may look different. Raises CdirError
    for an unknown method or fewer than 10 rows.
    """
    if len(emb) < SMALLEST:
        raise CdirError(f"a map needs at least {SMALLEST} points, got {len(emb)}: raise map_points")
    unit = unit_rows(emb)
    if method == "tsne":
        from sklearn.manifold import TSNE  # imported when needed, as it takes seconds

        perplexity = min(30, (len(emb) - 1) / 3)
        return TSNE(2, perplexity=perplexity, init="pca", metric="euclidean", random_state=seed).fit_transform(unit)
    if method == "umap":
        require_extra("notebooks", "umap")
        from sklearn.neighbors import NearestNeighbors
        from umap import UMAP  # imports numba, about ten seconds, so only when needed

        k = min(15, len(emb) - 1)
        distances, rows = NearestNeighbors(n_neighbors=k, metric="cosine").fit(unit).kneighbors(unit)
        near = rows, distances.astype(np.float32)  # given these, UMAP compiles in half the time
        umap = UMAP(n_neighbors=k, min_dist=0.1, metric="cosine", random_state=seed, n_jobs=1, precomputed_knn=near)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "precomputed_knn")  # that it cannot map new points
            return umap.fit_transform(unit)
    raise CdirError(f'unknown map "{method}": use "tsne" or "umap"')


def main_axes(*embeddings: np.ndarray) -> np.ndarray:
    """(D, 2) the first two principal axes (PCA) of all rows together, as unit vectors; x @ axes is in the plane."""
    rows = unit_rows(np.concatenate(embeddings))
    return np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:2].T


def flatten(vectors: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) vectors and a (D,) bias -> (N, 2) and (2,): projected to two principal axes, original lengths kept."""
    axes = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)[2][:2]

    def flat(rows: np.ndarray) -> np.ndarray:
        shadow, length = rows @ axes.T, np.linalg.norm(rows, axis=-1, keepdims=True)
        return length * shadow / np.linalg.norm(shadow, axis=-1, keepdims=True).clip(1e-12)

    return flat(vectors), flat(bias)
