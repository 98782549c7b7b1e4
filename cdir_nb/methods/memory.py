"""A memory bank stores one feature per image of a domain, so that a step can compare its batch with all images."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Bank:
    """A domain's memory bank: the momentum encoder's feature of every image, and its class or cluster.

    features  (N, D), row i belongs to image i
    labels    (N,) int64 in 0 .. n_classes - 1: pseudo-labels or clusters
    """

    features: torch.Tensor
    labels: torch.Tensor
    n_classes: int

    def class_means(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(K, D) mean feature and (K,) size of each class; an empty class has mean 0."""
        sizes = torch.bincount(self.labels, minlength=self.n_classes)
        sums = self.features.new_zeros(self.n_classes, self.features.shape[1])
        sums.index_add_(0, self.labels, self.features)
        return sums / sizes.clamp(min=1)[:, None], sizes
