"""The network of SnMpNet and its baselines: a trunk, soft attention, and a head that depends on the method."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from cdir_nb.encoders import ImageEncoder
from cdir_nb.methods.snmpnet.settings import HarnessSettings
from cdir_nb.methods.snmpnet.views import PLAIN
from cdir_nb.methods.trunks import Standardise


@dataclass(frozen=True)
class Setup:
    """The arguments of a head's constructor.

    channels   C, the number of channels of pooled features; semantics: (K, m) class vectors
    domains    names of the training domains; settings; encoder: the frozen backbone
    """

    channels: int
    semantics: torch.Tensor
    domains: tuple[str, ...]
    settings: HarnessSettings
    encoder: ImageEncoder


@dataclass(frozen=True)
class Batch:
    """A balanced batch of B = D x n images, ordered by domain.

    inputs        view -> pixels (B, 3, H, W), or maps (B, C, P) of a frozen trunk
    labels, other_labels, domains   (B,) int64; ratio: (B,) the fraction of `labels` in the mixture
    shuffles      (B,) index of the order of the tiles in the jigsaw view
    rng           for random draws inside a head
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
        """labels, other_labels and ratio, the last arguments of the losses on mixtures."""
        return self.labels, self.other_labels, self.ratio


class Head(nn.Module):
    """Base class of heads, the part that depends on the method. A subclass implements `losses` and `embed`.

    views      the views of an image that its losses need: "plain", "mixed", "jigsaw"
    semantics  (K, m) class vectors
    """

    views: tuple[str, ...] = (PLAIN,)
    semantics: torch.Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.register_buffer("semantics", setup.semantics, persistent=False)

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        """(B, m) retrieval features from pooled features (B, C).

        domains  (B,) index of each image's domain; -1 for a domain that was not trained on
        """
        raise NotImplementedError(f"{type(self).__name__} has no embed(pooled, domains)")

    def losses(self, pooled: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        """{name: loss}, already weighted; their sum is minimised.

        pooled  {view: (B, C) pooled features}; for the view "mixed", features of mixed images
        """
        raise NotImplementedError(f"{type(self).__name__} has no losses(pooled, batch)")


class LinearHead(Head):
    """A head with a linear layer `feature` from C to `dim` (0: m) channels, whose output is used for retrieval."""

    def __init__(self, setup: Setup, dim: int = 0) -> None:
        super().__init__(setup)
        self.feature = nn.Linear(setup.channels, dim or setup.semantics.shape[1])

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        return self.feature(pooled)


class Network(nn.Module):
    """The network: trunk, attention and head.

    backbone  the trunk to train; None: the trunk is frozen, and the network reads its feature maps

    The channels of a frozen trunk are standardised, so that one learning rate suits the heads of all methods (our
    default). A pooled feature then has a length of about 1.
    """

    trunk: Any
    attention: "SoftAttention"
    head: Head

    def __init__(self, backbone: nn.Module | None, channels: int, width: int, head: Head) -> None:
        super().__init__()
        self.frozen = backbone is None
        self.trunk = Standardise(channels, 1) if backbone is None else backbone
        self.attention, self.head = SoftAttention(channels, width), head

    @torch.no_grad()
    def standardise(self, maps: torch.Tensor) -> None:
        """Compute the mean and scale of a frozen trunk's channels from maps (N, C, P)."""
        pooled = maps.float().mean(2)
        spread = pooled.std(0) + pooled.std() / 100  # a channel may be constant
        self.trunk.set(pooled.mean(0), spread * len(spread) ** 0.5)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Convert pixels (B, 3, H, W) to feature maps (B, C, P); maps of a frozen trunk are standardised."""
        return self.trunk(x) if self.frozen else self.trunk.forward_features(x).flatten(2)

    def forward(self, x: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        """(B, m) retrieval features; domains (B,) is -1 for a domain that was not trained on."""
        return self.head.embed(self.attention(self.maps(x).float()), domains)


class SoftAttention(nn.Module):
    """Soft attention pooling, (B, C, P) -> (B, C): x + x * mask, averaged over positions (released code).

    The mask is a softmax over positions of two 1 x 1 convolutions, C -> width -> 1. Since there is no non-linearity
    between them, their weights are multiplied first: this takes `width` times fewer operations.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(channels, width), nn.Linear(width, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.bmm(maps, 1 + self.mask(maps)[:, :, None])[:, :, 0] / maps.shape[2]

    def mask(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, P): the weights of the positions; each row sums to 1."""
        weight = self.second.weight @ self.first.weight
        bias = self.second.weight @ self.first.bias + self.second.bias
        return (weight @ maps + bias)[:, 0].softmax(1)
