"""Learnable prompts in CLIP's image tower, and tuning of its normalisation layers only (CLAIR, section 4.5).

The prompts are appended to the class token and the patch tokens, after the positional embedding and before the first
LayerNorm (`ln_pre`), at the input of the first layer only. The paper follows Sketch_LVM, whose code does this.
"""

import copy
from typing import Any

import torch
from open_clip.transformer import VisionTransformer
from torch import nn

from cdir_nb.encoders import ClipEncoder
from cdir_nb.errors import CdirError

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)  # timm's own norms are subclasses of these


class PromptedNorm(nn.Module):
    """A replacement for `ln_pre` that first appends n_p prompts to its input: (B, L, d_v) -> (B, L + n_p, d_v)."""

    def __init__(self, ln_pre: nn.Module, prompts: torch.Tensor) -> None:
        super().__init__()
        self.ln_pre, self.prompts = ln_pre, nn.Parameter(prompts)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        prompts = self.prompts.to(tokens.dtype).expand(len(tokens), -1, -1)
        return self.ln_pre(torch.cat([tokens, prompts], dim=1))


def prompted(encoder: ClipEncoder, n_prompts: int, *, std: float = 1.0, seed: int = 0) -> ClipEncoder:
    """A copy of an encoder whose image tower gets `n_prompts` extra tokens, initialised from N(0, std^2).

    The copy has its own weights. Raises CdirError if n_prompts > 0 and the tower is not a vision transformer with a
    class token: a convolutional network has no tokens to add prompts to.
    """
    tuned = copy.copy(encoder)
    tuned.model = copy.deepcopy(encoder.model)
    if n_prompts:
        tower = _vision_transformer(tuned)
        generator = torch.Generator().manual_seed(seed)
        drawn = std * torch.randn(n_prompts, len(tower.class_embedding), generator=generator)
        tower.ln_pre = PromptedNorm(tower.ln_pre, drawn.to(tower.class_embedding))
    return tuned


def train_only_norms_and_prompts(encoder: ClipEncoder) -> list[nn.Parameter]:
    """Freeze everything except prompts, and scale and shift of the image tower's normalisation layers.

    Returns the trainable parameters.

    The paper's tower has only LayerNorms. Running statistics of batch norms do not change as long as the model is in
    evaluation mode (our reading of "only the normalisation layers").
    Raises CdirError for a tower that has neither normalisation layers nor prompts.
    """
    encoder.model.requires_grad_(False)
    modules = [module for module in encoder.model.visual.modules() if isinstance(module, (*NORMS, PromptedNorm))]
    trainable = [parameter for module in modules for parameter in module.parameters(recurse=False)]
    if not trainable:
        raise CdirError(
            f"the image tower of {encoder.built.name} has no normalisation layer to train: set freeze=False, "
            "or choose another model"
        )
    for parameter in trainable:
        parameter.requires_grad_(True)
    return trainable


def train_image_tower(encoder: ClipEncoder) -> list[nn.Parameter]:
    """Unfreeze the image tower and freeze the text tower (Table 3, "w/o freeze"). Returns the trainable parameters."""
    encoder.model.requires_grad_(False)
    encoder.model.visual.requires_grad_(True)
    return list(encoder.model.visual.parameters())


def _vision_transformer(encoder: ClipEncoder) -> Any:
    """The image tower, a VisionTransformer. Raises CdirError for a tower without a class token."""
    tower = encoder.model.visual
    if isinstance(tower, VisionTransformer) and tower.pool_type == "tok" and tower.attn_pool is None:
        return tower
    raise CdirError(
        f"the image tower of {encoder.built.name} (a {type(tower).__name__}) has no class token, which prompts need: "
        "set prompts=0, or choose a vision transformer, such as ViT-B-32"
    )
