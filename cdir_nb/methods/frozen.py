"""Methods without training: vanilla CLIP, and the initial states of UCDIR's and SnMpNet's harnesses."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ImageEncoder
from cdir_nb.encoders.feature_maps import MapEncoder, map_encoder
from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.method import BACKBONE, CLIP, Method
from cdir_nb.methods.settings import Settings, setting
from cdir_nb.methods.snmpnet.harness import frozen_maps
from cdir_nb.methods.snmpnet.views import inverted_in
from cdir_nb.methods.ucdir.views import at_size


class VanillaClip(Embedder):
    """CLIP's frozen image tower: unit vectors, compared by cosine. The baseline of every table."""

    name = "vanilla CLIP"

    def __init__(self, encoder: ImageEncoder) -> None:
        self.encoder = encoder

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) float32 unit vectors on the CPU, read from the cache if available."""
        return F.normalize(self.encoder.embed_images(images, progress=progress), dim=-1)


class FrozenStartSettings(Settings):
    """Preprocessing settings, equal to those of UCDIR's harness."""

    method = "frozen start"

    image_size: int = setting(0, "our default; width and height of images in pixels, 0: the encoder's", ge=0)


class FrozenStart(VanillaClip):
    """A frozen image encoder without a head: unit vectors, compared by cosine."""

    def __init__(
        self, encoder: ImageEncoder, task: Protocol, domains: Sequence[str], settings: Any, *, name: str, **_: Any
    ) -> None:
        super().__init__(at_size(encoder, settings.image_size))
        self.name, self.settings = name, settings.plain()


class FrozenBackboneSettings(Settings):
    """Preprocessing settings, equal to those of SnMpNet's harness."""

    method = "frozen backbone"

    image_size: int = setting(224, "SnMpNet's released code: width and height resized to 224, aspect not kept", ge=32)
    invert: tuple[str, ...] = setting(
        (), "SnMpNet's paper: none; its released code inverts the colours of sketch and quickdraw", strict=False
    )


class FrozenBackbone(Embedder):
    """Pooled feature maps of a convolutional backbone, compared by Euclidean distance."""

    encoder: MapEncoder
    similarity = "euclidean"

    def __init__(
        self, encoder: ImageEncoder, task: Protocol, domains: Sequence[str], settings: Any, *, name: str, **_: Any
    ) -> None:
        self.encoder, self.name = map_encoder(encoder, settings.image_size), name
        self.settings, self.invert = settings.plain(), settings.invert

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, C) pooled feature maps, float32 on the CPU."""
        return frozen_maps(self.encoder, inverted_in(images, self.invert), progress).float().mean(2)


VANILLA_CLIP = Method(
    name="vanilla CLIP",
    paper="Radford et al., ICML 2021",
    build=lambda encoder, *_, **__: VanillaClip(encoder),
    encoders=CLIP,
)
FROZEN_START = Method(
    name="frozen start",
    paper="none: the start of UCDIR's harness",
    build=FrozenStart,
    settings=FrozenStartSettings,
    named={"two cores": FrozenStartSettings(image_size=64)},  # as UCDIR's settings for heads
    for_encoder={"mobilenet-v2": "two cores"},
)
FROZEN_BACKBONE = Method(
    name="frozen backbone",
    paper="none: the start of SnMpNet's harness",
    build=FrozenBackbone,
    settings=FrozenBackboneSettings,
    encoders=BACKBONE,
    named={
        "as written, two cores": FrozenBackboneSettings(image_size=96),
        "as released, two cores": FrozenBackboneSettings(image_size=96, invert=("sketch", "quickdraw")),
    },
    for_encoder={"mobilenet-v2": "as written, two cores"},
)
