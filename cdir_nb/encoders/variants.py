"""Encoders with the same weights but a different preprocessing or activation.

A wrong preprocessing or activation is a common mistake: it raises no error, but lowers the numbers.
"""

import copy
from dataclasses import replace
from typing import Any

import torch
from open_clip.transformer import QuickGELU
from PIL import Image

from cdir_nb.encoders.clip import ClipEncoder, require_texts
from cdir_nb.encoders.image import ImageEncoder
from cdir_nb.errors import CdirError

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
UNSCALED = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # pixels in 0..1, unchanged
SETTINGS = ("size", "mean", "std", "interpolation", "resize_mode", "fill_color")


def with_preprocessing(encoder: ImageEncoder, **changes: Any) -> ImageEncoder:
    """An encoder of the same model with a different preprocessing, and therefore a different identity and cache.

    For a CLIP model:
    mean, std      mean and standard deviation of each colour channel, for pixels in 0..1
    resize_mode    "shortest": scale the shorter side, crop the centre; "squash": scale both sides; "longest": pad to a
                   square
    fill_color     0..255, the padding of "longest"
    interpolation  "bicubic" or "bilinear"
    For a backbone: the names of timm's data config (input_size, mean, std, interpolation, crop_pct, crop_mode).
    Raises CdirError for a setting that the encoder's preprocessing does not have.
    """
    settings = SETTINGS if isinstance(encoder, ClipEncoder) else tuple(encoder.built.preprocess_cfg)
    if unknown := sorted(set(changes) - set(settings)):
        raise CdirError(f"preprocessing has no setting {unknown[0]!r}: use some of {', '.join(settings)}")
    built: Any = replace(encoder.built, preprocess_cfg={**encoder.built.preprocess_cfg, **changes})
    return type(encoder)(built, encoder.device, encoder.precision)


def as_seen(encoder: ImageEncoder, image: Image.Image) -> Image.Image:
    """The image after resizing and cropping or padding, before its colours are scaled."""
    *shape_steps, _, _ = encoder.preprocess.transforms  # the last two convert it to numbers and scale them
    for step in shape_steps:
        image = step(image)
    return image


def with_other_activation(encoder: ClipEncoder) -> ClipEncoder:
    """A copy of an encoder with QuickGELU, x sigmoid(1.702 x), in place of GELU, or GELU in place of QuickGELU.

    Raises CdirError if the model has neither.
    """
    quick = require_texts(encoder).built.quick_gelu
    old, new = (QuickGELU, torch.nn.GELU) if quick else (torch.nn.GELU, QuickGELU)
    model, count = copy.deepcopy(encoder.model), 0
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, old):
                setattr(module, name, new())
                count += 1
    if not count:
        raise CdirError(f"{encoder.built.name} has no {old.__name__} to replace: choose a CLIP model with transformers")
    return ClipEncoder(replace(encoder.built, model=model, quick_gelu=not quick), encoder.device, encoder.precision)
