"""SnMpNet (Paul, Dutta and Biswas, ICCV 2021): its settings, its head, and its training in the harness.

A backbone with soft attention maps an image of any domain close to the vector of its class. It is trained on mixtures
of two images, from one or two domains, and predicts the fraction of each class in a mixture.
"""

from typing import cast

import torch
from torch import nn

from cdir_nb.methods.settings import setting
from cdir_nb.methods.snmpnet import losses
from cdir_nb.methods.snmpnet.harness import HarnessTraining, method_row
from cdir_nb.methods.snmpnet.network import Batch, Head, Setup
from cdir_nb.methods.snmpnet.settings import HarnessSettings
from cdir_nb.methods.snmpnet.views import MIXED, PLAIN


class SnMpNetSettings(HarnessSettings):
    """Settings of SnMpNet: the harness's settings, and those of its losses. Defaults are the paper's values."""

    kappa: float = setting(1.0, "paper, section 4.4: 1 or 2; released code: 2 on Sketchy's 21 classes, else 1", ge=0)
    weight_mp: float = setting(
        1.0, "paper, section 4.4: gamma_1 is 0.5 or 1; released code: 0.5 on Sketchy's 21 classes, else 1", ge=0
    )
    weight_sn: float = setting(1.0, "paper, section 4.4: gamma_2 = 1", ge=0)
    chained: bool = setting(
        True, "paper, section 4: the semantic layer follows the mixture-prediction layer; released code: parallel"
    )


class SnMpNetHead(Head):
    """The head of SnMpNet: theta_Mp returns class logits (B, K), theta_Sn a point (B, m) in the space of class vectors.

    Chained (paper, section 4): theta_Sn is applied to the logits. Parallel (released code): to the pooled feature.
    """

    settings: SnMpNetSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        (n_classes, m), settings = setup.semantics.shape, cast(SnMpNetSettings, setup.settings)
        self.settings, self.views = settings, (MIXED if settings.mix else PLAIN,)
        self.mixture_layer = nn.Linear(setup.channels, n_classes)
        self.semantic_layer = nn.Linear(n_classes if settings.chained else setup.channels, m)

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        return self.semantic_layer(self.mixture_layer(pooled) if self.settings.chained else pooled)

    def losses(self, pooled: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        """Equation 10: L = L_CE^mix + gamma_1 L_Mp + gamma_2 L_Sn."""
        g, a, s = pooled[self.views[0]], self.semantics, self.settings
        f = self.embed(g, batch.domains)
        terms = {"L_CE": losses.mixup_cross_entropy(f, a, *batch.mixed)}
        if s.weight_mp:
            terms["L_Mp"] = s.weight_mp * losses.mixture_prediction(self.mixture_layer(g), *batch.mixed)
        if s.weight_sn:
            mixed = losses.mixed_semantics(a, *batch.mixed)
            terms["L_Sn"] = s.weight_sn * losses.semantic_neighbourhood(f, mixed, a, s.kappa)
        return terms


class SnMpNetTraining(HarnessTraining):
    """The training of SnMpNet, or of its base network with some of the losses."""

    head = SnMpNetHead
    settings: SnMpNetSettings


_BASE = {"mix": False, "weight_mp": 0.0, "weight_sn": 0.0}
SNMPNET = method_row(
    "SnMpNet",
    "Paul, Dutta and Biswas, ICCV 2021",
    SnMpNetTraining,
    "class names",
    settings=SnMpNetSettings,
    released={"chained": False},
    variants={  # Table 5
        "Base N/W": _BASE,
        "Base N/W + L_Sn (κ = 0)": {**_BASE, "weight_sn": 1.0, "kappa": 0.0},
        "Base N/W + L_Sn (κ = 2)": {**_BASE, "weight_sn": 1.0, "kappa": 2.0},
        "Base N/W + L_CE^mix": {"weight_mp": 0.0, "weight_sn": 0.0},
        "Base N/W + L_CE^mix + L_Mp": {"weight_sn": 0.0},
    },
)
