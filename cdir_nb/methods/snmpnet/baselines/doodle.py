"""Doodle-to-Search as one network (after Dey et al., CVPR 2019; SnMpNet, section 5.1), with and without domain label.

Losses of the original, each with weight 1: triplets, class vectors predicted from the feature, and a discriminator of
domains whose gradient is reversed (factor 0.5; Table 1's "w/o Label" leaves it out). Our choices: triplets from a queue
of recent features (margin 1, the nearest negative), one hidden layer before the class vector, unit features.
"""

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.methods.snmpnet.baselines.queue import FeatureQueue
from cdir_nb.methods.snmpnet.harness import HarnessTraining, method_row
from cdir_nb.methods.snmpnet.network import Batch, LinearHead, Setup
from cdir_nb.methods.snmpnet.views import PLAIN

MARGIN, REVERSAL = 1.0, 0.5


class DoodleHead(LinearHead):
    """The head of Doodle-to-Search. `label`: whether it learns from domain labels; if not, `discriminator` is None."""

    def __init__(self, setup: Setup, label: bool = True) -> None:
        super().__init__(setup)
        m = setup.semantics.shape[1]
        self.queue = FeatureQueue(m)
        self.decoder = nn.Sequential(nn.Linear(m, m), nn.ReLU(), nn.Linear(m, m))
        self.discriminator = nn.Linear(m, len(setup.domains)) if label else None

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.feature(pooled), dim=1)

    def losses(self, pooled: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        features = self.embed(pooled[PLAIN], batch.domains)
        target = self.semantics[batch.labels]
        losses = {
            "L_triplet": self.queue.triplet(features, batch.labels, MARGIN, 1),
            "L_semantic": (1 - F.cosine_similarity(self.decoder(features), target)).mean(),
        }
        if self.discriminator is not None:
            reversed_features = GradientReversal.apply(features)
            losses["L_domain"] = F.cross_entropy(self.discriminator(reversed_features), batch.domains)
        self.queue.add(features, batch.labels, batch.domains)
        return losses


class GradientReversal(torch.autograd.Function):
    """The identity function; its gradient is multiplied by -REVERSAL."""

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        """`x`, unchanged."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient with the opposite sign."""
        return -REVERSAL * gradient


class DoodleTraining(HarnessTraining):
    head = DoodleHead


class DoodleWithoutLabelTraining(HarnessTraining):
    """The row "w/o Label" of Table 1: Doodle-to-Search without domain labels."""

    head, head_options = DoodleHead, {"label": False}


PAPER = "Dey et al., CVPR 2019"
DOODLE = method_row("Doodle-to-Search", PAPER, DoodleTraining, "class names")
DOODLE_WITHOUT_LABEL = method_row("Doodle-to-Search w/o label", PAPER, DoodleWithoutLabelTraining, "class names")
