"""The network of SnMpNet and of the baselines beside it: a trunk, soft attention, and a head that differs by method.

A head is a module made from a `Setup`, with
    views      which views of an image it learns from: "plain", "mixed", "jigsaw"
    losses     {view: (B, C) pooled features}, Batch -> {name: loss}, already weighted; their sum is minimised. Plain
               features are of the image, mixed ones of the mixture
    embed      (B, C) pooled features, (B,) domain numbers -> (B, m) features for retrieval
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from cdir_nb.encoders import ImageEncoder
from cdir_nb.methods.snmpnet.settings import HarnessSettings


@dataclass(frozen=True)
class Setup:
    """What a head is made from: C channels of pooled features, (K, m) class vectors, training domains, settings."""

    channels: int
    semantics: torch.Tensor
    domains: tuple[str, ...]
    settings: HarnessSettings
    encoder: ImageEncoder


@dataclass(frozen=True)
class Batch:
    """A balanced batch of B = D x n images, ordered by domain.

    inputs        view -> pixels (B, 3, H, W), or maps (B, C, P) of a frozen trunk
    labels, other_labels, domains   (B,) int64; ratio: (B,) the share of `labels` in the mixture
    shuffles      (B,) which order the tiles of the jigsaw view have
    rng           for what a head draws itself
    """

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    other_labels: torch.Tensor
    ratio: torch.Tensor
    domains: torch.Tensor
    shuffles: torch.Tensor
    rng: np.random.Generator

    @property
    def mixed(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the losses on mixtures take: labels, other labels, ratio."""
        return self.labels, self.other_labels, self.ratio


class Network(nn.Module):
    """trunk (None: the input is the maps of a frozen one), attention, head.

    A frozen trunk's channels are standardised, so that heads of all methods learn at one rate (our default): `centre`
    and `spread`, both (C, 1), are set from training images. A pooled feature then has a length of about 1.
    """

    def __init__(self, trunk: nn.Module | None, channels: int, width: int, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.attention, self.head = trunk, SoftAttention(channels, width), head
        self.register_buffer("centre", torch.zeros(channels, 1))
        self.register_buffer("spread", torch.ones(channels, 1))

    @torch.no_grad()
    def standardise(self, maps: torch.Tensor) -> None:
        """Set `centre` and `spread` from maps (N, C, P) of a frozen trunk."""
        pooled = maps.float().mean(2)
        self.centre.copy_(pooled.mean(0)[:, None])
        spread = pooled.std(0) + pooled.std() / 100  # a channel may never vary
        self.spread.copy_(spread[:, None] * len(spread) ** 0.5)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Pixels (B, 3, H, W), or maps (B, C, P) of a frozen trunk -> (B, C, P)."""
        return (x - self.centre) / self.spread if self.trunk is None else self.trunk.forward_features(x).flatten(2)

    def forward(self, x: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        """(B, m) retrieval features; domains (B,), -1 for one that was not trained on."""
        return self.head.embed(self.attention(self.maps(x).float()), domains)


class SoftAttention(nn.Module):
    """(B, C, P) feature maps -> (B, C): x + x * mask, averaged over positions (released code).

    The mask is a softmax over positions of two 1 x 1 convolutions, C -> width -> 1. Nothing non-linear stands between
    them, so their weights are multiplied first: the same function and gradients with `width` times fewer operations.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(channels, width), nn.Linear(width, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.bmm(maps, 1 + self.mask(maps)[:, :, None])[:, :, 0] / maps.shape[2]

    def mask(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, P) the weights of the positions; each row sums to 1."""
        weight = self.second.weight @ self.first.weight
        bias = self.second.weight @ self.first.bias + self.second.bias
        return (weight @ maps + bias)[:, 0].softmax(1)
