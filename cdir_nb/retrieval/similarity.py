"""Similarities that `rank` does not offer, reduced to one that it does."""

import torch


def for_dot_product(query: torch.Tensor, gallery: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(Q, D + 1), (G, D + 1) whose *Euclidean* ranking is the ranking of (Q, D) and (G, D) by dot product.

    An extra column extends all gallery rows to the length L of the longest: |q - g|^2 = |q|^2 + L^2 - 2 q.g.
    """
    squares = gallery.square().sum(1, keepdim=True)
    rest = (squares.max() - squares).clamp(min=0).sqrt()
    return torch.cat([query, torch.zeros_like(query[:, :1])], 1), torch.cat([gallery, rest], 1)
