"""The start of CoDA's classifiers: k-means on the memories of two domains, so that row k means the same in both."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

Start = Literal["joint", "separate", "shuffled"]


def spherical_kmeans(features: torch.Tensor, centroids: torch.Tensor, iterations: int) -> torch.Tensor:
    """(K, D) unit centroids after so many iterations of k-means by cosine, from the given ones; features (N, D).

    A cluster without a feature keeps its centroid (faiss, which the released code uses, splits another cluster).
    """
    for _ in range(iterations):
        nearest = (features @ centroids.T).argmax(dim=1)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, features)
        filled = torch.bincount(nearest, minlength=len(centroids)) > 0
        centroids = torch.where(filled[:, None], F.normalize(sums, dim=1), centroids)
    return centroids


def classifier_rows(
    memories: Sequence[torch.Tensor], count: int, start: Start, *, iterations: int, generator: torch.Generator
) -> list[torch.Tensor]:
    """The first weights of two classifiers, each (K, D), for `count` = K clusters; memories  per domain (N, D).

    joint     (released code) k-means on both memories together from K random rows, then on each memory from the joint
              centroids: row k belongs to the same cluster in both
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
