"""TKI: retrieval across any domains, trained on text alone (Yan et al., "Retrieval Across Any Domains via Large-scale
Pre-trained Model", ICML 2024).

Training has two stages and uses no images. Expansion: P word vectors learn to represent P domains in prompts that
CLIP's frozen text tower reads. Aggregation: a small MLP h learns to bring texts of the same class together, whatever
their domain. At test time h is applied to the output of CLIP's frozen image tower: z = h(I(x)).

No official code is known. Choices that the paper leaves open are settings in `TkiSettings`, or are noted in the code.
"""

from collections.abc import Iterator

import torch

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder
from cdir_nb.methods.batches import seeded
from cdir_nb.methods.checkpoints import digest_of
from cdir_nb.methods.tki.expansion import DomainExpansion, drawn_classes
from cdir_nb.methods.tki.losses import agg_terms, loss_agg
from cdir_nb.methods.tki.names import names_for
from cdir_nb.methods.tki.network import Projection
from cdir_nb.methods.tki.settings import TkiSettings
from cdir_nb.methods.training import Training


class TkiTraining(Training):
    """The training of h on (P, C, D) text features alone (section 4.2, equation 6), after the first stage.

    names      the C class names in the prompts
    expansion  the finished first stage; variants with equal first stages share it through the cache
    history    one row per step of this stage; the rows of the first stage are in `expansion.history`

    An epoch is one optimiser step. Its largest matrix has (P c)^2 scores, c <= `classes_per_step`: 7 MB for 20 x 64. At
    DomainNet's size (20 x 345 texts of width 512) 100 steps take 25 s on two busy cores and 0.2 GB. With `all_classes`,
    a step covers all classes, `classes_per_step` at a time; the matrix then has P c x P C scores (1.2 GB).
    """

    steps_per_epoch = 1
    encoder: ClipEncoder
    settings: TkiSettings

    def build(self) -> Projection:
        """Train or load the first stage, draw each step's classes, and build h with PyTorch's initialisation."""
        s = self.settings
        self.names = names_for(self.task, s.strategy, count=s.other_names, seed=self.seed)
        self.expansion = DomainExpansion(
            self.encoder, self.task, s.first_stage(), self.names, seed=self.seed, progress=self.progress
        )
        self.expansion.run()
        generator = torch.Generator().manual_seed(self.seed)
        self.classes = drawn_classes(len(self.names), s.classes_per_step, self.epochs, generator)
        with seeded(self.seed):
            return Projection(self.encoder.dim, s).to(self.encoder.device)

    def inputs(self) -> dict[str, str]:
        """A digest of the class names."""
        return {"class names": digest_of(self.names)}

    @property
    def epochs(self) -> int:
        """The number of optimiser steps of this stage."""
        return self.settings.aggregation_steps

    def steps_until(self, epoch: int) -> int:
        """The number of optimiser steps of both stages, up to this epoch."""
        return self.settings.steps_of_expansion + epoch

    def batches(self) -> Iterator[torch.Tensor]:
        """Yield the (P, c, D) text features of the classes of the step."""
        text_emb = self.expansion.text_emb
        yield text_emb if self.settings.all_classes else text_emb[:, self.classes[self.epoch].to(self.device)]

    def losses(self, text_emb: torch.Tensor) -> dict[str, torch.Tensor]:
        """The aggregation loss (equation 6)."""
        s, projected = self.settings, self.model(text_emb)
        if s.all_classes:
            return {"L_agg": loss_agg_in_blocks(projected, s.temperature, s.classes_per_step)}
        return {"L_agg": loss_agg(projected, s.temperature)}

    def group_of(self, name: str) -> str:
        return "projection"

    @property
    def train_set(self) -> str:
        """Description of the training data, for records."""
        s = self.settings
        return f"no image; {s.words} learnt words x {len(self.names)} class names (strategy {s.strategy})"

    def embed(self, model: Projection, images: ImageSet, progress: bool) -> torch.Tensor:
        """(N, D) image embeddings z_n = h(I(x_n)) (section 4.3), unit vectors by default."""
        return model.project(self.encoder.embed_images(images, progress=progress))


def loss_agg_in_blocks(projected: torch.Tensor, tau: float, block: int) -> torch.Tensor:
    """Compute `loss_agg` in blocks of `block` classes: memory for P block x P C scores instead of (P C)^2.

    The gradient of each block is computed immediately, and its scores are freed. The returned scalar has the value and
    the gradient of `loss_agg`.
    """
    count = projected.shape[1]
    leaf = projected.detach().requires_grad_()
    total, gradient = projected.new_zeros(()), torch.zeros_like(projected)
    for classes in torch.arange(count, device=projected.device).split(block):
        part = agg_terms(leaf[:, classes], leaf, tau).mean() * len(classes) / count
        gradient += torch.autograd.grad(part, leaf)[0]
        total += part.detach()
    linear = (projected * gradient).sum()  # has this gradient; its value is subtracted
    return total + (linear - linear.detach())
