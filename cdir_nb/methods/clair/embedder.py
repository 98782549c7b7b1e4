"""What CLAIR trains, E_theta and Q, and what a finished training gives back."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.conventions import LAST_EPOCH
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.pair import Pair
from cdir_nb.methods.clair.settings import ClairConfig
from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.training import Numbers


class DomainAlignment(nn.Module):
    """E_theta and Q: images to unit features, those of the first domain carried into the second's by Q.

    encoder  a ClipEncoder of its own, with prompts
    q        (D, D), or None without a mapping
    """

    def __init__(self, encoder: ClipEncoder, q: torch.Tensor | None, *, train_q: bool = True) -> None:
        super().__init__()
        self.encoder, self.clip = encoder, encoder.model
        q = None if q is None else q.to(encoder.device).clone()
        if q is not None and train_q:
            self.q = nn.Parameter(q)
        else:
            self.register_buffer("q", q)

    def image_features(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D) unit features before Q; texts are compared with these (our reading)."""
        return F.normalize(self.clip.encode_image(batch).float(), dim=-1)

    def shared(self, features: torch.Tensor, side: int) -> torch.Tensor:
        """(B, D) unit features of the pair's domain 0 or 1 -> the space of both: Q x for the first."""
        return F.normalize(features @ self.q.T, dim=-1) if side == 0 and self.q is not None else features


@dataclass(frozen=True)
class ClairEmbedder(Embedder):
    """What `fit` returns: the query encoder and Q as they were chosen (section 4: only E_theta_q is used at test time).

    encoder  the frozen CLIP that it was built on
    labels   for each domain (epochs run + 1, N) int64: the class that each training image, in the order of `train`, was
             assigned at the start and after each epoch
    train    for each domain (N,) the rows of `pair.images` that were trained on; the others are the validation part
    history  a dict per epoch: losses, validation score, share of labels that changed, how far parameters moved
             (relative L2 distance from the start, by group), seconds, peak memory
    chosen   the epoch whose state this is, the best on validation; 0 is the start
    steps    steps of SGD that led to this state
    """

    encoder: ClipEncoder
    model: DomainAlignment
    pair: Pair
    config: ClairConfig
    labels: dict[str, np.ndarray] = field(repr=False)
    train: dict[str, np.ndarray] = field(repr=False)
    history: list[dict[str, float]] = field(repr=False)
    chosen: int
    steps: int
    seed: int = 0
    name: str = "CLAIR"

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """The (query domain, gallery domain) that it was fitted for."""
        first, second = self.pair.domains
        return (first, second), (second, first)

    @property
    def train_set(self) -> str:
        """What it was trained on, in words."""
        many = f"at most {self.pair.limit}" if self.pair.limit else "all"
        return f"{many} unlabelled images of each of two domains; {len(self.pair.names)} class names"

    @property
    def selection(self) -> str:
        """How the state was chosen."""
        whole = any(len(self.train[domain]) == len(self.pair.rows(domain)) for domain in self.pair.domains)
        return LAST_EPOCH if whole else self.config.selection

    @property
    def settings(self) -> dict[str, Any]:
        """Settings and number of training images as plain data, for the digest in records."""
        return {**self.config.plain(), "train_images": self.pair.limit}

    @property
    def moved(self) -> Numbers:
        """How far norms, prompts and Q are from their start: relative L2 distance, by group; 0 at the start."""
        groups = {key: value for row in self.history for key, value in row.items() if key.startswith("moved, ")}
        row = self.history[self.chosen - 1] if self.chosen else {}
        return {key.removeprefix("moved, "): row.get(key, 0.0) for key in groups}

    @torch.no_grad()
    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) unit embeddings on the CPU, each row by its own domain; compare them by cosine.

        Raises CdirError for an image of a domain that is not one of the pair.
        """
        other = sorted(set(images.domains) - set(self.pair.domains))
        if other:
            raise CdirError(
                f"this CLAIR was trained for {' and '.join(self.pair.domains)}, and there are images of "
                f"{', '.join(other)}: fit another pair"
            )
        raw = F.normalize(self.model.encoder.embed_images(images, progress=progress), dim=-1)
        first = torch.from_numpy(images.domains == self.pair.domains[0])
        mapped = self.model.shared(raw.to(self.model.encoder.device), 0).cpu()
        return torch.where(first[:, None], mapped, raw)
