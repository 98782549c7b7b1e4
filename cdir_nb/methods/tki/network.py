"""The projection h, which is trained in TKI's second stage."""

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.methods.tki.hyperbolic import HyperbolicLinear
from cdir_nb.methods.tki.settings import TkiSettings


class Projection(nn.Module):
    """The domain-agnostic universal projection h, from unit features to unit features: (..., D) -> (..., D).

    h(t) = unit( layer_2( relu( layer_1(t) ) ) ).  layer_2 is hyperbolic and treats the hidden features as tangent
    vectors at the origin; the Euclidean variant (Table 7) has an ordinary linear layer of the same size instead. We
    interpret section 4.2 as two layers, the second one hyperbolic, with unit length of input and output; settings
    select other interpretations (`hyperbolic_layers`, `output`, `unit_norm`). Without its bias, layer_2 is the same in
    both geometries: "no bias" is our addition.
    """

    def __init__(self, dim: int, settings: TkiSettings) -> None:
        super().__init__()
        hidden, curved = settings.hidden or dim, _curved_layers(settings)
        self.layer_1 = HyperbolicLinear(dim, hidden, settings.radius) if 1 in curved else nn.Linear(dim, hidden)
        if 2 in curved:
            self.layer_2 = HyperbolicLinear(hidden, dim, settings.radius, in_ball=settings.output == "ball")
        else:
            self.layer_2 = nn.Linear(hidden, dim, bias=settings.geometry != "no bias")
        self.residual, self.unit_norm = settings.residual, settings.unit_norm

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        t = F.normalize(features, dim=-1)
        h = self.layer_2(F.relu(self.layer_1(t)))
        h = h + t if self.residual else h
        return F.normalize(h, dim=-1) if self.unit_norm else h

    @torch.no_grad()
    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Apply h to (N, D) unnormalised CLIP features. Returns (N, D) on the CPU, of unit length by default."""
        return self(features.to(self.layer_1.weight.device)).float().cpu()


def _curved_layers(settings: TkiSettings) -> set[int]:
    """The numbers of h's layers that are hyperbolic."""
    if settings.geometry != "hyperbolic":
        return set()
    return {"first": {1}, "second": {2}, "both": {1, 2}}[settings.hyperbolic_layers]
