"""How well clusters agree with classes."""

import numpy as np


def purity(clusters: np.ndarray, labels: np.ndarray) -> float:
    """Share of items that belong to the most frequent class of their cluster, 0 to 1; (N,) clusters, (N,) labels.

    1 if no cluster mixes classes. More clusters always allow a higher purity: compare it at the same K only.
    """
    clusters, (_, labels) = np.asarray(clusters), np.unique(labels, return_inverse=True)
    return sum(np.bincount(labels[clusters == c]).max() for c in np.unique(clusters)) / len(labels)
