"""CuMix-retrieval (after Mancini et al., ECCV 2020): images and features are mixed, and classified by class vectors.

The weights are from the option file of SnMpNet's authors: 0.001 for mixed images, 2 for mixed features. Our choices:
features are mixed within a batch with the same Beta and Bernoulli as images, and cosines have no temperature, as in
SnMpNet.
"""

import torch

from cdir_nb.methods.snmpnet.harness import HarnessTraining, method_row
from cdir_nb.methods.snmpnet.losses import mixup_cross_entropy
from cdir_nb.methods.snmpnet.network import Batch, LinearHead, Setup
from cdir_nb.methods.snmpnet.sampling import partners
from cdir_nb.methods.snmpnet.views import MIXED, PLAIN

IMAGE_WEIGHT, FEATURE_WEIGHT = 0.001, 2.0


class CuMixHead(LinearHead):
    views = (PLAIN, MIXED)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.settings, self.n_domains = setup.settings, len(setup.domains)

    def losses(self, pooled: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        plain, labels, a = pooled[PLAIN], batch.labels, self.semantics
        partner, ratio = self._draw(batch)
        mixed = ratio[:, None] * plain + (1 - ratio[:, None]) * plain[partner]
        return {
            "L_CE": mixup_cross_entropy(self.feature(plain), a, labels, labels, torch.ones_like(batch.ratio)),
            "L_image": IMAGE_WEIGHT * mixup_cross_entropy(self.feature(pooled[MIXED]), a, *batch.mixed),
            "L_feature": FEATURE_WEIGHT * mixup_cross_entropy(self.feature(mixed), a, labels, labels[partner], ratio),
        }

    def _draw(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) partners in the batch, and (B,) ratios."""
        per_domain, s = len(batch.labels) // self.n_domains, self.settings
        partner = torch.from_numpy(partners(self.n_domains, per_domain, s.within_domain, batch.rng))
        ratio = torch.from_numpy(batch.rng.beta(s.beta, s.beta, len(partner)))
        return partner.to(batch.labels), ratio.to(batch.ratio)


class CuMixTraining(HarnessTraining):
    head = CuMixHead


CUMIX = method_row("CuMix-retrieval", "Mancini et al., ECCV 2020", CuMixTraining, "class names")
