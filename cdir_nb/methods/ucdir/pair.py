"""Training data of UCDIR: images of two domains, without labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError


@dataclass(frozen=True)
class TwoDomains:
    """Images of two domains. Training reads no labels; only the score that the released code selects by does.

    images   of both domains; domains: their names
    classes  number of classes, which is K (paper, section 4.1)
    limit    maximum number of images drawn from each domain (`sample`); 0: all

    Raises CdirError unless there are two domains with images, and at least two classes.
    """

    images: ImageSet
    domains: tuple[str, str]
    classes: int
    limit: int = 0

    def __post_init__(self) -> None:
        if len(set(self.domains)) != 2 or len(self.domains) != 2:
            given = ", ".join(self.domains) or "none"
            raise CdirError(f"UCDIR learns from two domains, got {given}: give exactly two")
        for domain in self.domains:
            if not (self.images.domains == domain).any():
                raise CdirError(f"domain {domain} has no training images: choose another domain")
        if self.classes < 2:
            raise CdirError(f"UCDIR needs at least two classes (K = {self.classes}): choose another task")

    def side(self, number: int) -> ImageSet:
        """The images of the first (0) or second (1) domain."""
        return self.images.select(self.domains[number])

    def sample(self, count: int, seed: int) -> "TwoDomains":
        """A copy with at most `count` images of each domain, drawn at random; 0: all."""
        if count < 0:
            raise CdirError(f"cannot draw {count} training images per domain: give a positive number, or 0 for all")
        rng = np.random.default_rng(seed)
        rows = [rng.permutation(np.flatnonzero(self.images.domains == d))[: count or None] for d in self.domains]
        return replace(self, images=self.images.take(np.sort(np.concatenate(rows))), limit=count)


def training_pair(task: Protocol, domains: Sequence[str]) -> TwoDomains:
    """The training images of a protocol in two domains. Raises CdirError if it does not train on one of them."""
    absent = [domain for domain in domains if domain not in task.train_domains]
    if absent:
        raise CdirError(
            f"{task.name} does not train on {', '.join(absent)}: its training domains are "
            f"{', '.join(task.train_domains) or 'none'}"
        )
    return TwoDomains(task.train.select(list(domains)), tuple(domains), len(task.seen))
