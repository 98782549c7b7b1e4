"""The network of UCDIR and its baselines: a trunk, MoCo v2's head to 128 dimensions, and its momentum copy.

A MoCo v2 checkpoint gives both trunk and head. Any other encoder gives the trunk, and the head is drawn at random.
"""

import copy
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.encoders import ClipEncoder, ImageEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.settings import Settings

SMALLEST_SPREAD = 1e-6


class Standardise(nn.Module):
    """x -> (x - mean) / standard deviation, per feature, with values measured once (`measure`)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def measure(self, features: torch.Tensor) -> None:
        """Take mean and standard deviation of (N, width) features."""
        self.mean.copy_(features.mean(dim=0))
        self.std.copy_(features.std(dim=0).clamp(min=SMALLEST_SPREAD))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


class Network(nn.Module):
    """Inputs of the trunk -> unit features (B, dim). The head is MoCo v2's: linear, ReLU, linear; or one linear layer.

    trunk     reads pixels; or `Standardise`, where only the head is trained, on features of a frozen trunk
    settings  with `dim` and `hidden`: width of the head's hidden layer, None: that of the trunk, 0: no hidden layer
    """

    def __init__(self, trunk: nn.Module, width: int, settings: Settings, seed: int) -> None:
        super().__init__()
        hidden = width if settings.hidden is None else settings.hidden
        self.trunk = trunk
        with torch.random.fork_rng(devices=[]):  # PyTorch's default initialisation, but from our seed
            torch.manual_seed(seed)
            layers = [nn.Linear(width, hidden), nn.ReLU()] if hidden else []
            self.head = nn.Sequential(*layers, nn.Linear(hidden or width, settings.dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.head(self.trunk(x).float()), dim=1)

    def load_head(self, state: dict[str, torch.Tensor]) -> None:
        """Put MoCo v2's head in. Raises CdirError where its shape is not that of the settings."""
        own = {name: tuple(value.shape) for name, value in self.head.state_dict().items()}
        given = {name: tuple(value.shape) for name, value in state.items()}
        if own != given:
            raise CdirError(
                f"the checkpoint's head has shapes {given}, the settings ask for {own}: change hidden or dim"
            )
        self.head.load_state_dict(state)


class _ImageTower(nn.Module):
    """A copy of an encoder's image part, to be trained."""

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.model = copy.deepcopy(encoder.model)
        self.is_clip = isinstance(encoder, ClipEncoder)
        if self.is_clip:  # its texts are not trained
            self.model.requires_grad_(False)
            self.model.visual.requires_grad_(True)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels) if self.is_clip else self.model(pixels)


def image_tower(encoder: ImageEncoder) -> nn.Module:
    """A copy of the encoder's image part that takes (B, 3, H, W) and can be trained."""
    return _ImageTower(encoder)


def with_tower(encoder: ImageEncoder, tower: nn.Module) -> ImageEncoder:
    """An encoder like the given one with the weights of a trained `image_tower`; its cache follows the weights."""
    return type(encoder)(replace(encoder.built, model=tower.model), encoder.device, encoder.precision)


@torch.no_grad()
def keys(network: Network, x: torch.Tensor, *, split: bool, generator: torch.Generator) -> torch.Tensor:
    """(B, dim) features from the momentum encoder, in the order of x.

    split  shuffle the batch, and let batch norm see each half by itself (released code); a network without batch norm
           gives the same features either way
    """
    if not split:
        return network(x)
    order = torch.randperm(len(x), generator=generator).to(x.device)
    shuffled = torch.cat([network(half) for half in x[order].chunk(2)])
    return shuffled[order.argsort()]
