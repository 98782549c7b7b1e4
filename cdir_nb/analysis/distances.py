"""The domain gap in numbers: how far apart are domains, compared with classes?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

_GROUPS = (
    ("same class, same domain", True, True),
    ("same class, other domain", True, False),
    ("other class, same domain", False, True),
    ("other class, other domain", False, False),
)


def unit_rows(emb: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, D) float32 of length one."""
    emb = np.asarray(emb, dtype=np.float32)
    return emb / np.linalg.norm(emb, axis=1, keepdims=True).clip(1e-12)


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
    """Euclidean distance between two domains' centroids of the SAME class, mean over classes: (P, P), 0 to 2."""
    difference = means[:, None] - means[None]  # (P, P, C, D)
    distance = np.nanmean(np.linalg.norm(difference, axis=-1), axis=-1)
    return pd.DataFrame(distance, index=list(domain_order), columns=list(domain_order))


def class_distances(means: np.ndarray, domain_order: Sequence[str]) -> pd.Series:
    """Euclidean distance between two classes' centroids WITHIN a domain, mean over pairs of classes: (P,)."""
    first, second = np.triu_indices(means.shape[1], k=1)
    distance = np.linalg.norm(means[:, first] - means[:, second], axis=-1)  # (P, pairs)
    return pd.Series(np.nanmean(distance, axis=1), index=list(domain_order))


def cosine_groups(
    emb: np.ndarray, domains: np.ndarray, labels: np.ndarray, *, pairs: int = 20_000, seed: int = 0
) -> dict[str, np.ndarray]:
    """Cosines of random pairs of images, in four groups: same or other class x same or other domain.

    20 x `pairs` pairs are drawn (never an image with itself), and each group keeps at most `pairs` of them; empty
    groups are left out.
    """
    unit, rng = unit_rows(emb), np.random.default_rng(seed)
    first, second = rng.integers(len(unit), size=(2, 20 * pairs))
    first, second = first[first != second], second[first != second]
    class_same = np.asarray(labels)[first] == np.asarray(labels)[second]
    domain_same = np.asarray(domains)[first] == np.asarray(domains)[second]
    groups = {}
    for name, of_class, of_domain in _GROUPS:
        rows = np.flatnonzero((class_same == of_class) & (domain_same == of_domain))[:pairs]
        if len(rows):
            groups[name] = (unit[first[rows]] * unit[second[rows]]).sum(1)
    return groups
