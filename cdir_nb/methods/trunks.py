"""Trunks of trained networks: a trainable copy of an encoder's image model, or standardised frozen features."""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from cdir_nb.encoders import ClipEncoder, ImageEncoder


class Standardise(nn.Module):
    """The trunk of a network whose encoder is frozen: x -> (x - mean) / scale, per feature.

    shape  the shape of `mean` and `scale`: (W,) for features (B, W), (C, 1) for feature maps (B, C, P)
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def set(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Set mean and scale, with one number per feature."""
        self.mean.copy_(mean.view_as(self.mean))
        self.scale.copy_(scale.view_as(self.scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.scale


class ImageTower(nn.Module):
    """A trainable copy of an encoder's image model: pixels (B, 3, H, W) -> features (B, D)."""

    model: Any

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.model = copy.deepcopy(encoder.model)
        self.is_clip = isinstance(encoder, ClipEncoder)
        if self.is_clip:  # the text tower is not trained
            self.model.requires_grad_(False)
            self.model.visual.requires_grad_(True)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels) if self.is_clip else self.model(pixels)

    def as_encoder(self, encoder: ImageEncoder) -> ImageEncoder:
        """An encoder like `encoder` with the trained weights; its cache key depends on these weights."""
        return type(encoder)(replace(encoder.built, model=self.model), encoder.device, encoder.precision)
