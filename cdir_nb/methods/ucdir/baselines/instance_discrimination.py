"""ID: instance discrimination (Wu et al., "Unsupervised feature learning via non-parametric instance discrimination",
CVPR 2018). It was designed for one domain: here both domains form one set of images.

Differences from the paper: the exact softmax instead of its estimate by noise-contrastive estimation (exact is possible
with thousands of images); the memory contains the momentum encoder's features instead of a running mean of the
encoder's features.
"""

import torch
import torch.nn.functional as F

from cdir_nb.methods.settings import setting
from cdir_nb.methods.ucdir.harness import Step, Terms, TwoDomainTraining, method_row
from cdir_nb.methods.ucdir.settings import MomentumSettings, named_settings


class IdSettings(MomentumSettings):
    """Settings of instance discrimination in UCDIR's trainer."""

    method = "ID"

    tau: float = setting(0.07, "Wu et al. 2018, section 3.1", gt=0)


def instance_discrimination(q: torch.Tensor, bank: torch.Tensor, ids: torch.Tensor, tau: float) -> torch.Tensor:
    """Scalar (Wu et al., equations 2 and 3): each image is a class, whose weight vector is its memory entry.

    -1/B sum_i log( exp(q_i . m_i / tau) / sum_a exp(q_i . m_a / tau) )
    q (B, D), bank (N, D), ids (B,) rows of `bank`
    In `instance_wise` (UCDIR, equation 1), the positive is the key instead of the entry of the bank.
    """
    return F.cross_entropy(q @ bank.T / tau, ids)


class IdTraining(TwoDomainTraining):
    """Instance discrimination on the images of both domains together."""

    settings: IdSettings

    def terms(self, step: Step) -> Terms:
        q, bank, ids = step.together()
        return {"L_ID": [instance_discrimination(q, bank, ids, self.settings.tau)]}


# P@10 at head rates 0.01, 0.03, 0.1 and 0.3: 36.1, 38.8, 41.8, 40.9 %
ID = method_row("ID", "Wu et al., CVPR 2018", IdTraining, IdSettings, named_settings(IdSettings, head_rate=0.1))
