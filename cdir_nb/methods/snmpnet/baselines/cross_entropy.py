"""Plain cross-entropy: an m-dimensional feature and a linear classifier of seen classes, without mixing.

Our addition, as the lower end of the comparison; retrieval uses the feature before the classifier.
"""

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.methods.snmpnet.harness import HarnessTraining, method_row
from cdir_nb.methods.snmpnet.network import Batch, LinearHead, Setup
from cdir_nb.methods.snmpnet.views import PLAIN


class CrossEntropyHead(LinearHead):
    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        n_classes, m = setup.semantics.shape
        self.classifier = nn.Linear(m, n_classes)

    def losses(self, pooled: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        return {"L_CE": F.cross_entropy(self.classifier(self.feature(pooled[PLAIN])), batch.labels)}


class CrossEntropyTraining(HarnessTraining):
    head = CrossEntropyHead


CROSS_ENTROPY = method_row("cross-entropy", "our lower end of the comparison", CrossEntropyTraining)
