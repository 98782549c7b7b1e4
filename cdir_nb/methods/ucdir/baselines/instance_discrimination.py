"""ID: instance discrimination (Wu et al., "Unsupervised feature learning via non-parametric instance discrimination",
CVPR 2018). Made for one domain: both domains are one set of images here.

Other than there: the exact softmax instead of its estimate by noise-contrastive estimation (exact is possible with
thousands of images); the memory holds the momentum encoder's features instead of a running mean of the encoder's own.
"""

import torch
import torch.nn.functional as F

from cdir_nb.methods.ucdir.settings import UcdirConfig
from cdir_nb.methods.ucdir.step import Objective, Step, Terms


def instance_discrimination(q: torch.Tensor, bank: torch.Tensor, ids: torch.Tensor, tau: float) -> torch.Tensor:
    """Scalar (Wu et al., equations 2 and 3): each image is a class of its own, and its memory is that class's weight.

    -1/B sum_i log( exp(q_i . m_i / tau) / sum_a exp(q_i . m_a / tau) );   q (B, D), bank (N, D), ids (B,) rows of it
    """
    return F.cross_entropy(q @ bank.T / tau, ids)


def _terms(step: Step, config: UcdirConfig) -> Terms:
    return {"L_ID": [instance_discrimination(*step.together(), config.tau_id)]}


ID = Objective(_terms, lambda config, epoch: {"L_ID": 1.0})
