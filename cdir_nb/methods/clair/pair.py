"""What CLAIR learns from: unlabelled images of two domains, class names, and names of objects for Q."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdir_nb.data import load_card
from cdir_nb.data.images import ImageSet
from cdir_nb.data.objects import object_names
from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError


@dataclass(frozen=True)
class Pair:
    """Two domains to learn from.

    images   rows of both domains; their labels are never read by the method
    domains  (first, second): Q carries the first into the second
    words    {domain: its word in prompts}
    names    K class names in natural words, which the pseudo-labels choose from
    objects  names of objects for Q's text pairs (section 4.4)
    unseen   the test classes; none of `names` and `objects` may be one of them
    classes  about how many classes the images have, for the size of the validation part; 0: as many as `names`
    limit    how many images of each domain were drawn at most (`sample`); 0: all

    Raises CdirError: not two domains, a domain without image or word, fewer than two names, one twice, a test class
    among the names.
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
        if len(set(self.domains)) != 2 or len(self.domains) != 2:
            raise CdirError(f"CLAIR learns from two domains, got {', '.join(self.domains) or 'none'}: name two")
        for domain in self.domains:
            if not self.words.get(domain, "").strip():
                raise CdirError(f"domain {domain} has no word for prompts: give one, such as photo or sketch")
            if not (self.images.domains == domain).any():
                raise CdirError(f"there is no training image of {domain}: choose a domain that has some")
        _check_names(self.names)
        leaked = sorted({*self.names, *self.objects} & set(self.unseen))
        if leaked:
            raise CdirError(
                f"class list overlaps the test classes ({', '.join(leaked[:3])}): leave these names out, "
                "zero-shot means that the test classes are not known in training"
            )

    def rows(self, domain: str) -> np.ndarray:
        """(N,) the rows of a domain."""
        return np.flatnonzero(self.images.domains == domain)

    def sample(self, count: int, seed: int) -> "Pair":
        """The same with at most `count` images of each domain, drawn at random; 0: all."""
        if count < 0:
            raise CdirError(f"{count} training images of each domain were asked for: give a whole number, 0 for all")
        rng = np.random.default_rng(seed)
        rows = [np.sort(rng.permutation(self.rows(d))[: count or None]) for d in self.domains]
        return dataclasses.replace(self, images=self.images.take(np.concatenate(rows)), limit=count)

    def split(self, domain: str, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on, rows for validation: about `per_class` images a class are set aside, half of each domain.

        Labels are not read, so the part is drawn at random; never more than a third of a domain (our default).
        """
        rows = self.rows(domain)
        count = min(round(per_class * (self.classes or len(self.names)) / 2), len(rows) // 3)
        order = np.random.default_rng([seed, self.domains.index(domain)]).permutation(rows)
        return np.sort(order[count:]), np.sort(order[:count])


def training_pair(task: Protocol, domains: Sequence[str], *, names: Sequence[str] | None = None) -> Pair:
    """The pair of a protocol: its training images of two domains, the seen classes' names (or `names`), our objects.

    Raises CdirError as `Pair` does, and where the protocol trains on no image of a domain.
    """
    card = load_card(task.dataset)
    absent = [domain for domain in domains if domain not in task.train_domains]
    if absent:
        raise CdirError(
            f"{task.name} does not train on {', '.join(absent)}: its training domains are "
            f"{', '.join(task.train_domains) or 'none'}"
        )
    unseen = tuple(card.display(label) for label in task.unseen)
    chosen = tuple(card.display(label) for label in task.seen) if names is None else tuple(names)
    return Pair(
        images=task.train.select(domains),
        domains=tuple(domains),
        words={domain: card.domain_word(domain) for domain in domains},
        names=chosen,
        objects=tuple(object_names(exclude=unseen)),
        unseen=unseen,
        classes=len(task.seen),
    )


def expanded_names(task: Protocol, *, training_names: bool) -> list[str]:
    """Class lists of the ablation (section 5.5): our object names without the test classes, and with or without the
    names of the training classes."""
    card = load_card(task.dataset)
    seen = [card.display(label) for label in task.seen]
    others = object_names(exclude=[card.display(label) for label in (*task.seen, *task.unseen)])
    return [*seen, *others] if training_names else others


def mismatched(images: ImageSet, domains: Sequence[str], classes: Sequence[str], seed: int) -> ImageSet:
    """The images of which each domain keeps three quarters of the classes: a quarter its own, half shared.

    The paper's 20 + 20 own and 40 shared of 80 classes (section 5.5), in proportion, and as there each domain has
    fewer images for it. Labels make the task here; the method does not see them.
    """
    order = np.random.default_rng(seed).permutation(np.array(classes)).tolist()
    quarter = len(order) // 4
    if not quarter:
        raise CdirError(f"{len(order)} classes are too few for mismatched categories: at least 4 are needed")
    only_first, only_second = set(order[:quarter]), set(order[quarter : 2 * quarter])
    gone = {domains[0]: only_second, domains[1]: only_first}
    keep = [label not in gone.get(domain, ()) for domain, label in zip(images.domains, images.labels)]
    return images.take(np.array(keep))


def _check_names(names: Sequence[str]) -> None:
    if len(names) < 2 or not all(name.strip() for name in names):
        raise CdirError(f"CLAIR needs names of at least two classes, none empty, and got {len(names)}: name them")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise CdirError(f'class name "{twice}" comes twice: give each class a name of its own')
