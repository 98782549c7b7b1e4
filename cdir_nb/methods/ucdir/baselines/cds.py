"""CDS (Kim et al., "CDS: cross-domain self-supervised pre-training", ICCV 2021): in-domain instance discrimination, and
cross-domain matching.

Its released code pre-trains for domain adaptation and has no retrieval evaluation. Other than there: the memory holds
the momentum encoder's features instead of a running mean of the encoder's own.
"""

import torch

from cdir_nb.methods.method import PAIR, Method
from cdir_nb.methods.settings import setting
from cdir_nb.methods.ucdir.baselines.instance_discrimination import instance_discrimination
from cdir_nb.methods.ucdir.harness import (
    BOTH,
    BY_ENCODER,
    SOURCES,
    MomentumSettings,
    Step,
    Terms,
    TwoDomainTraining,
    named_settings,
)


class CdsSettings(MomentumSettings):
    """Settings of CDS in UCDIR's harness."""

    method = "CDS"
    sources = SOURCES

    tau: float = setting(0.1, "released code, nce-t", gt=0)
    weight_matching: float = setting(1.0, "released code, lambda_value (L_CDM)", ge=0)
    neighbours: int = setting(700, "released code, n_neighbor", ge=1)


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


class CdsTraining(TwoDomainTraining):
    """In-domain instance discrimination and cross-domain matching."""

    settings: CdsSettings

    def terms(self, step: Step) -> Terms:
        s, q, banks = self.settings, step.q, step.banks
        return {
            "L_ID": [instance_discrimination(q[d], banks[d], step.ids[d], s.tau) for d in BOTH],
            "L_CDM": [cross_domain_matching(q[d], banks[1 - d], s.tau, s.neighbours) for d in BOTH],
        }

    def weights(self) -> dict[str, float]:
        """The released code averages L_ID over the two domains, and adds L_CDM up."""
        return {"L_ID": 1.0, "L_CDM": 2 * self.settings.weight_matching}


CDS = Method(
    name="CDS",
    paper="Kim et al., ICCV 2021",
    build=CdsTraining,
    settings=CdsSettings,
    learns_from=("images",),
    fitted_for=PAIR,
    named=named_settings(CdsSettings, head_rate=0.01),  # P@10 at 0.01, 0.03 and 0.1: 33.3, 30.1, 25.4 %
    for_encoder=BY_ENCODER,
)
