"""EISNet-retrieval (after Wang et al., ECCV 2020): cross-entropy, a jigsaw task, and a metric loss with a queue.

SnMpNet's authors added an m-dimensional linear layer to the classification branch, and use its output for retrieval
(section 5.2). Their option file gives the weights, 31 orders of tiles, the queue, margin 2 and 256 negatives; the
training code was not released. Our choices: 30 random orders beside the unchanged one, unit features and squared
distances in the metric loss, and a momentum copy of the feature layer only, at 0.999.
"""

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.methods.snmpnet.baselines.queue import FeatureQueue
from cdir_nb.methods.snmpnet.harness import HarnessTraining, method_row
from cdir_nb.methods.snmpnet.network import Batch, LinearHead, Setup
from cdir_nb.methods.snmpnet.views import JIGSAW, ORDERS, PLAIN

JIGSAW_WEIGHT, METRIC_WEIGHT = 0.7, 0.5
MARGIN, NEGATIVES, MOMENTUM = 2.0, 256, 0.999


class EisNetHead(LinearHead):
    views = (PLAIN, JIGSAW)
    slow_weight: torch.Tensor
    slow_bias: torch.Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        n_classes, m = setup.semantics.shape
        self.classifier = nn.Linear(m, n_classes)
        self.jigsaw, self.queue = nn.Linear(setup.channels, len(ORDERS)), FeatureQueue(m)
        self.register_buffer("slow_weight", self.feature.weight.detach().clone())
        self.register_buffer("slow_bias", self.feature.bias.detach().clone())

    def losses(self, pooled: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        features = self.feature(pooled[PLAIN])
        self._remember(pooled[PLAIN], batch)
        metric = self.queue.triplet(F.normalize(features, dim=1), batch.labels, MARGIN, NEGATIVES)
        return {
            "L_CE": F.cross_entropy(self.classifier(features), batch.labels),
            "L_jigsaw": JIGSAW_WEIGHT * F.cross_entropy(self.jigsaw(pooled[JIGSAW]), batch.shuffles),
            "L_metric": METRIC_WEIGHT * metric,
        }

    @torch.no_grad()
    def _remember(self, pooled: torch.Tensor, batch: Batch) -> None:
        """Update the momentum copy, and add its features of the batch to the queue."""
        self.slow_weight.lerp_(self.feature.weight, 1 - MOMENTUM)
        self.slow_bias.lerp_(self.feature.bias, 1 - MOMENTUM)
        slow = F.linear(pooled, self.slow_weight, self.slow_bias)
        self.queue.add(F.normalize(slow, dim=1), batch.labels, batch.domains)


class EisNetTraining(HarnessTraining):
    head = EisNetHead


EISNET = method_row("EISNet-retrieval", "Wang et al., ECCV 2020", EisNetTraining)
