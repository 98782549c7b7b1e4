"""EISNet-retrieval (after Wang et al., ECCV 2020): cross-entropy, a jigsaw task, and a metric loss with a queue.

SnMpNet's authors put an m-dimensional linear layer into the classification branch and retrieve by its output
(section 5.2). Their option file gives the weights, 31 orders of tiles, the queue, margin 2 and 256 negatives; the
training was never released. Our choices: 30 random orders beside the unchanged one, unit features and squared distances
in the metric loss, and a momentum copy of the feature layer alone, at 0.999.
"""

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.methods.snmpnet.baselines.queue import FeatureQueue
from cdir_nb.methods.snmpnet.harness import HarnessTraining, baseline
from cdir_nb.methods.snmpnet.network import Batch, Setup
from cdir_nb.methods.snmpnet.views import JIGSAW, ORDERS, PLAIN

JIGSAW_WEIGHT, METRIC_WEIGHT = 0.7, 0.5
MARGIN, NEGATIVES, MOMENTUM = 2.0, 256, 0.999


class EisNetHead(nn.Module):
    views = (PLAIN, JIGSAW)

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        n_classes, m = setup.semantics.shape
        self.feature, self.classifier = nn.Linear(setup.channels, m), nn.Linear(m, n_classes)
        self.jigsaw, self.queue = nn.Linear(setup.channels, len(ORDERS)), FeatureQueue(m)
        self.register_buffer("slow_weight", self.feature.weight.detach().clone())
        self.register_buffer("slow_bias", self.feature.bias.detach().clone())

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        return self.feature(pooled)

    def losses(self, views: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        features = self.feature(views[PLAIN])
        self._remember(views[PLAIN], batch)
        metric = self.queue.triplet(F.normalize(features, dim=1), batch.labels, MARGIN, NEGATIVES)
        return {
            "L_CE": F.cross_entropy(self.classifier(features), batch.labels),
            "L_jigsaw": JIGSAW_WEIGHT * F.cross_entropy(self.jigsaw(views[JIGSAW]), batch.shuffles),
            "L_metric": METRIC_WEIGHT * metric,
        }

    @torch.no_grad()
    def _remember(self, pooled: torch.Tensor, batch: Batch) -> None:
        """Move the momentum copy, and put its features of the batch into the queue."""
        self.slow_weight.lerp_(self.feature.weight, 1 - MOMENTUM)
        self.slow_bias.lerp_(self.feature.bias, 1 - MOMENTUM)
        slow = F.linear(pooled, self.slow_weight, self.slow_bias)
        self.queue.add(F.normalize(slow, dim=1), batch.labels, batch.domains)


class EisNetTraining(HarnessTraining):
    head = EisNetHead


EISNET = baseline("EISNet-retrieval", "Wang et al., ECCV 2020", EisNetTraining)
