"""SnMpNet's head: the mixture-prediction layer, the semantic layer, and the total loss (equation 10)."""

import torch
from torch import nn

from cdir_nb.methods.snmpnet.losses import (
    mixed_semantics,
    mixture_prediction,
    mixup_cross_entropy,
    semantic_neighbourhood,
)
from cdir_nb.methods.snmpnet.network import Batch, Setup
from cdir_nb.methods.snmpnet.views import MIXED, PLAIN


class SnMpNetHead(nn.Module):
    """theta_Mp: (B, C) -> class logits, and theta_Sn: -> (B, m), a point in the space of the class vectors.

    Chained (paper, section 4): theta_Sn reads the logits. Parallel (released code): it reads the pooled feature.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        (n_classes, m), config = setup.semantics.shape, setup.config
        self.config, self.views = config, (MIXED if config.mix else PLAIN,)
        self.register_buffer("semantics", setup.semantics, persistent=False)
        self.mixture_layer = nn.Linear(setup.channels, n_classes)
        self.semantic_layer = nn.Linear(n_classes if config.chained else setup.channels, m)

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        return self.semantic_layer(self.mixture_layer(pooled) if self.config.chained else pooled)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Equation 10: L = L_CE^mix + gamma_1 L_Mp + gamma_2 L_Sn."""
        pooled, c = batch.pooled[self.views[0]], self.config
        features = self.embed(pooled, batch.domains)
        losses = {"L_CE": mixup_cross_entropy(features, self.semantics, *batch.mixed)}
        if c.weight_mp:
            losses["L_Mp"] = c.weight_mp * mixture_prediction(self.mixture_layer(pooled), *batch.mixed)
        if c.weight_sn:
            wanted = mixed_semantics(self.semantics, *batch.mixed)
            losses["L_Sn"] = c.weight_sn * semantic_neighbourhood(features, wanted, self.semantics, c.kappa)
        return losses
