"""CLAIR's training data: unlabelled images of two domains, class names, and object names for Q."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdir_nb.data import load_card
from cdir_nb.data.images import ImageSet
from cdir_nb.data.objects import object_names
from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError
from cdir_nb.methods.two_domains import drawn_rows, require_two_domains, training_images


@dataclass(frozen=True)
class Pair:
    """Training data from two domains.

    images   images of both domains; the method never reads their labels
    domains  (first, second): Q maps the first to the second
    words    {domain: its word in prompts}
    names    K class names in natural words: the classes that pseudo-labels can take
    objects  names of objects for Q's text pairs (section 4.4)
    unseen   the test classes; they must not be among `names` or `objects`
    classes  approximate number of classes of the images, for the size of the validation part; 0: as many as `names`
    limit    maximum number of images drawn from each domain (`sample`); 0: all

    Raises CdirError unless there are two domains, each with images and a word, and at least two names, all different
    and none of them a test class.
    """

    images: ImageSet
    domains: tuple[str, str]
    words: dict[str, str]
    names: tuple[str, ...]
    objects: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    classes: int = 0
    limit: int = 0

    def __post_init__(self) -> None:
        require_two_domains("CLAIR", self.images, self.domains)
        for domain in self.domains:
            if not self.words.get(domain, "").strip():
                raise CdirError(f"domain {domain} has no word for prompts: give one, such as photo or sketch")
        _check_names(self.names)
        leaked = sorted({*self.names, *self.objects} & set(self.unseen))
        if leaked:
            raise CdirError(
                f"names include test classes ({', '.join(leaked[:3])}): remove them, "
                "since zero-shot training must not know the test classes"
            )

    def rows(self, domain: str) -> np.ndarray:
        """(N,) row indices of a domain."""
        return np.flatnonzero(self.images.domains == domain)

    def sample(self, count: int, seed: int) -> "Pair":
        """A copy with at most `count` images of each domain, drawn at random; 0: all."""
        rows = np.concatenate(drawn_rows(self.images, self.domains, count, seed))
        return dataclasses.replace(self, images=self.images.take(rows), limit=count)

    def split(self, domain: str, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(training rows, validation rows): about `per_class` images per class are set aside, half in each domain.

        Labels are not read, so images are drawn at random; at most a third of a domain is set aside (our default).
        """
        rows = self.rows(domain)
        count = min(round(per_class * (self.classes or len(self.names)) / 2), len(rows) // 3)
        order = np.random.default_rng([seed, self.domains.index(domain)]).permutation(rows)
        return np.sort(order[count:]), np.sort(order[:count])


def training_pair(task: Protocol, domains: Sequence[str], *, names: Sequence[str] | None = None) -> Pair:
    """The pair for a protocol: its training images of two domains, names of the seen classes (or `names`), our objects.

    Raises CdirError as `Pair` does, and if the protocol does not train on a domain.
    """
    card = load_card(task.dataset)
    unseen = tuple(card.display(label) for label in task.unseen)
    chosen = tuple(card.display(label) for label in task.seen) if names is None else tuple(names)
    return Pair(
        images=training_images(task, domains),
        domains=tuple(domains),
        words={domain: card.domain_word(domain) for domain in domains},
        names=chosen,
        objects=tuple(object_names(exclude=unseen)),
        unseen=unseen,
        classes=len(task.seen),
    )


def expanded_names(task: Protocol, *, training_names: bool) -> list[str]:
    """Class list of an ablation (section 5.5): our object names without the test classes, with or without the names of
    the training classes."""
    card = load_card(task.dataset)
    seen = [card.display(label) for label in task.seen]
    others = object_names(exclude=[card.display(label) for label in (*task.seen, *task.unseen)])
    return [*seen, *others] if training_names else others


def mismatched(images: ImageSet, domains: Sequence[str], classes: Sequence[str], seed: int) -> ImageSet:
    """A subset of the images in which each domain has three quarters of the classes: a quarter its own, half shared.

    These are the paper's proportions: of 80 classes 20 + 20 own and 40 shared (section 5.5); as in the paper, each
    domain then has fewer images. Labels are used to set up this task only; the method does not see them.
    """
    order = np.random.default_rng(seed).permutation(np.array(classes)).tolist()
    quarter = len(order) // 4
    if not quarter:
        raise CdirError(f"mismatched categories need at least 4 classes, got {len(order)}: choose a protocol with more")
    only_first, only_second = set(order[:quarter]), set(order[quarter : 2 * quarter])
    gone = {domains[0]: only_second, domains[1]: only_first}
    keep = [label not in gone.get(domain, ()) for domain, label in zip(images.domains, images.labels)]
    return images.take(np.array(keep))


def _check_names(names: Sequence[str]) -> None:
    if len(names) < 2 or not all(name.strip() for name in names):
        raise CdirError(f"CLAIR needs at least two class names, none of them empty; got {len(names)}")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise CdirError(f'class name "{twice}" appears twice: give each class a different name')
