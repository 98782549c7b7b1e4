"""What a training reads from a protocol: training images, their classes and domains, and the validation part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet.settings import HarnessSettings
from cdir_nb.methods.snmpnet.views import inverted_in
from cdir_nb.retrieval.galleries import random_share


@dataclass(frozen=True)
class TrainingData:
    """The images of one training.

    name        of the protocol
    images      to train on; classes, domains: theirs, in the protocol's order
    queries     {training domain: images of validation classes}; gallery: the same classes in the gallery's domain.
                Both are empty where the protocol has no validation classes
    """

    name: str
    images: ImageSet
    classes: tuple[str, ...]
    domains: tuple[str, ...]
    queries: dict[str, ImageSet]
    gallery: ImageSet

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64 class numbers of the training images."""
        return numbers_of(self.images.labels, self.classes)

    @property
    def domain_numbers(self) -> np.ndarray:
        """(N,) int64 domain numbers of the training images."""
        return numbers_of(self.images.domains, self.domains)

    @property
    def in_words(self) -> str:
        """The training set, for records."""
        return f"{len(self.images)} images of {self.name}: {len(self.classes)} classes, {', '.join(self.domains)}"


def training_data(task: Protocol, settings: HarnessSettings, seed: int) -> TrainingData:
    """The training part of a protocol.

    Raises CdirError for a protocol without training images, training classes that are also for validation or (where
    the protocol is zero-shot) queries, and a held-out query domain that is also trained on.
    """
    check_splits(task)
    images = task.train.select(task.train_domains)
    if settings.train_images:
        images = _some_of_each(images, settings.train_images, seed)
    gallery_domain = task.directions[0][1]
    rest = tuple(domain for domain in task.train_domains if domain != gallery_domain)
    unseen = inverted_in(task.images.select(labels=task.validation), settings.invert)
    queries = {domain: unseen.select(domain) for domain in rest}
    queries = {domain: _share(own, settings.validation_fraction) for domain, own in queries.items() if len(own)}
    return TrainingData(
        name=task.name,
        images=inverted_in(images, settings.invert),
        classes=task.seen,
        domains=tuple(task.train_domains),
        queries=queries,
        gallery=unseen.select(gallery_domain),
    )


def numbers_of(names: np.ndarray, known: Sequence[str]) -> np.ndarray:
    """(N,) int64 place of each name in `known`; -1 where it is not there."""
    place = {name: i for i, name in enumerate(known)}
    return np.array([place.get(name, -1) for name in names.tolist()], dtype=np.int64)


def check_splits(task: Protocol) -> None:
    """CdirError unless training, validation and query classes, and an unseen domain, are kept apart."""
    if not task.seen:
        raise CdirError(f"{task.name} has no training images, and SnMpNet learns from labelled images: choose another")
    for other, classes in (("validation", task.validation), ("query", task.classes if task.zero_shot else ())):
        both = [label for label in task.seen if label in set(classes)]
        if both:
            raise CdirError(
                f"{task.name}: training and {other} classes overlap ({', '.join(both[:5])}): take them out of one"
            )
    held_out = {query for query, _ in task.directions} if task.unseen_domain else set()
    both = [domain for domain in task.train_domains if domain in held_out]
    if both:
        raise CdirError(
            f"{task.name}: {', '.join(both)} is held out as the unseen domain, but also trained on: "
            "take it out of train_domains"
        )


def _some_of_each(images: ImageSet, count: int, seed: int) -> ImageSet:
    """At most `count` random images of each class and domain, in the order of the set."""
    rng, groups = np.random.default_rng(seed), {}
    for row, group in enumerate(zip(images.domains.tolist(), images.labels.tolist())):
        groups.setdefault(group, []).append(row)
    return images.take(np.sort(np.concatenate([rng.permutation(rows)[:count] for rows in groups.values()])))


def _share(images: ImageSet, share: float) -> ImageSet:
    return images.take(random_share(images.labels, share)) if share < 1 else images
