"""The losses of SnMpNet (Paul, Dutta and Biswas, ICCV 2021). Each is a mean over the batch, where the paper has a sum.

A mixed image (equation 3) is `ratio` of one image and `1 - ratio` of another, from the same domain or another one.
"""

import torch
import torch.nn.functional as F


def semantic_neighbourhood(
    features: torch.Tensor, mixed_semantics: torch.Tensor, semantics: torch.Tensor, kappa: float
) -> torch.Tensor:
    """L_Sn: a feature is to lie as far from each class vector as its own class vector does.

    Equation 1:  w . |D - D_gt|^2,   D_j = |f - a^j|,   D_gt,j = |a~ - a^j|
    Equation 2:  w_j = exp(-kappa D_gt,j / max_k D_gt,k)
    features (B, m); mixed_semantics (B, m), a~ of equation 9; semantics (C, m), the class vectors a. A mean over batch
    and classes, with weights from a~ (released code; the paper computes them from one class).
    """
    wanted = distances(mixed_semantics, semantics)
    weight = torch.exp(-kappa * wanted / wanted.amax(1, keepdim=True).clamp_min(torch.finfo(wanted.dtype).tiny))
    return (weight * (distances(features, semantics) - wanted).square()).mean()


def mixup_cross_entropy(
    features: torch.Tensor,
    semantics: torch.Tensor,
    labels: torch.Tensor,
    other_labels: torch.Tensor,
    ratio: torch.Tensor,
) -> torch.Tensor:
    """L_CE^mix: the class of a mixed image, told by the cosine of its feature with each class vector.

    Equation 6:  s_j = exp(cos(f, a^j)) / sum_t exp(cos(f, a^t))      (no temperature)
    Equations 7, 8:  -ratio log s_labels - (1 - ratio) log s_other_labels
    features (B, m); semantics (C, m); labels, other_labels (B,) int64; ratio (B,). With `ratio` 1, equation 7 alone.
    """
    return mixture_prediction(cosines(features, semantics), labels, other_labels, ratio)


def mixture_prediction(
    logits: torch.Tensor, labels: torch.Tensor, other_labels: torch.Tensor, ratio: torch.Tensor
) -> torch.Tensor:
    """L_Mp: predict the shares of the classes in a mixed image, whatever its domains.

    Equation 4:  Prob(class j) = exp(l_j) / sum_t exp(l_t)
    Equation 5:  -sum_t I_t log Prob(class t),   I = `mixture`
    logits (B, C); labels, other_labels (B,) int64; ratio (B,) the share of the first.
    """
    return F.cross_entropy(logits, mixture(labels, other_labels, ratio.to(logits), logits.shape[1]))


def mixture(labels: torch.Tensor, other_labels: torch.Tensor, ratio: torch.Tensor, n_classes: int) -> torch.Tensor:
    """(B, C) the soft label I of equation 5: `ratio` for the first class, the rest for the other; rows sum to 1."""
    first, other = (F.one_hot(x, n_classes).to(ratio) for x in (labels, other_labels))
    return ratio[:, None] * first + (1 - ratio[:, None]) * other


def mixed_semantics(
    semantics: torch.Tensor, labels: torch.Tensor, other_labels: torch.Tensor, ratio: torch.Tensor
) -> torch.Tensor:
    """(B, m) equation 9: a~ = ratio a^labels + (1 - ratio) a^other_labels."""
    return mixture(labels, other_labels, ratio.to(semantics), len(semantics)) @ semantics


def distances(x: torch.Tensor, semantics: torch.Tensor) -> torch.Tensor:
    """(B, C) Euclidean distances; not by a matrix product, which loses digits where two points are near."""
    return torch.cdist(x, semantics, compute_mode="donot_use_mm_for_euclid_dist")


def cosines(x: torch.Tensor, semantics: torch.Tensor) -> torch.Tensor:
    """(B, m) and (C, m) -> (B, C) cosines."""
    return F.normalize(x, dim=1) @ F.normalize(semantics, dim=1).T
