"""Labelled quadruples for SketchLVM: images of two classes in each of two domains."""

from collections.abc import Sequence

import numpy as np
import torch

from cdir_nb.methods.batches import random_order

Rows = dict[int, np.ndarray]  # class: the rows of its images in a domain


def quadruples(domains: Sequence[Rows], generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The quadruples of an epoch, and their classes: (N, 4) rows and (N,) classes, for N images of the first domain.

    The columns are s, p, s' and p'. Each image of the first domain is s once. s and p belong to the quadruple's class,
    s' and p' to another class, drawn uniformly. s and s' are of the first domain, p and p' of the second.

    domains  the rows of each class in the first and in the second domain; both have the same classes, at least two
    """
    first, second = domains
    classes = sorted(first)
    anchors = [(row, index) for index, label in enumerate(classes) for row in first[label]]
    order = random_order(len(anchors), len(anchors), generator)
    rows, labels = [], []
    for s, index in (anchors[i] for i in order.tolist()):
        label, other = classes[index], classes[(index + 1 + _below(len(classes) - 1, generator)) % len(classes)]
        p, s_other, p_other = (_choice(x, generator) for x in (second[label], first[other], second[other]))
        rows.append([s, p, s_other, p_other])
        labels.append(label)
    return np.array(rows), np.array(labels)


def _below(count: int, generator: torch.Generator) -> int:
    """A random integer from 0 to count - 1."""
    return int(torch.randint(count, (), generator=generator))


def _choice(rows: np.ndarray, generator: torch.Generator) -> int:
    return rows[_below(len(rows), generator)]
