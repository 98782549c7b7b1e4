"""Protocols: the papers' tasks by name. Each defines the images for training, queries and gallery, and the metrics.

They are in the `protocols` field of each card in data_manifest. The first one in a card is its default.
"""

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cdir_nb.data.card import Card, MetricSpec, ProtocolSpec, display
from cdir_nb.data.halves import in_list, without_extension
from cdir_nb.data.images import ImageSet, rename
from cdir_nb.data.manifest import load_card, load_cards, open_dataset
from cdir_nb.errors import CdirError


@dataclass(frozen=True)
class Protocol:
    """A task on a given image set.

    name, dataset      dataset: the card that defines the task (images of other versions of it may be used)
    about, paper       a description; the paper and table with its numbers
    zero_shot          whether seen and query classes are disjoint by definition
    seen               training classes, empty if the paper trains on no images
    unseen             query classes that are not among the training classes
    classes            query classes, in the card's order
    gallery_classes    gallery classes, in the card's order
    validation         classes for early stopping, which are never trained on; may be empty
    train_domains      training domains
    unseen_domain      whether query domains are excluded from training by definition
    directions         (query domain, gallery domain), in order
    metrics            as the paper reports them
    images             the image set that all of these select from
    image_counts       the dataset's number of images if it differs from the card's, such as "168 of 9,991 images"; or
                       ""
    query_fractions, gallery_fractions   {class: fraction of its images} of classes that are sampled (see `sample`)
    words              {class: its name in plain words}, where the label does not give it
    """

    name: str
    dataset: str
    about: str
    paper: str
    zero_shot: bool
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    classes: tuple[str, ...]
    gallery_classes: tuple[str, ...]
    train_domains: tuple[str, ...]
    directions: tuple[tuple[str, str], ...]
    metrics: tuple[MetricSpec, ...]
    images: ImageSet
    image_counts: str = ""
    validation: tuple[str, ...] = ()
    unseen_domain: bool = False
    query_fractions: Mapping[str, float] = field(default_factory=dict)
    gallery_fractions: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def display(self, label: str) -> str:
        """A class name as plain words, for prompts and captions, as in `Card.display`."""
        return self.words.get(label) or display(label)

    def query(self, domain: str) -> ImageSet:
        """The queries of a domain, of all query classes; a sample if the protocol has one."""
        return sample(self.images.select(self._checked_domain(domain, 0), self.classes), self.query_fractions)

    def gallery(self, domain: str) -> ImageSet:
        """The gallery of a domain, of all gallery classes; a sample if the protocol has one."""
        return sample(self.images.select(self._checked_domain(domain, 1), self.gallery_classes), self.gallery_fractions)

    @property
    def queries(self) -> dict[str, ImageSet]:
        """{query domain: its queries}."""
        return {domain: self.query(domain) for domain in dict.fromkeys(a for a, _ in self.directions)}

    @property
    def galleries(self) -> dict[str, ImageSet]:
        """{gallery domain: its gallery}."""
        return {domain: self.gallery(domain) for domain in dict.fromkeys(b for _, b in self.directions)}

    def between(self, left: str, right: str) -> "Protocol":
        """The same task with only the directions between two of its domains. Raises CdirError if there are none."""
        directions = tuple(pair for pair in self.directions if set(pair) == {left, right})
        if not directions:
            raise CdirError(
                f"{self.name} has no direction between {left} and {right}: its domains are {', '.join(self.domains)}"
            )
        return replace(self, directions=directions)

    @property
    def train(self) -> ImageSet:
        """Training images (empty if the paper uses none). Their labels are for supervised methods only.

        Images that were sampled as queries or gallery are left out.
        """
        images = self.images.select(self.train_domains, self.seen)
        sampled: set[str] = set()
        for sets, fractions in ((self.queries, self.query_fractions), (self.galleries, self.gallery_fractions)):
            sampled.update(*(part.select(labels=fractions).keys for part in sets.values()))
        return images.take([row for row, key in enumerate(images.keys) if key not in sampled])

    @property
    def cutoffs(self) -> tuple[list[int], list[int | None]]:
        """The cut-offs that the protocol reports for precision and average precision (None: no cut-off), ascending."""
        ks = {metric.k for metric in self.metrics if metric.kind == "precision" and metric.k}
        ap_ks = {metric.k for metric in self.metrics if metric.kind == "average_precision"}
        return sorted(ks), sorted(ap_ks, key=lambda k: (k is None, k))

    @property
    def first_precision(self) -> MetricSpec:
        """The first precision in the card; the notebooks' figures use its cut-off and convention.

        If its cut-off reaches the end of every gallery, so that every ranking scores the same, the next one is taken.
        """
        precisions = [metric for metric in self.metrics if metric.kind == "precision"]
        largest = max(map(len, self.galleries.values()))
        return next((metric for metric in precisions if (metric.k or 0) < largest), precisions[0])

    @property
    def headline(self) -> str:
        """The name of `first_precision`, such as "P@10:hits_over_k"."""
        return str(self.first_precision.metric)

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains of queries and galleries, in order of first use."""
        return tuple(dict.fromkeys(domain for pair in self.directions for domain in pair))

    def _checked_domain(self, domain: str, domain_index: int) -> str:
        allowed = list(dict.fromkeys(pair[domain_index] for pair in self.directions))
        if domain not in allowed:
            role = ("query", "gallery")[domain_index]
            raise CdirError(f"{self.name} has no {role} domain {domain!r}; it has {', '.join(allowed)}")
        return domain


def protocol_names(dataset: str | None = None) -> list[str]:
    """Names of all protocols, or of those that one dataset's card defines (its default first)."""
    cards = [load_card(dataset)] if dataset else load_cards()
    return [protocol for card in cards for protocol in card.protocols]


def dataset_of(protocol: str) -> str:
    """The dataset whose card defines a protocol. Raises CdirError for an unknown one."""
    return _card_of(protocol).name


def default_protocol(dataset: str) -> str:
    """The first protocol of a dataset's card. Raises CdirError if it has none."""
    names = protocol_names(dataset)
    if not names:
        raise CdirError(f"{dataset} has no protocol of its own; name one of {', '.join(protocol_names())}")
    return names[0]


def open_task(dataset: str, root: Path | str | None = None, protocol: str = "") -> tuple[Card, ImageSet, Protocol]:
    """The card of a dataset, its images, and a protocol on them (by default the first one in the card).

    dataset  a name in the manifest; or the path of a folder of your own, laid out as <domain>/<class>/<image>, whose
             card is its card.yaml or, without one, is made from its folders (`cdir card PATH` prints it)

    If the protocol's classes are kinds of the card's classes, the returned card and images have these kinds as classes.
    Raises CdirError as `open_dataset` and `load_protocol` do.
    """
    card = load_card(dataset)
    images, name = open_dataset(card.name, root or None), protocol or default_protocol(card.name)
    task, spec = load_protocol(name, images), _card_of(name).protocols[name]
    return (card.labelled_for(spec), task.images, task) if spec.by_kind else (card, images, task)


def protocol_spec(name: str) -> ProtocolSpec | None:
    """A protocol as its card defines it; None if no card has it."""
    return next((card.protocols[name] for card in load_cards() if name in card.protocols), None)


def protocol_directions(name: str) -> tuple[tuple[str, str], ...]:
    """The (query domain, gallery domain) pairs of a protocol, without opening images; empty if no card has it."""
    spec = protocol_spec(name)
    return _directions(spec.directions, _card_of(name).domains) if spec else ()


def sample(images: ImageSet, fractions: Mapping[str, float]) -> ImageSet:
    """A fraction of the images of each domain and class, at least one, in the order of `images`.

    fractions  {class: fraction}; all images of other classes are returned

    The images whose keys have the lowest digests are chosen: a fixed random sample, the same on every machine, which
    contains the sample for any smaller fraction.
    """
    if not fractions:
        return images
    groups: dict[tuple[str, str], list[int]] = {}
    for row, group in enumerate(zip(images.domains.tolist(), images.labels.tolist())):
        groups.setdefault(group, []).append(row)
    rows = []
    for (_, label), members in groups.items():
        members.sort(key=lambda row: _digest(images.keys[row]))
        rows += members[: max(1, round(fractions.get(label, 1.0) * len(members)))]
    return images.take(sorted(rows))


def _digest(key: str) -> bytes:
    return hashlib.blake2b(without_extension(key).encode(), digest_size=8).digest()


def load_protocol(name: str, images: ImageSet) -> Protocol:
    """A protocol on these images. Raises CdirError if the name is unknown or images that it uses are missing."""
    spec = _card_of(name).protocols[name]
    card = _card_of(name).labelled_for(spec)
    if spec.by_kind:
        images = _labelled_by(card.kinds, images)
    domains = tuple(card.domains)
    seen, queries, gallery = card.class_set(spec.train), card.fractions(spec.query), card.fractions(spec.gallery)
    classes = tuple(queries)
    protocol = Protocol(
        name=name,
        dataset=card.name,
        about=spec.about,
        paper=spec.paper,
        zero_shot=spec.zero_shot,
        seen=seen,
        unseen=tuple(label for label in classes if label not in set(seen)),
        classes=classes,
        gallery_classes=tuple(gallery),
        train_domains=(domains if spec.train_domains == "all" else tuple(spec.train_domains)) if seen else (),
        directions=_directions(spec.directions, domains),
        metrics=tuple(spec.metrics),
        images=in_list(images, card.name, spec.keys) if spec.keys else images,
        image_counts=card.other_counts(images),
        validation=card.class_set(spec.validation),
        unseen_domain=spec.unseen_domain,
        query_fractions={label: fraction for label, fraction in queries.items() if fraction < 1},
        gallery_fractions={label: fraction for label, fraction in gallery.items() if fraction < 1},
        words=card.words,
    )
    _require_images(protocol)
    return protocol


def _labelled_by(kinds: Mapping[str, str], images: ImageSet) -> ImageSet:
    """The images of the classes in `kinds`, with kinds as labels; unchanged if their labels are kinds already."""
    if set(images.labels.tolist()) <= set(kinds.values()):
        return images
    return rename(images.select(labels=kinds), dict(kinds))


def _card_of(name: str) -> Card:
    for card in load_cards():
        if name in card.protocols:
            return card
    near = difflib.get_close_matches(name, protocol_names(), n=5, cutoff=0.5) or protocol_names("world")[:3]
    raise CdirError(f"unknown protocol {name!r}; nearest: {', '.join(near)}; the cards in data_manifest list all")


def _directions(pairs: list[list[str]] | str, domains: Iterable[str]) -> tuple[tuple[str, str], ...]:
    if pairs == "all":
        return tuple((a, b) for a in domains for b in domains if a != b)
    return tuple((a, b) for a, b in pairs)


def _require_images(protocol: Protocol) -> None:
    """Raise CdirError if a domain has no images of a class that the protocol uses there."""
    used = [(domain, protocol.seen) for domain in protocol.train_domains]
    for query, gallery in protocol.directions:
        used += [(query, protocol.classes), (gallery, protocol.gallery_classes)]
    available = _cells(protocol.images)
    needed = dict.fromkeys((domain, label) for domain, labels in used for label in labels)
    missing = [f"{domain}/{label}" for domain, label in needed if (domain, label) not in available]
    if missing:
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        raise CdirError(
            f"{protocol.name} needs images that are missing: {', '.join(missing[:5])}{more}; "
            f"open {protocol.dataset} in full, or choose another protocol"
        )


def _cells(images: ImageSet) -> set[tuple[str, str]]:
    """(domain, class) of all images."""
    return set(zip(images.domains.tolist(), images.labels.tolist()))


def held_out(task: Protocol, trained: ImageSet) -> Protocol | None:
    """The closed-set task on images of its classes that were not used for training; None if there are none.

    On the drawn world, these are drawings of another seed (the protocol `<task>-redrawn`). On other datasets, they are
    the images of the task that are not in `trained` (`<task>-rest`), if training used only a sample.
    Source: our default; UCDIR's released code tests on its training images.
    """
    redrawn = f"{task.name}-redrawn"
    if protocol_spec(redrawn):
        from cdir_nb.data.world import load_world  # imported here, as in `open_dataset`

        other = load_protocol(redrawn, load_world(seed=1, classes=task.classes))
        return replace(other, directions=task.directions, image_counts=task.image_counts)
    digests = set(trained.digests)
    parts = [*task.queries.values(), *task.galleries.values()]
    if all(digests.isdisjoint(part.digests) for part in parts):  # the task itself is on untrained images
        return None
    rows = [row for row, digest in enumerate(task.images.digests) if digest not in digests]
    remainder = replace(task, name=f"{task.name}-rest", images=task.images.take(rows))
    return remainder if set().union(*map(_cells, parts)) <= _cells(remainder.images) else None
