"""Feature maps of an image backbone: what it computes before pooling, for methods that pool in a way of their own."""

from dataclasses import replace
from typing import Any

import torch

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders.backbones import BuiltBackbone
from cdir_nb.encoders.cache import EmbeddingStore
from cdir_nb.encoders.image import ImageEncoder
from cdir_nb.errors import CdirError


class MapEncoder(ImageEncoder):
    """A backbone whose "embedding" of a picture is its last feature map, flattened; kept in half precision.

    channels, places  the map's shape: C channels at P places, so that `maps` are (N, C, P)
    """

    code_modules = (__name__,)

    def __init__(self, built: BuiltBackbone, device: torch.device, precision: str) -> None:
        super().__init__(built, device, precision)
        with self._inference():
            shape = self.model.forward_features(torch.zeros(1, 3, self._side, self._side, device=device)).shape
        if len(shape) != 4:
            raise CdirError(f"{built.name} has no feature map: choose a convolutional backbone, such as mobilenet-v2")
        self.channels, self.places = shape[1], shape[2] * shape[3]
        self.dim = self.channels * self.places

    @property
    def pooling(self) -> str:
        return "none"

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        return self.model.forward_features(batch).flatten(1).half()  # rounded, as the cache keeps it

    @staticmethod
    def _keep(
        store: EmbeddingStore, images: ImageSet, rows: list[int], table: torch.Tensor, start: int, stop: int
    ) -> int:
        store.add([images.digests[row] for row in rows[start:stop]], table[start:stop].half())
        return stop

    def _made_of(self) -> dict[str, Any]:
        return {**super()._made_of(), "features": "map"}


def map_encoder(encoder: ImageEncoder, side: int) -> MapEncoder:
    """The backbone of `encoder` as a MapEncoder, for pictures resized to side x side (aspect not kept).

    Raises CdirError for a CLIP model, and for a backbone without a feature map.
    """
    if not isinstance(encoder.built, BuiltBackbone):
        raise CdirError(f"{encoder.built.name} is a CLIP model, and a backbone is needed here: choose mobilenet-v2")
    cfg = {**encoder.built.preprocess_cfg, "input_size": (3, side, side), "crop_pct": 1.0, "crop_mode": "squash"}
    return MapEncoder(replace(encoder.built, preprocess_cfg=cfg), encoder.device, encoder.precision)
