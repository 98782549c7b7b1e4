"""The start of CoDA's classifiers: k-means on the memories of two domains, so that row k means the same in both."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

Start = Literal["joint", "separate", "shuffled"]
NUDGE = 1 / 1024  # faiss, EPS


def spherical_kmeans(features: torch.Tensor, centroids: torch.Tensor, iterations: int) -> torch.Tensor:
    """(K, D) unit centroids after so many iterations of k-means by cosine, from the given ones; features (N, D).

    As faiss does, which the released code uses, each iteration fills empty clusters (`fill_empty`).
    """
    for _ in range(iterations):
        nearest = (features @ centroids.T).argmax(dim=1)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, features)
        sizes = torch.bincount(nearest, minlength=len(centroids))
        means = torch.where(sizes[:, None] > 0, F.normalize(sums, dim=1), centroids)
        centroids = F.normalize(fill_empty(means, sizes), dim=1)
    return centroids


def fill_empty(centroids: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Centroids (K, D) in which each cluster of size 0 has become one half of the largest cluster.

    Both halves are that cluster's centroid, with every second entry nudged up in one and down in the other (faiss,
    which draws the cluster at random, larger ones more often). A cluster stays empty if no other has two features.
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
    """The first weights of two classifiers, each (K, D), for `count` = K clusters; memories  per domain (N, D).

    joint     (released code) k-means on both memories together from K random rows, then on each memory from the joint
              centroids: row k belongs to the same cluster in both, unless one domain has no image in it
    separate  (released code, kmeans_all_features=False) k-means on each memory from random rows of its own
    shuffled  (ours) as joint, then the second classifier's rows in random order
    """
    if start == "separate":
        return [spherical_kmeans(x, _drawn(x, count, generator), iterations) for x in memories]
    together = torch.cat(list(memories))
    joint = spherical_kmeans(together, _drawn(together, count, generator), iterations)
    first, second = (spherical_kmeans(x, joint, iterations) for x in memories)
    if start == "shuffled":
        second = _drawn(second, count, generator)
    return [first, second]


def _drawn(rows: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """`count` different rows in random order."""
    return rows[torch.randperm(len(rows), generator=generator)[:count].to(rows.device)]
