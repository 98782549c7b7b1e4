"""CLIP without further training: the baseline of every table ("vanilla CLIP" in CLAIR's paper)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder
from cdir_nb.methods.embedder import Embedder


@dataclass(frozen=True)
class VanillaClip(Embedder):
    """CLIP's frozen image tower: unit vectors, compared by cosine."""

    encoder: ClipEncoder
    name = "vanilla CLIP"

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) unit vectors, float32 on the CPU, read from the cache if it has them."""
        return F.normalize(self.encoder.embed_images(images, progress=progress), dim=-1)
