"""Alternative galleries for the same queries, as rows (int64) chosen by the labels of the gallery.

Papers use galleries of different sizes, often without stating this, and every metric depends on the gallery.
"""

from collections.abc import Callable

import numpy as np

from cdir_nb.errors import CdirError
from cdir_nb.retrieval.metrics import Labels
from cdir_nb.retrieval.ranking import as_array


def random_fraction(labels: Labels, fraction: float, seed: int = 0) -> np.ndarray:
    """Sorted rows of a random `fraction` of each class in the labels (G,), at least one per class."""
    if not 0 < fraction <= 1:
        raise CdirError(f"fraction of the gallery is {fraction}: give a number above 0 and at most 1")
    return _of_each_class(labels, lambda class_index: fraction, seed)


def uneven(labels: Labels, least: float = 0.1, seed: int = 0) -> np.ndarray:
    """Sorted rows of classes with uneven sizes, as in DomainNet: all of the first, falling to `least` of the last."""
    last = max(1, len(np.unique(as_array(labels))) - 1)
    return _of_each_class(labels, lambda class_index: least ** (class_index / last), seed)


def one_per_query(query_labels: Labels, gallery_labels: Labels, seed: int = 0) -> np.ndarray:
    """(Q,) one random gallery row of each query's class, in the order of queries; rows may repeat.

    This is the gallery of Sketch_LVM's released code. Raises CdirError if the gallery lacks a query's class.
    """
    rng, query_labels, gallery_labels = np.random.default_rng(seed), as_array(query_labels), as_array(gallery_labels)
    members = {label: np.flatnonzero(gallery_labels == label) for label in np.unique(query_labels)}
    if missing := [label for label, rows in members.items() if not len(rows)]:
        raise CdirError(f"the gallery has no image of {missing[0]}: remove the queries of this class")
    return np.array([rng.choice(members[label]) for label in query_labels], dtype=np.int64)


def _of_each_class(labels: Labels, fraction_of: Callable[[int], float], seed: int) -> np.ndarray:
    """Sorted rows: a random fraction of each class, at least one image."""
    rng, labels, rows = np.random.default_rng(seed), as_array(labels), []
    for class_index, label in enumerate(np.unique(labels)):
        members = rng.permutation(np.flatnonzero(labels == label))
        rows.append(members[: max(1, round(fraction_of(class_index) * len(members)))])
    return np.sort(np.concatenate(rows))
