"""CLAIR's three contrastive losses against memory banks (section 4.3, equations 4 to 6).

One function a loss. Features are used as they come: pass unit vectors for cosines (whether the paper does is
unknown; our default). The paper averages over a whole domain, a step here over its batch.

Time and memory are linear in the bank. All members of a class share one positive term, since the mean of x.m over
a class is x . (mean of m): so a loss needs the similarities (B, N) once, and the K class means of the bank.
"""

from collections.abc import Sequence

import torch

from cdir_nb.errors import CdirError
from cdir_nb.methods.memory import Bank

TEMPERATURE = 0.2  # unknown in the paper: our default, UCDIR's


def inter_instance_loss(
    x: torch.Tensor, other_view: torch.Tensor, bank: Bank, temperature: float = TEMPERATURE
) -> torch.Tensor:
    """Scalar L_II of one domain (equation 4):

    -1/B sum_i log( exp(x_i . x'_i / tau) / sum_{a in bank} exp(x_i . m_a / tau) )

    x, other_view  (B, D) two augmentations of the same images, both of the trained encoder
    As written, the positive is no term of the denominator, so that the loss may be negative.
    """
    positive = (x * other_view).sum(dim=1) / temperature
    return (_log_denominator(x, bank, temperature) - positive).mean()


def inter_cluster_loss(
    x: torch.Tensor, labels: torch.Tensor, bank: Bank, temperature: float = TEMPERATURE
) -> torch.Tensor:
    """Scalar L_IC of one domain (equation 5): positives are the images of the same class in the own bank.

    -1/B sum_i 1/|P(i)| sum_{p in P(i)} log( exp(x_i . m_p / tau) / sum_{a in bank} exp(x_i . m_a / tau) )

    x  (B, D), labels  (B,) the rows' classes. As written P(i) holds i itself: the only member of a cluster has
    its own memory as positive. A row without any positive is left out (see `_class_loss`).
    """
    return _class_loss(x, labels, bank, temperature)


def inter_domain_loss(
    x: torch.Tensor, labels: torch.Tensor, other_bank: Bank, temperature: float = TEMPERATURE
) -> torch.Tensor:
    """Scalar L_ID of one domain (equation 6): as equation 5, with the bank of the *other* domain.

    A row whose class is absent from the other domain is left out (see `_class_loss`).
    """
    return _class_loss(x, labels, other_bank, temperature)


def both_domains(loss_a: torch.Tensor, loss_b: torch.Tensor) -> torch.Tensor:
    """L = 0.5 (L_A + L_B), as for each of the losses (before equation 7)."""
    return 0.5 * (loss_a + loss_b)


def total_loss(losses: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Equation 7: the weighted sum of L_KL, L_II, L_IC, L_ID. The paper's weights are unknown (our default: 1 each)."""
    if len(losses) != len(weights):
        raise CdirError(f"{len(losses)} losses for {len(weights)} weights: give one a loss")
    return sum(weight * loss for weight, loss in zip(weights, losses))


def _class_loss(x: torch.Tensor, labels: torch.Tensor, bank: Bank, temperature: float) -> torch.Tensor:
    """Mean over rows of log-denominator - mean positive. A row with no positive has no defined loss (0 / 0 in the
    paper) and stays out of the mean; where that holds for all rows, the loss is 0 with gradient 0 (our default)."""
    if labels.shape != x.shape[:1]:
        raise CdirError(f"{len(labels)} labels for {len(x)} features: give one a row")
    log_denominator = _log_denominator(x, bank, temperature)
    means, sizes = bank.class_means()
    positive = (x * means[labels]).sum(dim=1) / temperature
    has_positive = sizes[labels] > 0
    each = (log_denominator - positive) * has_positive
    return each.sum() / has_positive.sum().clamp(min=1)


def _log_denominator(x: torch.Tensor, bank: Bank, temperature: float) -> torch.Tensor:
    """(B,) log sum_a exp(x_i . m_a / tau) over the whole bank."""
    if x.ndim != 2 or x.shape[1] != bank.features.shape[1]:
        raise CdirError(
            f"features {tuple(x.shape)} do not fit a bank of {bank.features.shape[1]} dimensions: "
            "use the same encoder for both"
        )
    if not temperature > 0:
        raise CdirError(f"temperature is {temperature}: give a positive number, such as {TEMPERATURE}")
    return torch.logsumexp(x @ bank.features.T / temperature, dim=1)
