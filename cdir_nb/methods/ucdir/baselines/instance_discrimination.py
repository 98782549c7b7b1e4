"""ID: instance discrimination (Wu et al., "Unsupervised feature learning via non-parametric instance discrimination",
CVPR 2018). Made for one domain: both domains are one set of images here.

Other than there: the exact softmax instead of its estimate by noise-contrastive estimation (exact is possible with
thousands of images); the memory holds the momentum encoder's features instead of a running mean of the encoder's own.
"""

import torch
import torch.nn.functional as F

from cdir_nb.methods.method import PAIR, Method
from cdir_nb.methods.settings import setting
from cdir_nb.methods.ucdir.harness import (
    BY_ENCODER,
    SOURCES,
    MomentumSettings,
    Step,
    Terms,
    TwoDomainTraining,
    named_settings,
)


class IdSettings(MomentumSettings):
    """Settings of instance discrimination in UCDIR's harness."""

    method = "ID"
    sources = SOURCES

    tau: float = setting(0.07, "Wu et al. 2018, section 3.1", gt=0)


def instance_discrimination(q: torch.Tensor, bank: torch.Tensor, ids: torch.Tensor, tau: float) -> torch.Tensor:
    """Scalar (Wu et al., equations 2 and 3): each image is a class of its own, and its memory is that class's weight.

    -1/B sum_i log( exp(q_i . m_i / tau) / sum_a exp(q_i . m_a / tau) );   q (B, D), bank (N, D), ids (B,) rows of it
    """
    return F.cross_entropy(q @ bank.T / tau, ids)


class IdTraining(TwoDomainTraining):
    """Instance discrimination on the images of both domains together."""

    settings: IdSettings

    def terms(self, step: Step) -> Terms:
        return {"L_ID": [instance_discrimination(*step.together(), self.settings.tau)]}


ID = Method(
    name="ID",
    paper="Wu et al., CVPR 2018",
    build=IdTraining,
    settings=IdSettings,
    learns_from=("images",),
    fitted_for=PAIR,
    named=named_settings(IdSettings, head_rate=0.1),  # P@10 at 0.01, 0.03, 0.1 and 0.3: 36.1, 38.8, 41.8, 40.9 %
    for_encoder=BY_ENCODER,
)
