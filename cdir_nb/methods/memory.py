"""Memory bank: one feature per image of a domain, so that a training step can compare its batch with all images."""

from dataclasses import dataclass

import torch

from cdir_nb.errors import CdirError


@dataclass(frozen=True)
class Bank:
    """A domain's memory bank: the momentum encoder's feature of every image, and its class or cluster.

    features  (N, D), row i belongs to image i; a method that updates its bank at every step writes `features[rows]`
    labels    (N,) int64 in 0 .. n_classes - 1: pseudo-labels or clusters
    """

    features: torch.Tensor
    labels: torch.Tensor
    n_classes: int

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) == 0 or self.labels.shape != self.features.shape[:1]:
            raise CdirError(
                f"a memory bank needs features (N, D) and labels (N,), got shapes {tuple(self.features.shape)} "
                f"and {tuple(self.labels.shape)}: give one label per feature"
            )
        if self.labels.min() < 0 or self.labels.max() >= self.n_classes:
            raise CdirError(
                f"labels of a memory bank must lie in 0 .. {self.n_classes - 1}, got "
                f"{int(self.labels.min())} to {int(self.labels.max())}: check n_classes"
            )

    def class_means(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(K, D) mean feature and (K,) size of each class; an empty class has mean 0."""
        sizes = torch.bincount(self.labels, minlength=self.n_classes)
        sums = self.features.new_zeros(self.n_classes, self.features.shape[1])
        sums.index_add_(0, self.labels, self.features)
        return sums / sizes.clamp(min=1)[:, None], sizes
