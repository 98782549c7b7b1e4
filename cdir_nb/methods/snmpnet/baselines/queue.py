"""A queue of recent features with their classes and domains, where triplets are taken from.

The sampler of the harness is balanced over domains only, so a batch may hold no second image of a class.
"""

import torch
from torch import nn

LENGTH = 1024  # EISNet's option file


class FeatureQueue(nn.Module):
    """`features` (L, m), `labels` and `domains` (L,); -1: not yet filled."""

    def __init__(self, m: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(LENGTH, m))
        self.register_buffer("labels", torch.full((LENGTH,), -1))
        self.register_buffer("domains", torch.full((LENGTH,), -1))

    @torch.no_grad()
    def add(self, features: torch.Tensor, labels: torch.Tensor, domains: torch.Tensor) -> None:
        """Put a batch in front; what is older than LENGTH is forgotten."""
        for name, new in (("features", features), ("labels", labels), ("domains", domains)):
            setattr(self, name, torch.cat([new.detach(), getattr(self, name)])[:LENGTH])

    def triplet(self, features: torch.Tensor, labels: torch.Tensor, margin: float, k: int) -> torch.Tensor:
        """Mean of max(0, margin + d(farthest positive) - d(negative)) over the k nearest negatives in the queue.

        d is the squared Euclidean distance; features (B, m) without a positive in the queue count as 0.
        """
        same = self.labels == labels[:, None]
        other = ~same & (self.labels >= 0)
        d = torch.cdist(features, self.features).square()
        positive = d.masked_fill(~same, -torch.inf).amax(1, keepdim=True)
        negative = d.masked_fill(~other, torch.inf).topk(min(k, LENGTH), dim=1, largest=False).values
        loss = (margin + positive - negative).clamp(min=0)
        usable = torch.isfinite(positive) & torch.isfinite(negative)
        return loss.masked_fill(~usable, 0.0).sum() / usable.sum().clamp(min=1)
