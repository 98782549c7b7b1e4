"""The losses of SnMpNet (Paul, Dutta and Biswas, ICCV 2021). Each loss is a mean over the batch; the paper has sums.

A mixed image (equation 3) is `ratio` times an image plus `1 - ratio` times another, of the same or another domain.

paper         variable              shape   meaning
f             features              (B, m)  output of the semantic layer, compared with class vectors
a^j           semantics             (C, m)  class vectors
l             logits                (B, C)  output of the mixture-prediction layer
alpha         ratio                 (B,)    fraction of the first image in a mixture; 1: a plain image
y, y'         labels, other_labels  (B,)    int64 classes of the two images
a~            mixed_semantics       (B, m)  equation 9
D, D_gt       `distances`           (B, C)  of f, and of a~, from each class vector
kappa         kappa                         sharpness of the weights in equation 2
"""

import torch
import torch.nn.functional as F


def semantic_neighbourhood(
    features: torch.Tensor, mixed_semantics: torch.Tensor, semantics: torch.Tensor, kappa: float
) -> torch.Tensor:
    """L_Sn: a feature should have the same distances from all class vectors as the vector of its own class.

    Equation 1:  w . |D - D_gt|^2,   D_j = |f - a^j|,   D_gt,j = |a~ - a^j|
    Equation 2:  w_j = exp(-kappa D_gt,j / max_k D_gt,k)
    The mean is over batch and classes. Weights are computed from a~ (released code; the paper uses a single class).
    """
    target = distances(mixed_semantics, semantics)
    weight = torch.exp(-kappa * target / target.amax(1, keepdim=True).clamp_min(torch.finfo(target.dtype).tiny))
    return (weight * (distances(features, semantics) - target).square()).mean()


def mixup_cross_entropy(
    features: torch.Tensor,
    semantics: torch.Tensor,
    labels: torch.Tensor,
    other_labels: torch.Tensor,
    ratio: torch.Tensor,
) -> torch.Tensor:
    """L_CE^mix: classify a mixed image by the cosine of its feature with each class vector.

    Equation 6:  s_j = exp(cos(f, a^j)) / sum_t exp(cos(f, a^t))      (no temperature)
    Equations 7, 8:  -ratio log s_labels - (1 - ratio) log s_other_labels
    With `ratio` 1, equation 7 alone.
    """
    return mixture_prediction(cosines(features, semantics), labels, other_labels, ratio)


def mixture_prediction(
    logits: torch.Tensor, labels: torch.Tensor, other_labels: torch.Tensor, ratio: torch.Tensor
) -> torch.Tensor:
    """L_Mp: predict the fraction of each class in a mixed image, independently of its domains.

    Equation 4:  Prob(class j) = exp(l_j) / sum_t exp(l_t)
    Equation 5:  -sum_t I_t log Prob(class t),   I = `mixture`
    """
    return F.cross_entropy(logits, mixture(labels, other_labels, ratio.to(logits), logits.shape[1]))


def mixture(labels: torch.Tensor, other_labels: torch.Tensor, ratio: torch.Tensor, n_classes: int) -> torch.Tensor:
    """(B, C): the soft label I of equation 5, `ratio` of one class and `1 - ratio` of the other; rows sum to 1."""
    one_hot, other_one_hot = F.one_hot(labels, n_classes).to(ratio), F.one_hot(other_labels, n_classes).to(ratio)
    return ratio[:, None] * one_hot + (1 - ratio[:, None]) * other_one_hot


def mixed_semantics(
    semantics: torch.Tensor, labels: torch.Tensor, other_labels: torch.Tensor, ratio: torch.Tensor
) -> torch.Tensor:
    """(B, m) equation 9: a~ = ratio a^labels + (1 - ratio) a^other_labels."""
    return mixture(labels, other_labels, ratio.to(semantics), len(semantics)) @ semantics


def distances(x: torch.Tensor, semantics: torch.Tensor) -> torch.Tensor:
    """(B, C) Euclidean distances, computed without a matrix product, which is inaccurate for close points."""
    return torch.cdist(x, semantics, compute_mode="donot_use_mm_for_euclid_dist")


def cosines(x: torch.Tensor, semantics: torch.Tensor) -> torch.Tensor:
    """(B, m) and (C, m) -> (B, C) cosines."""
    return F.normalize(x, dim=1) @ F.normalize(semantics, dim=1).T
