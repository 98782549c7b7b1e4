"""Arithmetic written out with loops, for tests of losses against their equations; and random tensors for them."""

import math

import torch
import torch.nn.functional as F


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(random(*shape, seed=seed), dim=-1)


def softmax(scores: list[float]) -> list[float]:
    shifted = [math.exp(score - max(scores)) for score in scores]
    return [x / sum(shifted) for x in shifted]
