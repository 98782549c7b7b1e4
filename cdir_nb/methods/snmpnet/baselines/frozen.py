"""The backbone as it is, without training: pooled features, compared by Euclidean distance as all others here."""

from dataclasses import dataclass

import torch

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ImageEncoder
from cdir_nb.encoders.feature_maps import MapEncoder, map_encoder
from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.snmpnet.settings import SnMpNetConfig
from cdir_nb.methods.snmpnet.trainer import frozen_maps
from cdir_nb.methods.snmpnet.views import inverted_in


@dataclass(frozen=True)
class FrozenBackbone(Embedder):
    """Pooled features of a backbone, with the picture size and inverted domains of `config`."""

    encoder: MapEncoder
    config: SnMpNetConfig
    name: str = "frozen backbone"

    similarity = "euclidean"

    @property
    def settings(self) -> dict[str, object]:
        """What changes its features."""
        return {"side": self.config.side, "invert": list(self.config.invert)}

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, C) pooled feature maps."""
        return frozen_maps(self.encoder, inverted_in(images, self.config.invert), progress).float().mean(2)


def frozen_backbone(encoder: ImageEncoder, config: SnMpNetConfig) -> FrozenBackbone:
    """The untrained backbone at the picture size of the harness."""
    return FrozenBackbone(map_encoder(encoder, config.side), config)
