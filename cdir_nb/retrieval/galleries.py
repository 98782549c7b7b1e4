"""Which images are in the gallery: rows (int64) of smaller galleries, chosen by the labels of the full one.

Papers use different galleries without saying so, and every metric depends on the gallery.
"""

import numpy as np

from cdir_nb.errors import CdirError


def random_share(labels: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """A random `share` (0 to 1) of each class in the gallery labels (G,), at least one image per class; sorted rows."""
    if not 0 < share <= 1:
        raise CdirError(f"share of the gallery is {share}: give a number above 0 and at most 1")
    return _of_each_class(labels, lambda place, size: max(1, round(share * size)), seed)


def uneven(labels: np.ndarray, least: float = 0.1, seed: int = 0) -> np.ndarray:
    """Unbalanced classes, as in DomainNet: the first keeps all its images, the last a share of `least`; sorted rows."""
    last = max(1, len(np.unique(labels)) - 1)
    return _of_each_class(labels, lambda place, size: max(1, round(size * least ** (place / last))), seed)


def one_per_query(query_labels: np.ndarray, gallery_labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """(Q,) for each query, in order, one random gallery row of its class; a row may be drawn more than once.

    This is the gallery of Sketch_LVM's released code. Raises CdirError if the gallery lacks a query's class.
    """
    rng, rows = np.random.default_rng(seed), []
    of_class = {label: np.flatnonzero(gallery_labels == label) for label in np.unique(query_labels)}
    for label in query_labels:
        if not len(of_class[label]):
            raise CdirError(f"the gallery has no image of {label}: remove the queries of this class")
        rows.append(rng.choice(of_class[label]))
    return np.array(rows, dtype=np.int64)


def _of_each_class(labels: np.ndarray, keep, seed: int) -> np.ndarray:
    """Sorted rows: a random keep(position of the class, its size) images of each class."""
    rng, rows = np.random.default_rng(seed), []
    for place, label in enumerate(np.unique(labels)):
        members = rng.permutation(np.flatnonzero(labels == label))
        rows.append(members[: keep(place, len(members))])
    return np.sort(np.concatenate(rows))
