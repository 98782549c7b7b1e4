"""A queue of recent features with their classes and domains, from which triplets are formed.

The sampler of the harness balances domains only, so a batch may have only one image of a class.
"""

import torch
from torch import nn

LENGTH = 1024  # EISNet's option file


class FeatureQueue(nn.Module):
    """A queue of `features` (L, m), `labels` (L,) and `domains` (L,); -1 marks entries that are not filled yet."""

    features: torch.Tensor
    labels: torch.Tensor
    domains: torch.Tensor

    def __init__(self, m: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(LENGTH, m))
        self.register_buffer("labels", torch.full((LENGTH,), -1))
        self.register_buffer("domains", torch.full((LENGTH,), -1))

    @torch.no_grad()
    def add(self, features: torch.Tensor, labels: torch.Tensor, domains: torch.Tensor) -> None:
        """Add a batch at the front, and drop the oldest entries beyond LENGTH."""
        self.features = torch.cat([features.detach(), self.features])[:LENGTH]
        self.labels = torch.cat([labels, self.labels])[:LENGTH]
        self.domains = torch.cat([domains, self.domains])[:LENGTH]

    def triplet(self, features: torch.Tensor, labels: torch.Tensor, margin: float, k: int) -> torch.Tensor:
        """Mean of max(0, margin + d(farthest positive) - d(negative)) over the k nearest negatives in the queue.

        d is the squared Euclidean distance; features (B, m) without a positive in the queue count as 0.
        """
        same = self.labels == labels[:, None]
        different = ~same & (self.labels >= 0)
        d = torch.cdist(features, self.features).square()
        positive = d.masked_fill(~same, -torch.inf).amax(1, keepdim=True)
        negative = d.masked_fill(~different, torch.inf).topk(min(k, LENGTH), dim=1, largest=False).values
        loss = (margin + positive - negative).clamp(min=0)
        usable = torch.isfinite(positive) & torch.isfinite(negative)
        return loss.masked_fill(~usable, 0.0).sum() / usable.sum().clamp(min=1)
