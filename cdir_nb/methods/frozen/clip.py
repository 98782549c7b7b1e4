"""CLIP without further training: the baseline of every table ("vanilla CLIP" in CLAIR's paper)."""

from typing import Any

import torch
import torch.nn.functional as F

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ImageEncoder
from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.method import CLIP, Method


class VanillaClip(Embedder):
    """CLIP's frozen image tower: unit vectors, compared by cosine."""

    name = "vanilla CLIP"

    def __init__(self, encoder: ImageEncoder) -> None:
        self.encoder = encoder

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) unit vectors, float32 on the CPU, read from the cache if it has them."""
        return F.normalize(self.encoder.embed_images(images, progress=progress), dim=-1)


def vanilla_clip(encoder: ImageEncoder, *_: Any, **__: Any) -> VanillaClip:
    """The embedder of a CLIP model; task, domains and seed have no effect."""
    return VanillaClip(encoder)


VANILLA_CLIP = Method(name="vanilla CLIP", paper="Radford et al., ICML 2021", build=vanilla_clip, encoders=CLIP)
