"""The trained network of CLAIR: the image tower E_theta with prompts, and Q."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.encoders import ClipEncoder
from cdir_nb.methods.clair.prompts import prompted, train_image_tower, train_only_norms_and_prompts
from cdir_nb.methods.clair.settings import ClairSettings


class DomainAlignment(nn.Module):
    """E_theta maps images to unit features; Q maps the features of the first domain to the second domain.

    encoder  a copy of the ClipEncoder, with prompts
    q        (D, D), or None without a mapping

    Always in evaluation mode: CLIP's towers have no dropout, and running statistics of batch norms do not change.
    """

    def __init__(self, encoder: ClipEncoder, q: torch.Tensor | None, *, train_q: bool = True) -> None:
        super().__init__()
        self.encoder = encoder
        self.clip: Any = encoder.model
        q = None if q is None else q.to(encoder.device).clone()
        if q is not None and train_q:
            self.q = nn.Parameter(q)
        else:
            self.register_buffer("q", q)
        self.eval()

    def train(self, mode: bool = True) -> "DomainAlignment":
        """Do nothing: the network stays in evaluation mode."""
        return super().train(False)

    def image_features(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D) unit features before Q, which are compared with texts (our reading)."""
        return F.normalize(self.clip.encode_image(batch).float(), dim=-1)

    def shared(self, features: torch.Tensor, domain: int) -> torch.Tensor:
        """Map (B, D) unit features x to the shared space: unit(Q x) for domain 0, x for domain 1."""
        return F.normalize(features @ self.q.T, dim=-1) if domain == 0 and self.q is not None else features


def domain_alignment(encoder: ClipEncoder, settings: ClairSettings, seed: int) -> DomainAlignment:
    """A copy of the encoder with prompts, in which the trained parts are unfrozen; Q is initially the identity."""
    tuned = prompted(encoder, settings.prompts, std=settings.prompt_std, seed=seed)
    train_only_norms_and_prompts(tuned) if settings.freeze else train_image_tower(tuned)
    q = torch.eye(encoder.dim) if settings.mapping else None
    return DomainAlignment(tuned, q, train_q=settings.train_mapping)
