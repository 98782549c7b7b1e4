"""Any image encoder without training: unit vectors, compared by cosine. UCDIR and its baselines start from it."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ImageEncoder
from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.method import Method
from cdir_nb.methods.settings import Settings, setting
from cdir_nb.methods.ucdir.views import at_size


class FrozenStartSettings(Settings):
    """How images are read: as in UCDIR's harness."""

    method = "frozen start"

    image_size: int = setting(0, "our default; width and height of images in pixels, 0: the encoder's", ge=0)


class FrozenStart(Embedder):
    """A frozen image encoder, without a head; with a CLIP, the vectors of vanilla CLIP."""

    def __init__(
        self, encoder: ImageEncoder, task: Protocol, domains: Sequence[str], settings: Settings, *, name: str, **_: Any
    ) -> None:
        self.encoder, self.name = at_size(encoder, settings.image_size), name
        self.settings = settings.plain()

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) unit vectors, float32 on the CPU, read from the cache if it has them."""
        return F.normalize(self.encoder.embed_images(images, progress=progress), dim=1)


FROZEN_START = Method(
    name="frozen start",
    paper="none: the start of UCDIR's harness",
    build=FrozenStart,
    settings=FrozenStartSettings,
    named={"two cores": FrozenStartSettings(image_size=64)},  # as UCDIR's settings for heads
    for_encoder={"mobilenet-v2": "two cores"},
)
