"""SketchLVM's network: CLIP's image tower, shared by both domains, and prompts for each domain."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from cdir_nb.encoders import ClipEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.prompts import PromptedNorm, prompted, train_image_tower, train_only_norms_and_prompts

PROMPTS = "ln_pre.prompts"  # the tower's parameter that holds the prompts of one domain


class PromptsFirst(PromptedNorm):
    """A replacement for `ln_pre` that first prepends the prompts.

    A tower that pools its first token then pools the first prompt, as in ClipPrompt's code.
    """

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        prompts = self.prompts.to(tokens.dtype).expand(len(tokens), -1, -1)
        return self.ln_pre(torch.cat([prompts, tokens], dim=1))


class Network(nn.Module):
    """Images of one of two domains -> unit features.

    encoder  a copy of the encoder, whose tower contains the prompts of one domain at a time
    clip     its model
    prompts  (2, n, width) prompts of both domains, or None

    Raises CdirError if prompts are requested for a tower without tokens, or if the part to be trained does not exist.
    """

    def __init__(self, encoder: ClipEncoder, *, prompts: int, std: float, read: str, freeze: str, seed: int) -> None:
        super().__init__()
        self.encoder = prompted(encoder, prompts, std=std)
        self.clip: Any = self.encoder.model
        unfreeze(self.encoder, freeze)
        self.prompts = None
        if prompts:
            tower: Any = self.clip.visual
            if read == "first prompt":
                tower.ln_pre = PromptsFirst(tower.ln_pre.ln_pre, tower.ln_pre.prompts.detach())
            placeholder = tower.ln_pre.prompts.requires_grad_(False)
            drawn = std * torch.randn(2, *placeholder.shape, generator=torch.Generator().manual_seed(seed))
            self.prompts = nn.Parameter(drawn.to(placeholder))
        self.eval()

    def train(self, mode: bool = True) -> "Network":
        """Do nothing: the network stays in evaluation mode, so that running statistics of batch norms do not change."""
        return super().train(False)

    def forward(self, pixels: torch.Tensor, domain_index: int) -> torch.Tensor:
        """(B, 3, H, W) images of domain 0 or 1 -> (B, D) unit features."""
        prompts = {} if self.prompts is None else {PROMPTS: self.prompts[domain_index]}
        return F.normalize(functional_call(self.clip.visual, prompts, (pixels,)).float(), dim=-1)

    @torch.no_grad()
    def encoder_of(self, domain_index: int) -> ClipEncoder:
        """An encoder with the prompts of domain 0 or 1; its cache key depends on the current weights."""
        tuned = copy.copy(self.encoder)
        tuned.model = copy.deepcopy(self.clip)
        if self.prompts is not None:
            tuned.model.visual.ln_pre.prompts.copy_(self.prompts[domain_index])
        return tuned


def unfreeze(encoder: ClipEncoder, freeze: str) -> None:
    """Enable gradients of the parameters of the image tower that `freeze` leaves trainable, and of no others.

    freeze  "norms": scale and shift of the normalisation layers
            "as released": also every parameter that is not named weight or bias. The released code freezes other
            modules by these two names, and thus does not freeze the joint query, key and value matrices and biases
            of the attention layers, the class and position embeddings, and the final projection of a ViT
            "all but the head": the final projection
            "nothing": the whole tower
    """
    tower = encoder.model.visual
    if freeze == "nothing":
        train_image_tower(encoder)
    elif freeze == "all but the head":
        encoder.model.requires_grad_(False)
        head = [x for name, x in tower.named_parameters() if name == "proj" or name.startswith("head.")]
        if not head:
            raise CdirError(f"the image tower of {encoder.built.name} has no final projection: change freeze")
        for parameter in head:
            parameter.requires_grad_(True)
    else:
        train_only_norms_and_prompts(encoder)
        for name, parameter in tower.named_parameters():
            if freeze == "as released" and name.rpartition(".")[2] not in ("weight", "bias"):
                parameter.requires_grad_(True)
