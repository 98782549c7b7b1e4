"""CDS (Kim et al., "CDS: cross-domain self-supervised pre-training", ICCV 2021): in-domain instance discrimination, and
cross-domain matching.

Its released code pre-trains for domain adaptation and has no retrieval evaluation. Difference from the released code:
the memory contains the momentum encoder's features instead of a running mean of the encoder's features.
"""

import torch

from cdir_nb.methods.settings import setting
from cdir_nb.methods.ucdir.baselines.instance_discrimination import instance_discrimination
from cdir_nb.methods.ucdir.harness import BOTH, Step, Terms, TwoDomainTraining, method_row
from cdir_nb.methods.ucdir.losses import mean_entropy
from cdir_nb.methods.ucdir.settings import MomentumSettings, named_settings


class CdsSettings(MomentumSettings):
    """Settings of CDS in UCDIR's trainer."""

    method = "CDS"

    tau: float = setting(0.1, "released code, nce-t", gt=0)
    weight_matching: float = setting(1.0, "released code, lambda_value (L_CDM)", ge=0)
    neighbours: int = setting(700, "released code, n_neighbor", ge=1)


def cross_domain_matching(q: torch.Tensor, other_bank: torch.Tensor, tau: float, neighbours: int) -> torch.Tensor:
    """Scalar: the mean entropy of each image's softmax over its nearest images of the other domain.

    -1/B sum_i sum_j p_ij log p_ij,   p_ij = exp(q_i . m_j / tau) / sum_j' exp(q_i . m_j' / tau)
    q (B, D), other_bank (M, D); j runs over the `neighbours` nearest (released code: 700; the paper: all)
    """
    scores = q @ other_bank.T / tau
    if neighbours < len(other_bank):
        scores = scores.topk(neighbours, dim=1).values
    return mean_entropy(scores)


class CdsTraining(TwoDomainTraining):
    """The training of CDS: in-domain instance discrimination and cross-domain matching."""

    settings: CdsSettings

    def terms(self, step: Step) -> Terms:
        s, q, banks = self.settings, step.q, step.banks
        return {
            "L_ID": [instance_discrimination(q[d], banks[d], step.ids[d], s.tau) for d in BOTH],
            "L_CDM": [cross_domain_matching(q[d], banks[1 - d], s.tau, s.neighbours) for d in BOTH],
        }

    def weights(self) -> dict[str, float]:
        """The weights of the losses. As in the released code, L_ID is a mean over domains and L_CDM is a sum."""
        return {"L_ID": 1.0, "L_CDM": 2 * self.settings.weight_matching}


# P@10 at head rates 0.01, 0.03 and 0.1: 33.3, 30.1, 25.4 %
CDS = method_row("CDS", "Kim et al., ICCV 2021", CdsTraining, CdsSettings, named_settings(CdsSettings, head_rate=0.01))
