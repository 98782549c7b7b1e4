"""Initialisation of CoDA's classifiers by k-means on both memories, such that row k is the same cluster in both."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

Start = Literal["joint", "separate", "shuffled"]
NUDGE = 1 / 1024  # faiss, EPS


def spherical_kmeans(features: torch.Tensor, centroids: torch.Tensor, iterations: int) -> torch.Tensor:
    """(K, D) unit centroids after `iterations` of k-means by cosine, from features (N, D) and centroids (K, D).

    Each iteration fills empty clusters (`fill_empty`), as does faiss, which the released code uses.
    """
    for _ in range(iterations):
        nearest = (features @ centroids.T).argmax(dim=1)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, features)
        sizes = torch.bincount(nearest, minlength=len(centroids))
        means = torch.where(sizes[:, None] > 0, F.normalize(sums, dim=1), centroids)
        centroids = F.normalize(fill_empty(means, sizes), dim=1)
    return centroids


def fill_empty(centroids: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """(K, D) centroids, in which each empty cluster is replaced by one half of the largest cluster.

    Both halves get that cluster's centroid; every second entry is scaled up in one half and down in the other. faiss
    does the same with a random cluster, preferring large ones. A cluster stays empty if no other cluster has two
    features.
    """
    centroids, sizes = centroids.clone(), sizes.clone()
    nudge = NUDGE * (1 - 2 * (torch.arange(centroids.shape[1], device=centroids.device) % 2))
    for empty in (sizes == 0).nonzero().flatten().tolist():
        largest = int(sizes.argmax())
        if sizes[largest] < 2:
            break
        centroids[empty] = centroids[largest] * (1 + nudge)
        centroids[largest] *= 1 - nudge
        sizes[empty] = sizes[largest] // 2
        sizes[largest] -= sizes[empty]
    return centroids


def classifier_rows(
    memories: Sequence[torch.Tensor], count: int, start: Start, *, iterations: int, generator: torch.Generator
) -> list[torch.Tensor]:
    """The initial weights of two classifiers, each (K, D), for `count` = K clusters.

    memories  per domain (N, D)

    The rows depend on `start`:

    joint     (released code) k-means on both memories together from K random rows, then on each memory from the joint
              centroids: row k belongs to the same cluster in both, unless one domain has no image in it
    separate  (released code, kmeans_all_features=False) k-means on each memory from random rows of that memory
    shuffled  (our addition) as joint, then the second classifier's rows in random order
    """
    if start == "separate":
        return [spherical_kmeans(memory, _random_rows(memory, count, generator), iterations) for memory in memories]
    together = torch.cat(list(memories))
    joint = spherical_kmeans(together, _random_rows(together, count, generator), iterations)
    rows_a, rows_b = (spherical_kmeans(memory, joint, iterations) for memory in memories)
    if start == "shuffled":
        rows_b = _random_rows(rows_b, count, generator)
    return [rows_a, rows_b]


def _random_rows(rows: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """`count` different rows in random order."""
    return rows[torch.randperm(len(rows), generator=generator)[:count].to(rows.device)]
