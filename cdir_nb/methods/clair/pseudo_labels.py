"""Pseudo-labels from CLIP, and their refinement with the features learnt so far (CLAIR, sections 4.1 and 4.2).

    paper                 here
    y_i, x^_i             rows of `labels` and `target` (N, K): cosines of images and class prompts
    psi, alpha, lambda    `psi`, its `weight` and `spread`
    n_r                   `RefinementConfig.steps`
    sigma                 softmax over `scale` times the cosines

No official code of CLAIR is known. Choices that the paper leaves open are settings, which name the source of their
default.
"""

import math

import torch

from cdir_nb.encoders.zero_shot import zero_shot_scores
from cdir_nb.methods.settings import Settings, setting


class RefinementConfig(Settings):
    """Settings of the refinement. Raises CdirError for an invalid value."""

    method = "refinement"

    scale: float = setting(100.0, "unknown: our default, that of CLIP's released models, in sigma(scale * y)", gt=0)
    steps: int = setting(1, "unknown: our default, one step per epoch (n_r)", ge=0)
    step_size: float | None = setting(
        None, "None: 1 / scale^2 (our default, a step of 1 on the logits scale * y); 1: equation 2 as written", gt=0
    )
    weight: float = setting(1.0, "unknown: our default (alpha_psi); 1 as in the related code of CDUL", gt=0)
    spread: float = setting(1.0, "unknown: our default (lambda_psi); 1 as in the related code of CDUL", gt=0)
    scaled: bool = setting(True, "paper, equation 3; False: without psi, for comparison")


def initial_labels(image_emb: torch.Tensor, text_emb: torch.Tensor) -> torch.Tensor:
    """(N, K) pseudo-labels y: cosines of images (N, D) and class prompts (K, D) (section 4.1)."""
    return zero_shot_scores(image_emb, text_emb)


def assigned(labels: torch.Tensor) -> torch.Tensor:
    """(N,): the class of each image, arg max of softmax(y), which equals the arg max of y (section 4.1)."""
    return labels.argmax(dim=1)


def confidence(labels: torch.Tensor, scale: float) -> torch.Tensor:
    """(N,): the maximum of softmax(scale * y), 1/K to 1. With scale 1, a softmax over 80 cosines is almost uniform."""
    return torch.softmax(scale * labels, dim=1).amax(dim=1)


def psi(labels: torch.Tensor, weight: float = 1.0, spread: float = 1.0) -> torch.Tensor:
    """(N, K) factors that scale the gradient: a normal density centred at 0.5 (equation 3).

    psi(y) = weight / (spread sqrt(2 pi)) * exp(-(y - 0.5)^2 / (2 spread^2))

    Our copy of the paper is hard to read at the division by spread sqrt(2 pi); we divide, since the text calls psi a
    normal distribution with a weight and a standard deviation.
    """
    return weight / (spread * math.sqrt(2 * math.pi)) * torch.exp(-((labels - 0.5) ** 2) / (2 * spread**2))


def kl(target: torch.Tensor, predicted: torch.Tensor, scale: float) -> torch.Tensor:
    """(N,) KL(softmax(scale * target) || softmax(scale * predicted)), from scores (N, K)."""
    log_p, log_q = torch.log_softmax(scale * target, dim=1), torch.log_softmax(scale * predicted, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)


def kl_gradient(target: torch.Tensor, labels: torch.Tensor, scale: float) -> torch.Tensor:
    """(N, K): the gradient of `kl` with respect to the labels y, in closed form (equation 2):

    d KL(sigma(s x) || sigma(s y)) / d y = s (sigma(s y) - sigma(s x))
    """
    return scale * (torch.softmax(scale * labels, dim=1) - torch.softmax(scale * target, dim=1))


def refine(labels: torch.Tensor, target: torch.Tensor, config: RefinementConfig | None = None) -> torch.Tensor:
    """(N, K) labels after `config.steps` steps towards the target (equation 2); the input is not modified.

    target  (N, K) cosines of bank features and class prompts (x-hat of equation 2)

    y <- y - step_size * psi(y) o grad_y KL(sigma(x) || sigma(y))

    Labels are not clipped (our default; the paper does not mention it).
    """
    config = config or RefinementConfig()
    step_size = 1 / config.scale**2 if config.step_size is None else config.step_size
    for _ in range(config.steps):
        factor = psi(labels, config.weight, config.spread) if config.scaled else 1.0
        labels = labels - step_size * factor * kl_gradient(target, labels, config.scale)
    return labels


def alignment_loss(scores: torch.Tensor, labels: torch.Tensor, scale: float) -> torch.Tensor:
    """Scalar L_KL, a term of the model's loss: the KL of the refinement with arguments swapped (end of section 4.2).

    scores  (B, K) cosines of the batch's features and class prompts, through which gradients flow
    labels  (B, K) pseudo-labels, treated as constants
    """
    return kl(labels.detach(), scores, scale).mean()
