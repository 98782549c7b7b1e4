"""Training data of UCDIR: images of two domains, without labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError
from cdir_nb.methods.two_domains import drawn_rows, require_two_domains, training_images


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
        require_two_domains("UCDIR", self.images, self.domains)
        if self.classes < 2:
            raise CdirError(f"UCDIR needs at least two classes (K = {self.classes}): choose another task")

    def side(self, number: int) -> ImageSet:
        """The images of the first (0) or second (1) domain."""
        return self.images.select(self.domains[number])

    def sample(self, count: int, seed: int) -> "TwoDomains":
        """A copy with at most `count` images of each domain, drawn at random; 0: all."""
        rows = np.sort(np.concatenate(drawn_rows(self.images, self.domains, count, seed)))
        return replace(self, images=self.images.take(rows), limit=count)


def training_pair(task: Protocol, domains: Sequence[str]) -> TwoDomains:
    """The training images of a protocol in two domains. Raises CdirError if it does not train on one of them."""
    return TwoDomains(training_images(task, domains), tuple(domains), len(task.seen))
