"""What methods that learn from images of two domains (CLAIR, UCDIR) share: their training images, checks and score."""

from collections.abc import Sequence

import numpy as np
import torch

from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ImageEncoder
from cdir_nb.encoders.pretraining import seen_note
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
    """Raise CdirError unless there are two domains, each with images."""
    if len(set(domains)) != 2 or len(domains) != 2:
        raise CdirError(f"{name}: two domains are needed, got {', '.join(domains) or 'none'}: give exactly two")
    for domain in domains:
        if not (images.domains == domain).any():
            raise CdirError(f"domain {domain} has no training images: choose another domain")


def drawn_rows(images: ImageSet, domains: Sequence[str], count: int, seed: int) -> list[np.ndarray]:
    """For each domain, the rows of at most `count` images drawn at random, in order; 0: all."""
    if count < 0:
        raise CdirError(f"cannot draw {count} training images per domain: give a positive number, or 0 for all")
    rng = np.random.default_rng(seed)
    return [np.sort(rng.permutation(np.flatnonzero(images.domains == domain))[: count or None]) for domain in domains]


def in_words(encoder: ImageEncoder, images: ImageSet, limit: int) -> str:
    """The training images, in words, for records; `limit` of each domain, 0: all."""
    count = f"at most {limit}" if limit else "all"
    return f"{count} unlabelled images of each of two domains{seen_note(encoder, images)}"


def class_numbers(labels: Sequence[np.ndarray]) -> list[torch.Tensor]:
    """The class names of each domain's images as integers, with the same numbering in both domains."""
    known = np.unique(np.concatenate(labels))
    return [torch.from_numpy(np.searchsorted(known, each)) for each in labels]


def precision_at(k: int, scores: torch.Tensor, labels: Sequence[torch.Tensor]) -> float:
    """Mean P@k of both directions, for choosing a state: (Q, G) scores between the images of two domains, and the
    labels of both. Fewer results count where a gallery is smaller.
    """
    first, second = labels
    return 0.5 * (_fraction_relevant(k, scores, first, second) + _fraction_relevant(k, scores.T, second, first))


def _fraction_relevant(k: int, scores: torch.Tensor, query_labels: torch.Tensor, gallery_labels: torch.Tensor) -> float:
    top = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return float((gallery_labels[top] == query_labels[:, None]).double().mean())
