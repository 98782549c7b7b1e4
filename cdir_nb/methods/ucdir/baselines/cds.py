"""CDS (Kim et al., "CDS: cross-domain self-supervised pre-training", ICCV 2021): in-domain instance discrimination, and
cross-domain matching.

Its released code pre-trains for domain adaptation and has no retrieval evaluation. Other than there: the memory holds
the momentum encoder's features instead of a running mean of the encoder's own.
"""

import torch

from cdir_nb.methods.ucdir.baselines.instance_discrimination import instance_discrimination
from cdir_nb.methods.ucdir.settings import UcdirConfig
from cdir_nb.methods.ucdir.step import BOTH, Objective, Step, Terms


def cross_domain_matching(q: torch.Tensor, other_bank: torch.Tensor, tau: float, neighbours: int) -> torch.Tensor:
    """Scalar: the mean entropy of an image's softmax over its nearest images of the other domain.

    -1/B sum_i sum_j p_ij log p_ij,   p_ij = exp(q_i . m_j / tau) / sum_j' exp(q_i . m_j' / tau)
    q (B, D), other_bank (M, D); j runs over the `neighbours` nearest (released code: 700; the paper: all)
    """
    scores = q @ other_bank.T / tau
    if neighbours < len(other_bank):
        scores = scores.topk(neighbours, dim=1).values
    log_p = scores.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()


def _terms(step: Step, config: UcdirConfig) -> Terms:
    return {
        "L_ID": [instance_discrimination(step.q[d], step.banks[d], step.ids[d], config.tau_cds) for d in BOTH],
        "L_CDM": [
            cross_domain_matching(step.q[d], step.banks[1 - d], config.tau_cds, config.neighbours_cds) for d in BOTH
        ],
    }


# the released code averages L_ID over the two domains, and adds L_CDM up
CDS = Objective(_terms, lambda config, epoch: {"L_ID": 1.0, "L_CDM": 2 * config.lambda_cds})
