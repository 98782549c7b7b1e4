"""Analyses of embeddings, rankings and probabilities beyond metrics: the numbers behind the figures.

t-SNE and UMAP preserve neighbourhoods, but not distances, cluster sizes or the gaps between clusters: measure these
instead of reading them off a map.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cdir_nb.errors import CdirError, require_extra
from cdir_nb.paths import set_library_caches

MIN_POINTS = 10  # of a map; with fewer, neither method has meaningful neighbourhoods


# -- from (N, D) vectors to points in the plane ------------------------------------------------------------------------


def unit_rows(emb: np.ndarray) -> np.ndarray:
    """(N, D) float32: the rows of `emb`, scaled to unit length."""
    emb = np.asarray(emb, dtype=np.float32)
    return emb / np.linalg.norm(emb, axis=1, keepdims=True).clip(1e-12)


def sample_rows(groups: Sequence[str], n: int, seed: int) -> np.ndarray:
    """Draw at most n row indices at random, equally many from each group (all rows of a small group); sorted.

    groups  (N,) the name of each row's group, for instance "domain/class"
    """
    names = np.asarray(groups)
    if len(names) <= n:
        return np.arange(len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    turn = pd.Series(names[order]).groupby(names[order]).cumcount().to_numpy()  # position in its group
    return np.sort(order[np.argsort(turn, kind="stable")[:n]])  # first rows of all groups, then second rows ...


def project(emb: np.ndarray, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """Project (N, D) embeddings to (N, 2) points, comparing them by cosine distance.

    method  "tsne" (scikit-learn) or "umap" (umap-learn)

    The same seed gives the same map on one machine; on another machine the map may look different. Raises CdirError
    for an unknown method or fewer than 10 rows.
    """
    if len(emb) < MIN_POINTS:
        raise CdirError(f"a map needs at least {MIN_POINTS} points, got {len(emb)}: raise map_points")
    unit = unit_rows(emb)
    if method == "tsne":
        from sklearn.manifold import TSNE  # imported when needed, as it takes seconds

        perplexity = min(30, (len(emb) - 1) / 3)
        return TSNE(2, perplexity=perplexity, init="pca", metric="euclidean", random_state=seed).fit_transform(unit)
    if method == "umap":
        require_extra("notebooks", "umap")
        set_library_caches()
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
    """(D, 2): the first two principal axes (PCA) of all rows together, as unit vectors; `x @ axes` projects x."""
    return _principal_axes(unit_rows(np.concatenate(embeddings))).T


def flatten(vectors: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) vectors and a (D,) bias -> (N, 2) and (2,), on the vectors' two principal axes; lengths are preserved."""
    axes = _principal_axes(vectors)

    def flat(rows: np.ndarray) -> np.ndarray:
        shadow, length = rows @ axes.T, np.linalg.norm(rows, axis=-1, keepdims=True)
        return length * shadow / np.linalg.norm(shadow, axis=-1, keepdims=True).clip(1e-12)

    return flat(vectors), flat(bias)


def _principal_axes(rows: np.ndarray) -> np.ndarray:
    """(2, D): the first two principal axes of (N, D) rows.

    The largest entry of an axis is positive, since the sign that an SVD returns depends on rounding errors.
    """
    axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:2]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1, keepdims=True), axis=1)
    return axes * np.sign(largest)


# -- distances between domains, and between classes --------------------------------------------------------------------


def centroids(
    emb: np.ndarray, domains: np.ndarray, labels: np.ndarray, domain_order: Sequence[str], label_order: Sequence[str]
) -> np.ndarray:
    """(P, C, D): the mean unit vector of each of P domains and C classes; NaN where there are no images."""
    unit = unit_rows(emb)
    means = np.full((len(domain_order), len(label_order), unit.shape[1]), np.nan)
    for d, domain in enumerate(domain_order):
        for c, label in enumerate(label_order):
            cell = unit[(np.asarray(domains) == domain) & (np.asarray(labels) == label)]
            if len(cell):
                means[d, c] = cell.mean(0)
    return means


def domain_distances(means: np.ndarray, domain_order: Sequence[str]) -> pd.DataFrame:
    """(P, P) Euclidean distance, 0 to 2, between the centroids of the SAME class in two domains; mean over classes."""
    difference = means[:, None] - means[None]  # (P, P, C, D)
    distance = np.nanmean(np.linalg.norm(difference, axis=-1), axis=-1)
    return pd.DataFrame(distance, index=list(domain_order), columns=list(domain_order))


def class_distances(means: np.ndarray, domain_order: Sequence[str]) -> pd.Series:
    """(P,) Euclidean distance between the centroids of two classes WITHIN a domain; mean over pairs of classes."""
    left, right = np.triu_indices(means.shape[1], k=1)
    distance = np.linalg.norm(means[:, left] - means[:, right], axis=-1)  # (P, pairs)
    return pd.Series(np.nanmean(distance, axis=1), index=list(domain_order))


def purity(clusters: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of items that belong to the most frequent class of their cluster; (N,) clusters, (N,) labels.

    1 if no cluster mixes classes. More clusters always allow a higher purity: compare it at the same K only.
    """
    return float(pd.crosstab(np.asarray(clusters), np.asarray(labels)).max(axis=1).sum() / len(labels))


# -- probabilities: are they well calibrated, and how evenly are they spread? ------------------------------------------


def reliability_bins(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> np.ndarray:
    """(B, 3) mean confidence, accuracy and number of images, for each non-empty bin of confidence.

    confidence (N,) in 0..1, right (N,) bool; `bins` of equal width (Guo et al., ICML 2017).
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    bin_of_image = np.minimum((confidence * bins).astype(int), bins - 1)
    members = [bin_of_image == b for b in np.unique(bin_of_image)]
    return np.array([[confidence[rows].mean(), right[rows].mean(), rows.sum()] for rows in members])


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error, 0 to 1: |accuracy - mean confidence| of each bin, weighted by its size."""
    mean_confidence, accuracy, count = reliability_bins(confidence, right, bins).T
    return float((count * np.abs(accuracy - mean_confidence)).sum() / count.sum())


def accuracy_at_coverage(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N,): the accuracy on the n most confident images, for n = 1 to N (1 - risk at coverage n / N)."""
    order = np.argsort(-np.asarray(confidence, float), kind="stable")
    return np.cumsum(np.asarray(right, float)[order]) / np.arange(1, len(order) + 1)


def softmax_weights(cosines: np.ndarray, temperature: float) -> np.ndarray:
    """(N,) softmax of cosine / temperature: an entry's weight in the denominators of CLAIR's equations 4 to 6."""
    raised = np.exp((cosines - np.max(cosines)) / temperature)
    return raised / raised.sum()


def effective_number(weights: np.ndarray) -> float:
    """Effective number of memory entries: exp of the entropy of the weights, 1 to N."""
    present = weights[weights > 0]
    return float(np.exp(-(present * np.log(present)).sum()))


# -- rankings: values by direction, class confusions, hubs -------------------------------------------------------------


def direction_table(values: Mapping[tuple[str, str], float], domains: Sequence[str]) -> pd.DataFrame:
    """{(query domain, gallery domain): value} -> table, queries as rows, galleries as columns, NaN if missing."""
    table = pd.DataFrame(np.nan, index=list(domains), columns=list(domains))
    for (query, gallery), value in values.items():
        table.loc[query, gallery] = value
    return table.rename_axis(index="query", columns="gallery")


def confusion_table(
    indices: np.ndarray, query_labels: np.ndarray, gallery_labels: np.ndarray, classes: Sequence[str], k: int
) -> pd.DataFrame:
    """The percentage of each class among the first k results: (C query classes, C retrieved classes).

    indices (Q, >=k) gallery rows in order. Rows add up to 100 if every retrieved class is in `classes`; the row of a
    class without queries is NaN. The diagonal is the mean P@k (hits_over_k) of each class, in percent.
    """
    retrieved = np.asarray(gallery_labels)[np.asarray(indices)[:, :k]]  # (Q, k) class names
    table = pd.DataFrame(np.nan, index=list(classes), columns=list(classes))
    for query_class in classes:
        results = retrieved[np.asarray(query_labels) == query_class]
        if len(results):
            table.loc[query_class] = [100 * np.mean(results == label) for label in classes]
    return table


def top_confusions(table: pd.DataFrame, n: int) -> list[tuple[str, str, float]]:
    """The n largest off-diagonal cells of a confusion table, largest first: (query, retrieved, percent)."""
    cells = [
        (q, g, float(table.loc[q, g])) for q in table.index for g in table.columns if q != g and table.loc[q, g] > 0
    ]
    return sorted(cells, key=lambda cell: (-cell[2], cell[0], cell[1]))[:n]


def k_occurrence(indices: np.ndarray, n_gallery: int, k: int) -> np.ndarray:
    """(G,) int: N_k, the number of queries that retrieve each gallery image in the first k ranks; the mean is Q k / G.

    Hubs are images with a large N_k. Radovanović et al., "Hubs in space", JMLR 2010.
    """
    return np.bincount(np.asarray(indices)[:, :k].ravel(), minlength=n_gallery)


def skewness(counts: np.ndarray) -> float:
    """Third standardised moment of N_k: 0 if all images are retrieved equally often, above about 1 with hubs."""
    counts = np.asarray(counts, dtype=float)
    spread = counts.std()
    return float(((counts - counts.mean()) ** 3).mean() / spread**3) if spread else 0.0
