"""Memory bank: a feature of every image of a domain, so that a step compares its batch with all of them."""

from dataclasses import dataclass

import torch

from cdir_nb.errors import CdirError


@dataclass(frozen=True)
class Bank:
    """A domain's memory: what the momentum encoder made of all its images, and the class or cluster of each.

    features  (N, D), row i of image i; a method that renews its bank at every step writes `features[rows]`
    labels    (N,) int64 in 0 .. n_classes - 1: pseudo-labels or clusters
    """

    features: torch.Tensor
    labels: torch.Tensor
    n_classes: int

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) == 0 or self.labels.shape != self.features.shape[:1]:
            raise CdirError(
                f"a bank needs features (N, D) with a label each, got {tuple(self.features.shape)} "
                f"and {tuple(self.labels.shape)}"
            )
        if self.labels.min() < 0 or self.labels.max() >= self.n_classes:
            raise CdirError(
                f"a bank's labels must lie in 0 .. {self.n_classes - 1}, they run from "
                f"{int(self.labels.min())} to {int(self.labels.max())}"
            )

    def class_means(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(K, D) mean feature and (K,) size of each class; an empty class has mean 0."""
        sizes = torch.bincount(self.labels, minlength=self.n_classes)
        sums = self.features.new_zeros(self.n_classes, self.features.shape[1])
        sums.index_add_(0, self.labels, self.features)
        return sums / sizes.clamp(min=1)[:, None], sizes
