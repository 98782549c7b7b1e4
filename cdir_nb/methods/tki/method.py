"""TKI: retrieval across any domains, trained on text alone (Yan et al., "Retrieval Across Any Domains via Large-scale
Pre-trained Model", ICML 2024).

Training has two stages and uses no image. Expansion: P word vectors learn to represent P domains in prompts that CLIP's
frozen text tower reads. Aggregation: a small MLP h learns to bring texts of the same class together, whatever their
domain. At test time h is applied to the output of CLIP's frozen image tower: z = h(I(x)).

We found no official code. What the paper leaves open is a setting of `TkiConfig`, and is noted where it matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import trange

from cdir_nb.conventions import LAST_EPOCH
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.words import DOMAIN, WordTower
from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.tki.hyperbolic import HyperbolicLinear
from cdir_nb.methods.tki.losses import between, loss_agg, loss_exp
from cdir_nb.methods.tki.settings import TkiConfig, check_names

CLASS = "[CLASS]"
FULL_PROMPT = f"A {DOMAIN} style of {CLASS}."  # all three prompts: section 4.1
DOMAIN_PROMPT = f"A {DOMAIN} style of"
CLASS_PROMPT = CLASS

History = list[dict[str, float]]


# ---- stage 1: prompt-based domain expansion (section 4.1) ------------------------------------------------------


@dataclass(frozen=True)
class Expansion:
    """The result of stage 1.

    names      the C class names, as used in the prompts
    words      (P, W) learnt word vectors
    text_emb   (P, C, D) unnormalised features of all prompts: the only input of stage 2
    domain_emb (P, D) features of the domain-only prompts; class_emb (C, D) of the class-only prompts
    history    one dict per step: the losses, and the smallest, mean and largest cosine between domains
    """

    names: tuple[str, ...]
    words: torch.Tensor
    text_emb: torch.Tensor
    domain_emb: torch.Tensor
    class_emb: torch.Tensor
    history: History = field(repr=False)


class _DomainPrompts:
    """The domain-only prompt and the C full prompts; all word vectors are embedded in one batched pass."""

    def __init__(self, tower: WordTower, names: Sequence[str]) -> None:
        self.tower = tower
        self.prompts = tower.prompts([DOMAIN_PROMPT, *(FULL_PROMPT.replace(CLASS, name) for name in names)])

    def embed(self, words: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(P, W) words, (c,) classes -> domain features (P, D) and text features (P, c, D)."""
        rows = torch.cat([torch.zeros(1, dtype=torch.long), 1 + chosen.cpu()])
        emb = self.tower.embed(self.prompts.take(rows.repeat(len(words))), words.repeat_interleave(len(rows), 0))
        emb = emb.unflatten(0, (len(words), len(rows)))
        return emb[:, 0], emb[:, 1:]


def expand(
    encoder: ClipEncoder, names: Sequence[str], config: TkiConfig, *, seed: int = 0, progress: bool = True
) -> Expansion:
    """Learn P domain words (equation 5: L_exp = L_min + lambda L_max). Only the frozen text tower is used.

    Words are initialised from N(0, word_std^2). A step embeds P (c + 1) prompts, c <= `classes_per_step`, in blocks:
    with DomainNet's 345 names and ViT-B/32 about 6 GB are enough for 64 or 128 classes per step (measured). Such a step
    takes about 20 s on two cores, so use a GPU.
    Raises CdirError for an encoder without a text tower, too few class names, or a name that is too long.
    """
    check_names(names)
    tower, generator = WordTower(encoder), torch.Generator().manual_seed(seed)
    prompts = _DomainPrompts(tower, names)
    words = (config.word_std * torch.randn(config.words, tower.width, generator=generator)).to(tower.device)
    words.requires_grad_()
    with torch.no_grad():
        class_prompts = tower.prompts([CLASS_PROMPT.replace(CLASS, name) for name in names])
        class_emb = tower.embed(class_prompts, words.new_zeros(len(names), tower.width))
    optimizer, history = torch.optim.Adam([words], lr=config.learning_rate), []
    steps = config.expansion_steps if config.losses else 0
    for _ in trange(steps, desc="domain expansion", delay=2, leave=False, disable=not progress):
        chosen = some_classes(len(names) if "min" in config.losses else 0, config, generator).to(tower.device)
        loss, numbers = loss_exp(*prompts.embed(words, chosen), class_emb, chosen, config)
        history.append(numbers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        domain_emb, text_emb = prompts.embed(words, torch.arange(len(names)))
    history.append(between(domain_emb))
    return Expansion(tuple(names), words.detach(), text_emb, domain_emb, class_emb, history)


def some_classes(count: int, config: TkiConfig, generator: torch.Generator) -> torch.Tensor:
    """Indices of the classes for one step: all of them, or `classes_per_step` chosen at random."""
    order = torch.randperm(count, generator=generator)[: config.classes_per_step]
    return order.sort().values


# ---- stage 2: text-proxied domain aggregation (section 4.2) ----------------------------------------------------


class Projection(nn.Module):
    """h, the domain-agnostic universal projection: unit features (..., D) -> unit features (..., D).

    h(t) = unit( layer_2( relu( layer_1(t) ) ) ).  layer_2 is non-Euclidean and treats the hidden features as tangent
    vectors at the origin; the Euclidean variant (Table 7) has an ordinary linear layer of the same size instead. That
    there are two layers with the second one hyperbolic, and that input and output have unit length, is our reading of
    section 4.2; settings give the other readings (`hyperbolic_layers`, `output`, `unit_norm`).
    Without its bias, layer_2 is the same in both geometries: "no bias" is a third choice of ours, not in the paper.
    """

    def __init__(self, dim: int, config: TkiConfig) -> None:
        super().__init__()
        hidden, curved = config.hidden or dim, _curved_layers(config)
        self.layer_1 = HyperbolicLinear(dim, hidden, config.radius) if 1 in curved else nn.Linear(dim, hidden)
        if 2 in curved:
            self.layer_2 = HyperbolicLinear(hidden, dim, config.radius, in_ball=config.output == "ball")
        else:
            self.layer_2 = nn.Linear(hidden, dim, bias=config.geometry != "no bias")
        self.residual, self.unit_norm = config.residual, config.unit_norm

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        t = F.normalize(features, dim=-1)
        h = self.layer_2(F.relu(self.layer_1(t)))
        h = h + t if self.residual else h
        return F.normalize(h, dim=-1) if self.unit_norm else h


def _curved_layers(config: TkiConfig) -> set[int]:
    """The numbers of h's layers that are hyperbolic."""
    if config.geometry != "hyperbolic":
        return set()
    return {"first": {1}, "second": {2}, "both": {1, 2}}[config.hyperbolic_layers]


def aggregate(
    text_emb: torch.Tensor, config: TkiConfig, *, seed: int = 0, progress: bool = True
) -> tuple[Projection, History]:
    """Train h on (P, C, D) text features alone (equation 6); returns h and the loss at each step.

    The largest matrix of a step has (P c)^2 scores, c <= `classes_per_step`: 7 MB for 20 x 64. At DomainNet's size
    (20 x 345 texts of width 512) 100 steps take 25 s on two busy cores and 0.2 GB; with all classes in a step, 1.2 GB.
    With `all_classes`, a step uses all classes, `classes_per_step` at a time, so that the matrix has P c x P C scores.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # PyTorch's default initialisation, but from our seed
        torch.manual_seed(seed)
        projection = Projection(text_emb.shape[-1], config).to(text_emb.device)
    optimizer, history = torch.optim.Adam(projection.parameters(), lr=config.learning_rate), []
    for _ in trange(config.aggregation_steps, desc="aggregation", delay=2, leave=False, disable=not progress):
        optimizer.zero_grad()
        if config.all_classes:
            loss = accumulate_agg(projection(text_emb), config)
        else:
            chosen = some_classes(text_emb.shape[1], config, generator).to(text_emb.device)
            loss = loss_agg(projection(text_emb[:, chosen]), config.temperature)
            loss.backward()
        history.append({"L_agg": float(loss.detach())})
        optimizer.step()
    return projection.eval(), history


def accumulate_agg(projected: torch.Tensor, config: TkiConfig) -> torch.Tensor:
    """Equation 6 of (P, C, D) over all classes, and its gradient, summed over blocks of `classes_per_step` classes.

    Gradients are accumulated in a copy of the projected texts, and then back-propagated through h once.
    """
    leaf, total = projected.detach().requires_grad_(), projected.new_zeros(())
    for classes in torch.arange(projected.shape[1], device=projected.device).split(config.classes_per_step):
        part = loss_agg(leaf, config.temperature, classes) * len(classes) / projected.shape[1]
        part.backward()
        total += part.detach()
    projected.backward(leaf.grad)
    return total


# ---- both stages, and retrieval (section 4.3) ------------------------------------------------------------------


@dataclass(frozen=True)
class TkiEmbedder(Embedder):
    """CLIP's frozen image tower followed by h: z_n = h(I(x_n)), unit vectors by default.

    strategy  label strategy of the class names, see `training_names`; name, seed: for records
    """

    encoder: ClipEncoder
    config: TkiConfig
    expansion: Expansion
    projection: Projection
    history: History = field(repr=False)
    name: str = "TKI"
    seed: int = 0
    strategy: int = 1

    selection = LAST_EPOCH

    @property
    def settings(self) -> dict[str, Any]:
        """Settings and label strategy as plain data, for the digest in records."""
        return {**self.config.plain(), "strategy": self.strategy}

    @property
    def train_set(self) -> str:
        """What it was trained on, in words."""
        learnt = f"{len(self.expansion.words)} learnt words x {len(self.expansion.names)} class names"
        return f"no image; {learnt} (strategy {self.strategy})"

    @property
    def steps(self) -> int:
        """Number of optimiser steps in both stages together."""
        return len(self.expansion.history) - 1 + len(self.history)  # stage 1 also records the state after its last step

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) image embeddings, float32 on the CPU; compare them by cosine."""
        return self.project(self.encoder.embed_images(images, progress=progress))

    @torch.no_grad()
    def project(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) unnormalised CLIP features (images or texts) -> (N, D) h of them on the CPU, unit by default."""
        device = self.projection.layer_1.weight.device
        return self.projection(features.to(device)).float().cpu()


def fit(
    encoder: ClipEncoder,
    names: Sequence[str],
    config: TkiConfig | None = None,
    *,
    strategy: int = 1,
    name: str = "TKI",
    expansion: Expansion | None = None,
    seed: int = 0,
    progress: bool = True,
) -> TkiEmbedder:
    """Train TKI from an encoder and C class names in natural words (see `training_names`); no image is used.

    strategy   label strategy of the names; name: of the variant. Both are for records
    expansion  a finished stage 1 with the same names, seed and `config.first_stage()`, to skip training it again
    Raises CdirError for an encoder without a text tower, too few class names, or a name that is too long.
    """
    config = config or TkiConfig()
    expansion = expansion or expand(encoder, names, config, seed=seed, progress=progress)
    projection, history = aggregate(expansion.text_emb, config, seed=seed, progress=progress)
    return TkiEmbedder(encoder, config, expansion, projection, history, name, seed, strategy)
