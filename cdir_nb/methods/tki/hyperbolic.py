"""Operations in the Poincaré ball of radius r, the open ball {x : |x| < r} of curvature -1/r^2, as needed by TKI.

Formulas of Ganea et al., "Hyperbolic Neural Networks" (NeurIPS 2018), with their c = 1/r^2. The TKI paper (section
4.2) only names the ball and its radius. Points and tangent vectors are rows of (..., D) tensors.

Two cases need care. At the origin, v/|v| is 0/0: norms are clamped to at least TINY, which gives the correct value and
gradient. At the boundary, artanh is infinite: points are rescaled to a norm of at most EDGE * r.
"""

import math

import torch
from torch import nn

from cdir_nb.errors import CdirError

TINY = 1e-15
EDGE = 1 - 1e-5  # geoopt's value for double precision; in the tangent space such a point is 6.1 radii from the origin


def checked_radius(radius: float) -> float:
    """The radius as a float. Raises CdirError if it is not a positive number."""
    if not (math.isfinite(radius) and radius > 0):
        raise CdirError(f"radius is {radius}: a Poincaré ball needs a positive radius, such as 1.0")
    return float(radius)


def _norm(v: torch.Tensor) -> torch.Tensor:
    return v.norm(dim=-1, keepdim=True).clamp_min(TINY)


def _artanh(x: torch.Tensor) -> torch.Tensor:
    return torch.atanh(x.clamp_max(1 - 1e-7))  # for points that have not gone through `into_ball`


def into_ball(x: torch.Tensor, radius: float) -> torch.Tensor:
    """(..., D) points; those with a norm above EDGE * r are scaled to this norm."""
    return x * (EDGE * radius / _norm(x)).clamp_max(1)


def exp_map_origin(v: torch.Tensor, radius: float) -> torch.Tensor:
    """Map tangent vectors at the origin to points in the ball: exp_0(v) = r tanh(|v| / r) v / |v|."""
    norm = _norm(v)
    return into_ball(radius * torch.tanh(norm / radius) * v / norm, radius)


def log_map_origin(x: torch.Tensor, radius: float) -> torch.Tensor:
    """Map points in the ball to tangent vectors at the origin: log_0(x) = r artanh(|x| / r) x / |x|."""
    norm = _norm(x)
    return radius * _artanh(norm / radius) * x / norm


def mobius_add(x: torch.Tensor, y: torch.Tensor, radius: float) -> torch.Tensor:
    """Möbius addition, x (+) y =

    ((1 + 2c<x,y> + c|y|^2) x + (1 - c|x|^2) y) / (1 + 2c<x,y> + c^2 |x|^2 |y|^2),  c = 1/r^2
    """
    c = 1 / radius**2
    xy, xx, yy = ((a * b).sum(-1, keepdim=True) for a, b in ((x, y), (x, x), (y, y)))
    numerator = (1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y
    denominator = 1 + 2 * c * xy + c**2 * xx * yy
    return into_ball(numerator / denominator.clamp_min(TINY), radius)


def mobius_matvec(matrix: torch.Tensor, x: torch.Tensor, radius: float) -> torch.Tensor:
    """Möbius matrix-vector product of (E, D) and (..., D):

    M (x) x = r tanh(|Mx| / |x| artanh(|x| / r)) Mx / |Mx|, which is exp_0(M log_0(x))
    """
    mx = x @ matrix.T
    norm, mx_norm = _norm(x), _norm(mx)
    return into_ball(radius * torch.tanh(mx_norm / norm * _artanh(norm / radius)) * mx / mx_norm, radius)


class HyperbolicLinear(nn.Linear):
    """A hyperbolic linear layer from tangent vectors to tangent vectors at the origin: (..., D) -> (..., E).

    y = log_0( W (x) exp_0(v)  (+)  exp_0(b) )        in_ball=True: without log_0, y is a point in the ball

    It has the parameters of `nn.Linear`, and converges to it as r grows. The bias b is stored as a tangent vector, so
    that ordinary Adam can update it. Without a bias the layer is linear (see `mobius_matvec`): its curvature comes only
    from the Möbius addition.
    """

    def __init__(self, in_features: int, out_features: int, radius: float, *, in_ball: bool = False) -> None:
        super().__init__(in_features, out_features)
        self.radius, self.in_ball = checked_radius(radius), in_ball

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        point = mobius_matvec(self.weight, exp_map_origin(v, self.radius), self.radius)
        moved = mobius_add(point, exp_map_origin(self.bias, self.radius), self.radius)
        return moved if self.in_ball else log_map_origin(moved, self.radius)
