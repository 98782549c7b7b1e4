"""The network of UCDIR and its baselines: a trunk, and MoCo v2's head to 128 dimensions.

A MoCo v2 checkpoint gives both trunk and head. Any other encoder gives the trunk, and the head is drawn at random.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.errors import CdirError
from cdir_nb.methods.batches import seeded
from cdir_nb.methods.ucdir.settings import TwoDomainSettings


class Network(nn.Module):
    """A trunk and a head with output (B, dim) of unit length. The head is MoCo v2's (linear, ReLU, linear) or linear.

    trunk     an `ImageTower`, which reads pixels; or `Standardise`, which reads features of a frozen encoder
    width     length of the trunk's features
    settings  `dim`, and `hidden`, the width of the head's hidden layer; None: the trunk's width, 0: no hidden layer
    seed      the seed of the head's initial weights, drawn from PyTorch's default distribution
    """

    trunk: Any
    head: nn.Sequential

    def __init__(self, trunk: nn.Module, width: int, settings: TwoDomainSettings, seed: int) -> None:
        super().__init__()
        hidden = width if settings.hidden is None else settings.hidden
        self.trunk = trunk
        with seeded(seed):
            layers = [nn.Linear(width, hidden), nn.ReLU()] if hidden else []
            self.head = nn.Sequential(*layers, nn.Linear(hidden or width, settings.dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.head(self.trunk(x).float()), dim=1)

    def load_head(self, state: dict[str, torch.Tensor]) -> None:
        """Load MoCo v2's head. Raises CdirError if the shapes do not match the settings."""
        try:
            self.head.load_state_dict(state)
        except RuntimeError:
            shapes = [tuple(x.shape) for x in state.values()]
            raise CdirError(f"the checkpoint's head has shapes {shapes}: change hidden or dim") from None


@torch.no_grad()
def keys(network: nn.Module, x: torch.Tensor, *, split: bool, generator: torch.Generator) -> torch.Tensor:
    """(B, dim) features of the momentum encoder, in the order of x.

    split  shuffle the batch and pass its halves through the network separately, as in the released code, so that batch
           norm normalises each half; without batch norm this has no effect
    """
    if not split:
        return network(x)
    order = torch.randperm(len(x), generator=generator).to(x.device)
    shuffled = torch.cat([network(half) for half in x[order].chunk(2)])
    return shuffled[order.argsort()]
