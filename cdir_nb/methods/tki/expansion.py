"""TKI's first stage, prompt-based domain expansion (section 4.1).

P word vectors are trained; each represents a domain in prompts for CLIP's frozen text tower. No images are used.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import nn

from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.words import DOMAIN, Prompts, WordTower
from cdir_nb.encoders.zero_shot import require_names
from cdir_nb.methods.checkpoints import digest_of
from cdir_nb.methods.tki.losses import between, loss_max, loss_min
from cdir_nb.methods.tki.settings import ExpansionSettings
from cdir_nb.methods.training import Training

CLASS = "[CLASS]"
FULL_PROMPT = f"A {DOMAIN} style of {CLASS}."  # all three prompts: section 4.1
DOMAIN_PROMPT = f"A {DOMAIN} style of"
CLASS_PROMPT = CLASS


class DomainWords(nn.Module):
    """P word vectors (P, W), one for each domain."""

    def __init__(self, vectors: torch.Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors)


class DomainExpansion(Training):
    """The training of P domain words (equation 5: L_exp = L_min + lambda L_max). An epoch is one optimiser step.

    names       the C class names, as used in the prompts
    words       (P, W) learnt word vectors
    text_emb    (P, C, D) unnormalised features of all prompts: the only input of the second stage
    domain_emb  (P, D) features of the domain-only prompts; class_emb: (C, D) those of the class-only prompts
    history     one row per step: the losses, and the smallest, mean and largest cosine between domains before the step

    Words are initialised from N(0, word_std^2). A step embeds P (c + 1) prompts with c <= `classes_per_step` classes,
    in blocks: with DomainNet's 345 names and ViT-B/32, 64 or 128 classes per step need about 6 GB (measured). Such a
    step takes about 20 s on two cores, so use a GPU.
    Raises CdirError for an encoder without a text tower, too few class names, or a name that is too long.
    """

    steps_per_epoch = 1
    encoder: ClipEncoder
    settings: ExpansionSettings
    model: DomainWords

    def __init__(
        self,
        encoder: ClipEncoder,
        task: Protocol,
        settings: ExpansionSettings,
        names: Sequence[str],
        *,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        require_names("TKI", names)
        self.names = tuple(names)
        super().__init__(encoder, task, (), settings, name="TKI, domain expansion", seed=seed, progress=progress)

    def build(self) -> DomainWords:
        """Draw the initial words, and then the classes of each step."""
        s, self.tower = self.settings, WordTower(self.encoder)
        generator = torch.Generator().manual_seed(self.seed)
        words = s.word_std * torch.randn(s.words, self.tower.width, generator=generator)
        count = len(self.names) if "min" in s.losses else 0
        self.classes = drawn_classes(count, s.classes_per_step, self.epochs, generator)
        return DomainWords(words.to(self.tower.device))

    def inputs(self) -> dict[str, str]:
        """A digest of the class names."""
        return {"class names": digest_of(list(self.names))}

    @property
    def epochs(self) -> int:
        """The number of optimiser steps."""
        return self.settings.steps_of_expansion

    def batches(self) -> Iterator[torch.Tensor]:
        """The (c,) classes of this step."""
        yield self.classes[self.epoch].to(self.device)

    def losses(self, chosen: torch.Tensor) -> dict[str, torch.Tensor]:
        """L_min and L_max, or the one that the settings include."""
        s = self.settings
        domain_emb, text_emb = self.embed_prompts(chosen)
        self.note(**between(domain_emb.detach()))
        terms = {}
        if "min" in s.losses:
            terms["L_min"] = loss_min(text_emb, self.class_emb, chosen, s.temperature)
        if "max" in s.losses:
            terms["L_max"] = loss_max(domain_emb, s.alpha, s.mu)
        return terms

    def weights(self) -> dict[str, float]:
        """The weights of the losses; lambda of equation 5 for L_max."""
        return {"L_max": self.settings.trade_off}

    def group_of(self, name: str) -> str:
        return "words"

    # ---- prompts and their features ----

    def embed_prompts(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Domain features (P, D), and text features (P, c, D) of the chosen classes (c,), computed in one pass."""
        words = self.model.vectors
        rows = torch.cat([torch.zeros(1, dtype=torch.long), 1 + chosen.cpu()])
        emb = self.tower.embed(self.prompts.take(rows.repeat(len(words))), words.repeat_interleave(len(rows), 0))
        emb = emb.unflatten(0, (len(words), len(rows)))
        return emb[:, 0], emb[:, 1:]

    @cached_property
    def prompts(self) -> Prompts:
        """The domain-only prompt and the C full prompts."""
        return self.tower.prompts([DOMAIN_PROMPT, *(FULL_PROMPT.replace(CLASS, name) for name in self.names)])

    @cached_property
    @torch.no_grad()
    def class_emb(self) -> torch.Tensor:
        """(C, D) features of the class-only prompts."""
        prompts = self.tower.prompts([CLASS_PROMPT.replace(CLASS, name) for name in self.names])
        return self.tower.embed(prompts, self.model.vectors.new_zeros(len(self.names), self.tower.width))

    @property
    def words(self) -> torch.Tensor:
        """(P, W) word vectors."""
        return self.model.vectors.detach()

    @property
    def domain_emb(self) -> torch.Tensor:
        """(P, D) features of the domain-only prompts after the last step."""
        return self._texts[0]

    @property
    def text_emb(self) -> torch.Tensor:
        """(P, C, D) features of all full prompts after the last step."""
        return self._texts[1]

    @cached_property
    @torch.no_grad()
    def _texts(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of domain-only and of full prompts; computed when first needed, which is after the last step."""
        return self.embed_prompts(torch.arange(len(self.names)))


def drawn_classes(count: int, size: int, steps: int, generator: torch.Generator) -> list[torch.Tensor]:
    """The indices of the classes in each step: all `count` classes, or `size` of them drawn at random."""
    return [torch.randperm(count, generator=generator)[:size].sort().values for _ in range(steps)]
