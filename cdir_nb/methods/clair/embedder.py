"""What CLAIR trains (E_theta and Q), and the embedder that a finished training returns."""

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.conventions import BY_PSEUDO_LABELS
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.pretraining import seen_note
from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.pair import Pair
from cdir_nb.methods.clair.settings import ClairConfig
from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.training import Numbers, moved_until
from cdir_nb.methods.two_domains import both_directions, how_many, require_trained


class DomainAlignment(nn.Module):
    """E_theta and Q: images to unit features; Q maps those of the first domain to the second's.

    encoder  its own copy of the ClipEncoder, with prompts
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
        """(B, 3, H, W) -> (B, D) unit features before Q, which are compared with texts (our reading)."""
        return F.normalize(self.clip.encode_image(batch).float(), dim=-1)

    def shared(self, features: torch.Tensor, side: int) -> torch.Tensor:
        """(B, D) unit features of domain 0 or 1 of the pair -> the shared space: Q x for domain 0, x for domain 1."""
        return F.normalize(features @ self.q.T, dim=-1) if side == 0 and self.q is not None else features


@dataclass(frozen=True)
class ClairEmbedder(Embedder):
    """What `fit` returns: the selected query encoder and Q (section 4: only E_theta_q is used at test time).

    encoder  the frozen CLIP that it was built on
    labels   {domain: (epochs run + 1, N) int64}: the class assigned to each training image, in the order of `train`, at
             the start and after each epoch
    train    {domain: (N,)}: the rows of `pair.images` used for training; the other rows are the validation part
    history  one dict per epoch: losses, validation score, share of labels that changed, how far parameters moved
             (relative L2 distance from the start, by group), seconds, peak memory
    states   {selection rule: (epoch, state)}: all states that a rule selects, for `selected`
    selection  the rule that selected this state: the best on validation by pseudo-labels, if there is a validation part
    """

    encoder: ClipEncoder
    model: DomainAlignment
    pair: Pair
    config: ClairConfig
    labels: dict[str, np.ndarray] = field(repr=False)
    train: dict[str, np.ndarray] = field(repr=False)
    history: list[dict[str, float]] = field(repr=False)
    states: dict[str, tuple[int, dict[str, torch.Tensor]]] = field(repr=False)
    steps_per_epoch: int
    selection: str = BY_PSEUDO_LABELS
    seed: int = 0
    name: str = "CLAIR"

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """The (query domain, gallery domain) pairs that it was fitted for: both directions."""
        return both_directions(self.pair.domains)

    @property
    def train_set(self) -> str:
        """What it was trained on, in words."""
        seen = seen_note(self.encoder, self.pair.images)
        return f"{how_many(self.pair.limit)}{seen}; {len(self.pair.names)} class names"

    @property
    def chosen(self) -> int:
        """The epoch of this state; 0 is the start."""
        return self.states[self.selection][0]

    @property
    def steps(self) -> int:
        """SGD steps up to this state."""
        return self.chosen * self.steps_per_epoch

    @property
    def settings(self) -> dict[str, Any]:
        """Settings and number of training images as plain data, for the digest in records."""
        return {**self.config.plain(), "train_images": self.pair.limit}

    @property
    def moved(self) -> Numbers:
        """How far norms, prompts and Q moved from the start: relative L2 distance, by group; 0 at the start."""
        return moved_until(self.chosen, self.history)

    def selected(self, rule: str) -> "ClairEmbedder":
        """The state of the same training that another rule selects. Raises CdirError for a rule that has none."""
        if rule not in self.states:
            raise CdirError(f'{self.name} has no state for "{rule}"; it has: {", ".join(self.states)}')
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.states[rule][1], strict=False)
        return replace(self, model=model, selection=rule)

    @torch.no_grad()
    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) unit embeddings on the CPU, Q applied to images of the first domain only; compare them by cosine.

        Raises CdirError for images of a domain outside the pair.
        """
        require_trained(self.name, images, self.pair.domains)
        raw = F.normalize(self.model.encoder.embed_images(images, progress=progress), dim=-1)
        first = torch.from_numpy(images.domains == self.pair.domains[0])
        mapped = self.model.shared(raw.to(self.model.encoder.device), 0).cpu()
        return torch.where(first[:, None], mapped, raw)
