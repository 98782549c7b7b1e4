"""CuMix-retrieval (after Mancini et al., ECCV 2020): images and features are mixed, and classified by class vectors.

Weights from the option file of SnMpNet's authors: 0.001 for mixed images, 2 for mixed features. Our choices: features
are mixed within a batch with the same Beta and Bernoulli as images, and cosines have no temperature, as SnMpNet's.
"""

import torch
from torch import nn

from cdir_nb.methods.snmpnet.harness import HarnessTraining, baseline
from cdir_nb.methods.snmpnet.losses import mixup_cross_entropy
from cdir_nb.methods.snmpnet.network import Batch, Setup
from cdir_nb.methods.snmpnet.sampling import partners
from cdir_nb.methods.snmpnet.views import MIXED, PLAIN

IMAGE_WEIGHT, FEATURE_WEIGHT = 0.001, 2.0


class CuMixHead(nn.Module):
    views = (PLAIN, MIXED)

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.settings, self.n_domains = setup.settings, len(setup.domains)
        self.register_buffer("semantics", setup.semantics, persistent=False)
        self.feature = nn.Linear(setup.channels, setup.semantics.shape[1])

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        return self.feature(pooled)

    def losses(self, views: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        plain, whole = views[PLAIN], torch.ones_like(batch.ratio)
        other, ratio = self._draw(batch)
        mixed = ratio[:, None] * plain + (1 - ratio[:, None]) * plain[other]
        return {
            "L_CE": self._cross_entropy(plain, batch.labels, batch.labels, whole),
            "L_image": IMAGE_WEIGHT * self._cross_entropy(views[MIXED], *batch.mixed),
            "L_feature": FEATURE_WEIGHT * self._cross_entropy(mixed, batch.labels, batch.labels[other], ratio),
        }

    def _cross_entropy(self, pooled: torch.Tensor, *mixed: torch.Tensor) -> torch.Tensor:
        return mixup_cross_entropy(self.feature(pooled), self.semantics, *mixed)

    def _draw(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) partners in the batch, and (B,) shares."""
        each, s = len(batch.labels) // self.n_domains, self.settings
        other = torch.from_numpy(partners(self.n_domains, each, s.within_domain, batch.rng))
        ratio = torch.from_numpy(batch.rng.beta(s.beta, s.beta, len(other))).to(batch.ratio)
        return other.to(batch.labels), ratio


class CuMixTraining(HarnessTraining):
    head = CuMixHead


CUMIX = baseline("CuMix-retrieval", "Mancini et al., ECCV 2020", CuMixTraining, "class names")
