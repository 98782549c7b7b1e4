"""Plain cross-entropy: an m-dimensional feature and a linear classifier of seen classes, without mixing."""

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.methods.snmpnet.harness import HarnessTraining, baseline
from cdir_nb.methods.snmpnet.network import Batch, Setup
from cdir_nb.methods.snmpnet.views import PLAIN


class CrossEntropyHead(nn.Module):
    """Ours, as the lower end of the comparison: the feature before the classifier is what is retrieved by."""

    views = (PLAIN,)

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        n_classes, m = setup.semantics.shape
        self.feature, self.classifier = nn.Linear(setup.channels, m), nn.Linear(m, n_classes)

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        return self.feature(pooled)

    def losses(self, views: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        features = self.embed(views[PLAIN], batch.domains)
        return {"L_CE": F.cross_entropy(self.classifier(features), batch.labels)}


class CrossEntropyTraining(HarnessTraining):
    head = CrossEntropyHead


CROSS_ENTROPY = baseline("cross-entropy", "our lower end of the comparison", CrossEntropyTraining)
