"""CLAIR's training data: unlabelled images of two domains, class names, and object names for the mapping Q."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdir_nb.data import load_card
from cdir_nb.data.images import ImageSet
from cdir_nb.data.objects import object_names
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders.zero_shot import require_names, require_words
from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.settings import ClairSettings
from cdir_nb.methods.two_domains import drawn_rows, require_two_domains, training_images


@dataclass(frozen=True)
class Texts:
    """The texts that CLAIR trains with.

    words    {domain: its word in prompts}
    names    K class names in natural words: the possible pseudo-labels
    objects  names of objects for Q's text pairs (section 4.4)
    unseen   the test classes; they must not be among `names` or `objects`

    Raises CdirError for a domain without a word, for fewer than two or duplicate names, and for a test class among the
    names.
    """

    words: dict[str, str]
    names: tuple[str, ...]
    objects: tuple[str, ...]
    unseen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_words(self.words)
        require_names("CLAIR", self.names)
        leaked = sorted({*self.names, *self.objects} & set(self.unseen))
        if leaked:
            raise CdirError(
                f"names include test classes ({', '.join(leaked[:3])}): remove them, "
                "since zero-shot training must not use the test classes"
            )


def texts_of(task: Protocol, domains: Sequence[str], class_names: str) -> Texts:
    """The texts for a protocol: a word for each domain, names of common objects without the test classes, class names.

    class_names  which class names to use: "seen", "objects" or "seen and objects"
    """
    card = load_card(task.dataset)
    seen, unseen = (tuple(card.display(label) for label in labels) for labels in (task.seen, task.unseen))
    objects = tuple(object_names(exclude=[*seen, *unseen]))
    names = {"seen": seen, "seen and objects": seen + objects, "objects": objects}[class_names]
    words = {domain: card.domain_word(domain) for domain in domains}
    return Texts(words, names, tuple(object_names(exclude=unseen)), unseen)


def images_of(task: Protocol, domains: Sequence[str], settings: ClairSettings, seed: int) -> ImageSet:
    """The training images of two domains; a random subset if the settings limit their number.

    Raises CdirError if the protocol does not train on one of the domains, or if one has no images.
    """
    images = training_images(task, domains)
    images = images.take(np.concatenate(drawn_rows(images, domains, settings.train_images, seed)))
    if settings.mismatched:
        images = mismatched(images, domains, task.seen, seed)
        require_two_domains(task.name, images, domains)
    return images


def mismatched(images: ImageSet, domains: Sequence[str], classes: Sequence[str], seed: int) -> ImageSet:
    """A subset of the images in which each domain has three quarters of the classes.

    Half of the classes are in both domains, a quarter only in the first and a quarter only in the second.

    These are the paper's proportions: of 80 classes, 40 are common and 20 + 20 are in one domain only (section 5.5).
    As in the paper, each domain then has fewer images. Labels are used to set up this task only; the method does not
    read them.
    """
    order = np.random.default_rng(seed).permutation(np.array(classes)).tolist()
    quarter = len(order) // 4
    if not quarter:
        raise CdirError(f"mismatched categories need at least 4 classes, got {len(order)}: choose a protocol with more")
    first, second = domains
    absent = {first: set(order[quarter : 2 * quarter]), second: set(order[:quarter])}
    present = [label not in absent.get(domain, ()) for domain, label in zip(images.domains, images.labels)]
    return images.take(np.array(present))


def split(rows: np.ndarray, count: int, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, validation rows) of one domain: `count` rows are held out for validation.

    Images are drawn at random, without reading labels; at most a third of the rows is held out (our default).
    """
    count = min(count, len(rows) // 3)
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[count:]), np.sort(order[:count])
