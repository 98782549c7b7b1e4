"""What a finished training of UCDIR or a baseline returns, and the frozen starts that it is compared with."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from cdir_nb.conventions import LAST_EPOCH
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder, ImageEncoder
from cdir_nb.encoders.pretraining import seen_note
from cdir_nb.errors import CdirError
from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.frozen.clip import VanillaClip
from cdir_nb.methods.kept import KeptEmbedder
from cdir_nb.methods.training import Numbers, moved_until
from cdir_nb.methods.two_domains import both_directions, how_many, require_trained
from cdir_nb.methods.ucdir.network import Network, with_tower
from cdir_nb.methods.ucdir.pair import TwoDomains
from cdir_nb.methods.ucdir.settings import UcdirConfig

BATCH = 1024


@dataclass(frozen=True)
class FrozenStart(Embedder):
    """A frozen image encoder, without UCDIR's head: unit vectors, compared by cosine."""

    encoder: ImageEncoder
    name = "frozen start"

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) unit vectors, float32 on the CPU, read from the cache if it has them."""
        return F.normalize(self.encoder.embed_images(images, progress=progress), dim=1)


def frozen_start(encoder: ImageEncoder) -> Embedder:
    """What a training started from, as it is: vanilla CLIP for a CLIP, else the backbone's own features."""
    return VanillaClip(encoder) if isinstance(encoder, ClipEncoder) else FrozenStart(encoder)


@dataclass(frozen=True)
class UcdirEmbedder(Embedder):
    """The momentum encoder with its head: unit vectors of 128 dimensions (as evaluated by the released code).

    encoder   the encoder that training started from
    network   trunk and head; selection: the rule that chose this state; epoch: the epoch it is from, 0 is the start
    history   one dict per epoch: losses, their weights, the score by labels, how far parameters moved, seconds
    recorded  {epoch: {domain: (N, 128)}}, embeddings of the training images in the order of `pair.side`
    steps     SGD steps up to this state
    """

    encoder: ImageEncoder
    network: Network
    pair: TwoDomains
    config: UcdirConfig
    history: list[dict[str, float]] = field(repr=False)
    recorded: dict[int, dict[str, torch.Tensor]] = field(repr=False)
    epoch: int
    steps: int
    seed: int = 0
    name: str = "UCDIR"
    selection: str = LAST_EPOCH

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """The (query domain, gallery domain) pairs that it was fitted for: both directions."""
        return both_directions(self.pair.domains)

    @property
    def train_set(self) -> str:
        """What it was trained on, in words."""
        part = "head only, frozen trunk" if self.config.trains == "head" else "whole network"
        return f"{how_many(self.pair.limit)}{seen_note(self.encoder, self.pair.images)}; {part}"

    @property
    def settings(self) -> dict[str, Any]:
        """Settings and number of training images as plain data, for the digest in records."""
        return {**self.config.plain(), "train_images": self.pair.limit}

    @property
    def moved(self) -> Numbers:
        """How far the trained parameters moved from their start."""
        return moved_until(self.epoch, self.history)

    def at_epoch(self, epoch: int) -> KeptEmbedder:
        """The embeddings recorded after an epoch, of training images alone. Raises CdirError for one not recorded."""
        if epoch not in self.recorded:
            kept = ", ".join(map(str, self.recorded)) or "none"
            raise CdirError(f"{self.name}: embeddings of epoch {epoch} were not recorded; recorded: {kept}")
        digests = [digest for side in (0, 1) for digest in self.pair.side(side).digests]
        return KeptEmbedder(
            encoder=self.encoder,
            name=self.name,
            step=epoch,
            similarity=self.similarity,
            train_set=self.train_set,
            selection=self.selection,
            directions=self.directions,
            vectors=torch.cat(list(self.recorded[epoch].values())),
            place={digest: row for row, digest in enumerate(digests)},
        )

    @torch.no_grad()
    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, 128) unit embeddings on the CPU. Raises CdirError for images of a domain outside the pair."""
        require_trained(self.name, images, self.pair.domains)
        device = self.encoder.device
        if self.config.trains == "head":
            features = self.encoder.embed_images(images, progress=progress)
            return torch.cat([self.network(part.to(device)).cpu() for part in features.split(BATCH)])
        tuned = with_tower(self.encoder, self.network.trunk)
        features = tuned.embed_images(images, progress=progress).to(device)
        return F.normalize(self.network.head(features), dim=1).cpu()
