"""Protocols: the papers' tasks by name. Each says which images are for training, queries and gallery, and the metrics.

They are defined in the `protocols` field of each card in data_manifest. The first one in a card is its default.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from cdir_nb.data.card import Card, MetricSpec, ProtocolSpec
from cdir_nb.data.halves import in_list
from cdir_nb.data.images import ImageSet
from cdir_nb.data.manifest import card_names, load_card, open_dataset
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
    train_domains      training domains
    directions         (query domain, gallery domain), in order
    metrics            as the paper reports them
    images             the image set that all of these select from
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

    def query(self, domain: str) -> ImageSet:
        """The queries of a domain, of all query classes."""
        return self.images.select(self._known(domain, 0), self.classes)

    def gallery(self, domain: str) -> ImageSet:
        """The gallery of a domain, of all gallery classes."""
        return self.images.select(self._known(domain, 1), self.gallery_classes)

    @property
    def queries(self) -> dict[str, ImageSet]:
        """{query domain: its queries}."""
        return {domain: self.query(domain) for domain in dict.fromkeys(a for a, _ in self.directions)}

    @property
    def galleries(self) -> dict[str, ImageSet]:
        """{gallery domain: its gallery}."""
        return {domain: self.gallery(domain) for domain in dict.fromkeys(b for _, b in self.directions)}

    def between(self, first: str, second: str) -> "Protocol":
        """The same task with only the directions between two of its domains. Raises CdirError if there are none."""
        kept = tuple(pair for pair in self.directions if set(pair) == {first, second})
        if not kept:
            raise CdirError(
                f"{self.name} has no direction between {first} and {second}: its domains are {', '.join(self.domains)}"
            )
        return replace(self, directions=kept)

    @property
    def train(self) -> ImageSet:
        """Training images (empty if the paper uses none). Their labels are for supervised methods only."""
        return self.images.select(self.train_domains, self.seen)

    @property
    def cutoffs(self) -> tuple[list[int], list[int | None]]:
        """The cut-offs that the protocol reports for precision and average precision (None: no cut-off), ascending."""
        ks = {metric.k for metric in self.metrics if metric.kind == "precision"}
        ap_ks = {metric.k for metric in self.metrics if metric.kind == "average_precision"}
        return sorted(ks), sorted(ap_ks, key=lambda k: (k is None, k))

    @property
    def first_cutoff(self) -> int:
        """The k of the first precision in the card, which the notebooks' figures show."""
        return next(metric.k for metric in self.metrics if metric.kind == "precision")

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains of queries and galleries, in order of first use."""
        return tuple(dict.fromkeys(domain for pair in self.directions for domain in pair))

    def _known(self, domain: str, side: int) -> str:
        allowed = list(dict.fromkeys(pair[side] for pair in self.directions))
        if domain not in allowed:
            side_name = ("query", "gallery")[side]
            raise CdirError(f"{self.name} has no {side_name} domain {domain!r}; it has {', '.join(allowed)}")
        return domain


def protocol_names(dataset: str | None = None) -> list[str]:
    """Names of all protocols, or of those that one dataset's card defines (its default first)."""
    names = [dataset] if dataset else card_names()
    return [protocol for name in names for protocol in load_card(name).protocols]


def default_protocol(dataset: str) -> str:
    """The first protocol of a dataset's card. Raises CdirError if it has none."""
    names = protocol_names(dataset)
    if not names:
        raise CdirError(f"{dataset} has no protocol of its own; name one of {', '.join(protocol_names())}")
    return names[0]


def open_task(dataset: str, root: Path | str | None = None, protocol: str = "") -> tuple[Card, ImageSet, Protocol]:
    """The card of a dataset, its images, and a protocol on them (by default the first one in the card).

    Raises CdirError as `open_dataset` and `load_protocol` do.
    """
    images = open_dataset(dataset, root or None)
    return load_card(dataset), images, load_protocol(protocol or default_protocol(dataset), images)


def protocol_spec(name: str) -> ProtocolSpec | None:
    """A protocol as its card defines it; None if no card has it."""
    return next((card.protocols[name] for card in map(load_card, card_names()) if name in card.protocols), None)


def protocol_directions(name: str) -> tuple[tuple[str, str], ...]:
    """The (query domain, gallery domain) pairs of a protocol, without opening images; empty if no card has it."""
    spec = protocol_spec(name)
    return _directions(spec.directions, _card_of(name).domains) if spec else ()


def load_protocol(name: str, images: ImageSet) -> Protocol:
    """A protocol on these images. Raises CdirError if the name is unknown or images that it uses are missing."""
    card = _card_of(name)
    spec = card.protocols[name]
    every = tuple(card.domains)
    seen, classes = card.class_set(spec.train), card.class_set(spec.query)
    protocol = Protocol(
        name=name,
        dataset=card.name,
        about=spec.about,
        paper=spec.paper,
        zero_shot=spec.zero_shot,
        seen=seen,
        unseen=tuple(label for label in classes if label not in set(seen)),
        classes=classes,
        gallery_classes=card.class_set(spec.gallery),
        train_domains=(every if spec.train_domains == "all" else tuple(spec.train_domains)) if seen else (),
        directions=_directions(spec.directions, every),
        metrics=tuple(spec.metrics),
        images=in_list(images, card.name, spec.keys) if spec.keys else images,
    )
    _require_images(protocol)
    return protocol


def _card_of(name: str) -> Card:
    for dataset in card_names():
        card = load_card(dataset)
        if name in card.protocols:
            return card
    raise CdirError(f"no protocol is called {name!r}; known: {', '.join(protocol_names())}")


def _directions(pairs: list[list[str]] | str, domains: Iterable[str]) -> tuple[tuple[str, str], ...]:
    if pairs == "all":
        return tuple((a, b) for a in domains for b in domains if a != b)
    return tuple((a, b) for a, b in pairs)


def _require_images(protocol: Protocol) -> None:
    """Raise CdirError if a domain has no images of a class that the protocol uses there."""
    used = [(domain, protocol.seen) for domain in protocol.train_domains]
    for query, gallery in protocol.directions:
        used += [(query, protocol.classes), (gallery, protocol.gallery_classes)]
    there = set(zip(protocol.images.domains.tolist(), protocol.images.labels.tolist()))
    needed = dict.fromkeys((domain, label) for domain, labels in used for label in labels)
    missing = [f"{domain}/{label}" for domain, label in needed if (domain, label) not in there]
    if missing:
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        raise CdirError(
            f"{protocol.name} needs images that are missing: {', '.join(missing[:5])}{more}; "
            f"open {protocol.dataset} in full, or choose another protocol"
        )
