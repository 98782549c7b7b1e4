"""CLAIR's three contrastive losses against memory banks (section 4.3, equations 4 to 6).

One function per loss. Features are not normalised here: pass unit vectors for cosines (our default; whether the paper
does so is unknown). The paper averages over a whole domain; here a training step averages over its batch.

Time and memory are linear in the size of the bank. All members of a class share one positive term, since the mean of
x . m over a class is x . (mean of m): a loss needs the similarities (B, N) once, and the K class means of the bank.
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

    x, other_view  (B, D) features of two augmentations of the same images, both from the trained encoder
    As written in the paper, the denominator does not contain the positive, so the loss may be negative.
    """
    positive = (x * other_view).sum(dim=1) / temperature
    return (_log_denominator(x, bank, temperature) - positive).mean()


def inter_cluster_loss(
    x: torch.Tensor, labels: torch.Tensor, bank: Bank, temperature: float = TEMPERATURE
) -> torch.Tensor:
    """Scalar L_IC of one domain (equation 5): positives are the images of the same class in the same domain.

    -1/B sum_i 1/|P(i)| sum_{p in P(i)} log( exp(x_i . m_p / tau) / sum_{a in bank} exp(x_i . m_a / tau) )

    x  (B, D); labels  (B,) their classes. As written in the paper, P(i) contains i itself: for the only member of a
    cluster, the positive is its own memory. Rows without a positive are ignored (see `_class_loss`).
    """
    return _class_loss(x, labels, bank, temperature)


def inter_domain_loss(
    x: torch.Tensor, labels: torch.Tensor, other_bank: Bank, temperature: float = TEMPERATURE
) -> torch.Tensor:
    """Scalar L_ID of one domain (equation 6): as equation 5, but with the bank of the *other* domain.

    Rows whose class does not occur in the other domain are ignored (see `_class_loss`).
    """
    return _class_loss(x, labels, other_bank, temperature)


def both_domains(loss_a: torch.Tensor, loss_b: torch.Tensor) -> torch.Tensor:
    """L = 0.5 (L_A + L_B), the mean over both domains, used for each loss (text before equation 7)."""
    return 0.5 * (loss_a + loss_b)


def total_loss(losses: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Equation 7: the weighted sum of L_KL, L_II, L_IC, L_ID. The paper's weights are unknown (our default: 1 each)."""
    if len(losses) != len(weights):
        raise CdirError(f"{len(losses)} losses for {len(weights)} weights: expected one weight per loss")
    return sum(weight * loss for weight, loss in zip(weights, losses))


def _class_loss(x: torch.Tensor, labels: torch.Tensor, bank: Bank, temperature: float) -> torch.Tensor:
    """Mean over rows of (log-denominator - mean positive). The loss of a row without a positive is undefined (0 / 0 in
    the paper), so the mean ignores it; if no row has a positive, the loss is 0 with gradient 0 (our default)."""
    if labels.shape != x.shape[:1]:
        raise CdirError(f"{len(labels)} labels for {len(x)} features: expected one label per row")
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
            f"features {tuple(x.shape)} do not match a memory bank of {bank.features.shape[1]} dimensions: "
            "use the same encoder for both"
        )
    if not temperature > 0:
        raise CdirError(f"temperature is {temperature}: give a positive number, such as {TEMPERATURE}")
    return torch.logsumexp(x @ bank.features.T / temperature, dim=1)
