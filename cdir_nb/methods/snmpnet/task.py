"""Select the training images and the validation images of a protocol, and check its splits."""

from collections.abc import Sequence

import numpy as np
import torch

from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet.settings import HarnessSettings
from cdir_nb.methods.snmpnet.views import inverted_in
from cdir_nb.retrieval.galleries import random_fraction


def training_images(task: Protocol, settings: HarnessSettings, seed: int) -> ImageSet:
    """The images to train on. Raises CdirError as `check_splits` does."""
    check_splits(task)
    images = task.train.select(task.train_domains)
    if settings.train_images:
        images = _some_of_each(images, settings.train_images, seed)
    return inverted_in(images, settings.invert)


def validation_images(task: Protocol, settings: HarnessSettings) -> tuple[dict[str, ImageSet], ImageSet]:
    """Validation queries {training domain: images}, and a gallery of the same classes in the gallery's domain.

    Both are empty if the protocol has no validation classes.
    """
    gallery_domain = task.directions[0][1]
    images = inverted_in(task.images.select(labels=task.validation), settings.invert)
    queries = {}
    for domain in task.train_domains:
        candidates = images.select(domain)
        if domain != gallery_domain and len(candidates):
            queries[domain] = candidates.take(random_fraction(candidates.labels, settings.validation_fraction))
    return queries, images.select(gallery_domain)


def numbers_of(values: np.ndarray, names: Sequence[str]) -> torch.Tensor:
    """(N,) int64 index of each value in `names`; -1 for a value that is not among them."""
    index = {name: i for i, name in enumerate(names)}
    return torch.tensor([index.get(value, -1) for value in values.tolist()], dtype=torch.int64)


def check_splits(task: Protocol) -> None:
    """Raise CdirError for a protocol without training images, or with overlapping training and test sets.

    Training classes must differ from validation classes and, in a zero-shot protocol, from query classes; an unseen
    query domain must not be trained on.
    """
    if not task.seen:
        raise CdirError(
            f"{task.name} has no training images, but SnMpNet learns from labelled images: choose another task"
        )
    for split, classes in (("validation", task.validation), ("query", task.classes if task.zero_shot else ())):
        shared = [label for label in task.seen if label in set(classes)]
        if shared:
            raise CdirError(
                f"{task.name}: training and {split} classes overlap ({', '.join(shared[:5])}): remove them from one"
            )
    held_out = {query for query, _ in task.directions} if task.unseen_domain else set()
    shared = [domain for domain in task.train_domains if domain in held_out]
    if shared:
        raise CdirError(
            f"{task.name}: {', '.join(shared)} is held out as the unseen domain, but also trained on: "
            "remove it from train_domains"
        )


def _some_of_each(images: ImageSet, count: int, seed: int) -> ImageSet:
    """At most `count` random images of each class and domain, in the order of the set."""
    rng = np.random.default_rng(seed)
    groups: dict[tuple[str, str], list[int]] = {}
    for row, group in enumerate(zip(images.domains.tolist(), images.labels.tolist())):
        groups.setdefault(group, []).append(row)
    return images.take(np.sort(np.concatenate([rng.permutation(rows)[:count] for rows in groups.values()])))
