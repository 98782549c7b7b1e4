"""CLAIR's three contrastive losses against memory banks (section 4.3, equations 4 to 6).

    paper                 here
    x_i                   row i of `x` (B, D): a training image's feature, after Q
    x'_i                  row i of `other_view` (B, D): the feature of a second view of the same image
    m_a, M_A, M_B         rows of `bank.features` (N, D): the momentum encoder's features of all images of a domain
    y_i                   `labels[i]`: the pseudo-label of image i
    P(i)                  rows of the bank whose label is y_i: of the same domain in equation 5, of the other in 6
    tau                   `temperature`

One function per loss. Features are not normalised here: pass unit vectors for cosines (our default; it is unknown
whether the paper does so). The paper averages over a whole domain; here a training step averages over its batch.
"""

import torch

from cdir_nb.methods.memory import Bank

TEMPERATURE = 0.2  # unknown in the paper: our default, UCDIR's


def inter_instance_loss(
    x: torch.Tensor, other_view: torch.Tensor, bank: Bank, temperature: float = TEMPERATURE
) -> torch.Tensor:
    """Scalar L_II of one domain (equation 4):

    -1/B sum_i log( exp(x_i . x'_i / tau) / sum_{a in bank} exp(x_i . m_a / tau) )

    As written in the paper, the denominator does not contain the positive, so the loss may be negative.
    """
    positive = (x * other_view).sum(dim=1) / temperature
    return (_log_denominator(x, bank, temperature) - positive).mean()


def inter_cluster_loss(
    x: torch.Tensor, labels: torch.Tensor, bank: Bank, temperature: float = TEMPERATURE
) -> torch.Tensor:
    """Scalar L_IC of one domain (equation 5): positives are the images of the same class in the same domain.

    -1/B sum_i 1/|P(i)| sum_{p in P(i)} log( exp(x_i . m_p / tau) / sum_{a in bank} exp(x_i . m_a / tau) )

    As written in the paper, P(i) contains i itself: the only positive of a singleton cluster is the image's own memory.
    Rows without a positive are ignored (see `_class_loss`).
    """
    return _class_loss(x, labels, bank, temperature)


def inter_domain_loss(
    x: torch.Tensor, labels: torch.Tensor, other_bank: Bank, temperature: float = TEMPERATURE
) -> torch.Tensor:
    """Scalar L_ID of one domain (equation 6): equation 5 with the bank of the *other* domain.

    Rows whose class does not occur in the other domain are ignored (see `_class_loss`).
    """
    return _class_loss(x, labels, other_bank, temperature)


def equation_5_by_loops(x: torch.Tensor, labels: torch.Tensor, bank: Bank, temperature: float) -> torch.Tensor:
    """Scalar: equation 5 as written, by loops over rows and positives; equation 6 if `bank` is of the other domain.

    Every row needs a positive. `_class_loss` is the fast implementation, which is tested against this function.
    """
    rows = []
    for x_i, y_i in zip(x, labels):
        exponentials = torch.exp(bank.features @ x_i / temperature)
        positives = bank.labels == y_i
        rows.append(torch.log(exponentials[positives] / exponentials.sum()).mean())
    return -torch.stack(rows).mean()


def _class_loss(x: torch.Tensor, labels: torch.Tensor, bank: Bank, temperature: float) -> torch.Tensor:
    """Equations 5 and 6 in time and memory linear in the size of the bank.

    The mean of x . m over a class is x . (mean of m), so a loss needs the similarities (B, N) once, and the K class
    means. For a row without a positive the paper's term is 0 / 0: the mean ignores it, and if no row has a positive,
    the loss is 0 with gradient 0 (our default).
    """
    log_denominator = _log_denominator(x, bank, temperature)
    means, sizes = bank.class_means()
    positive = (x * means[labels]).sum(dim=1) / temperature
    has_positive = sizes[labels] > 0
    rows = (log_denominator - positive) * has_positive
    return rows.sum() / has_positive.sum().clamp(min=1)


def _log_denominator(x: torch.Tensor, bank: Bank, temperature: float) -> torch.Tensor:
    """(B,) log sum_a exp(x_i . m_a / tau) over the whole bank."""
    return torch.logsumexp(x @ bank.features.T / temperature, dim=1)


def both_domains(loss_a: torch.Tensor, loss_b: torch.Tensor) -> torch.Tensor:
    """L = 0.5 (L_A + L_B), the mean over both domains, used for each loss (text before equation 7)."""
    return 0.5 * (loss_a + loss_b)
