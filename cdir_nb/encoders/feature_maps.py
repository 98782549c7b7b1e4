"""Feature maps of an image backbone, for methods that pool feature maps themselves."""

from dataclasses import replace
from typing import Any

import torch

from cdir_nb.encoders.built import BuiltBackbone
from cdir_nb.encoders.image import ImageEncoder
from cdir_nb.errors import CdirError


class MapEncoder(ImageEncoder):
    """A backbone whose "embedding" of an image is its last feature map, flattened; cached in half precision.

    channels, places  C and P, the numbers of channels and positions: feature maps are (N, C, P)
    """

    code_modules = (__name__,)
    stored_dtype = torch.float16

    def __init__(self, built: BuiltBackbone, device: torch.device, precision: str) -> None:
        super().__init__(built, device, precision)
        with self._inference():
            zeros = torch.zeros(1, 3, self.image_size, self.image_size, device=device)
            shape = self.model.forward_features(zeros).shape
        if len(shape) != 4:
            raise CdirError(f"{built.name} has no feature map: choose a convolutional backbone, such as mobilenet-v2")
        self.channels, self.places = shape[1], shape[2] * shape[3]
        self.dim = self.channels * self.places

    @property
    def pooling(self) -> str:
        return "none"

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        return self.model.forward_features(batch).flatten(1).half()  # rounded as in the cache

    def _key(self) -> dict[str, Any]:
        return {**super()._key(), "features": "map"}


def map_encoder(encoder: ImageEncoder, size: int) -> MapEncoder:
    """The backbone of `encoder` as a MapEncoder, for images resized to size x size pixels, whatever their shape.

    Raises CdirError for a CLIP model, and for a backbone without a feature map.
    """
    if not isinstance(encoder.built, BuiltBackbone):
        raise CdirError(f"{encoder.built.name} is a CLIP model, but a backbone is needed here: choose mobilenet-v2")
    cfg = {**encoder.built.preprocess_cfg, "input_size": (3, size, size), "crop_pct": 1.0, "crop_mode": "squash"}
    return MapEncoder(replace(encoder.built, preprocess_cfg=cfg), encoder.device, encoder.precision)
