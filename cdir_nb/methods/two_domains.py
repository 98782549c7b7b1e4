"""Functions for methods trained on images of two domains: training images, checks, and a score by labels."""

from collections.abc import Sequence

import numpy as np
import torch

from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ImageEncoder
from cdir_nb.encoders.pretraining import noted
from cdir_nb.errors import CdirError


def training_images(task: Protocol, domains: Sequence[str]) -> ImageSet:
    """The training images of a protocol in two domains. Raises CdirError if it does not train on one of them."""
    absent = [domain for domain in domains if domain not in task.train_domains]
    if absent:
        raise CdirError(
            f"{task.name} does not train on {', '.join(absent)}: its training domains are "
            f"{', '.join(task.train_domains) or 'none'}"
        )
    images = task.train.select(list(domains))
    require_two_domains(task.name, images, domains)
    return images


def require_two_domains(name: str, images: ImageSet, domains: Sequence[str]) -> None:
    """Raise CdirError unless there are two different domains, each with images."""
    if len(set(domains)) != 2 or len(domains) != 2:
        raise CdirError(f"{name}: two domains are needed, got {', '.join(domains) or 'none'}: give exactly two")
    for domain in domains:
        if not (images.domains == domain).any():
            raise CdirError(f"domain {domain} has no training images: choose another domain")


def drawn_rows(images: ImageSet, domains: Sequence[str], count: int, seed: int) -> list[np.ndarray]:
    """For each domain, the sorted rows of at most `count` randomly drawn images; 0: all."""
    if count < 0:
        raise CdirError(f"cannot draw {count} training images per domain: give a positive number, or 0 for all")
    rng = np.random.default_rng(seed)
    return [np.sort(rng.permutation(np.flatnonzero(images.domains == domain))[: count or None]) for domain in domains]


def training_set_description(encoder: ImageEncoder, images: ImageSet, limit: int, classes: int | None = None) -> str:
    """Description of the training images for records.

    limit    the maximum number of images per domain; 0: all
    classes  the number of classes whose labels were used; None: no labels
    """
    count = f"at most {limit}" if limit else "all"
    kind, remark = ("unlabelled", "") if classes is None else ("labelled", f", {classes} classes in training")
    return noted(f"{count} {kind} images of each of two domains{remark}", encoder, images)


def class_numbers(labels: Sequence[np.ndarray]) -> list[torch.Tensor]:
    """The class names of each domain's images as integers, with the same numbering in both domains."""
    names = np.unique(np.concatenate(labels))
    return [torch.from_numpy(np.searchsorted(names, domain_labels)) for domain_labels in labels]


def precision_at(k: int, scores: torch.Tensor, labels: Sequence[torch.Tensor]) -> float:
    """Mean P@k of both directions, for the selection of a state.

    scores  (N_A, N_B) similarities between the images of both domains; labels  (N_A,) and (N_B,)
    If the gallery has fewer than k images, all of them count.
    """
    labels_a, labels_b = labels
    a_to_b = _fraction_relevant(k, scores, labels_a, labels_b)
    b_to_a = _fraction_relevant(k, scores.T, labels_b, labels_a)
    return 0.5 * (a_to_b + b_to_a)


def _fraction_relevant(k: int, scores: torch.Tensor, query_labels: torch.Tensor, gallery_labels: torch.Tensor) -> float:
    top = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return float((gallery_labels[top] == query_labels[:, None]).double().mean())
