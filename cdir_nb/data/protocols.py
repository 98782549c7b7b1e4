"""Protocols: the papers' tasks by name. Each says which images are for training, queries and gallery, and the metrics.

They are defined in the `protocols` field of each card in data_manifest. The first one in a card is its default.
"""

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cdir_nb.conventions import Metric
from cdir_nb.data.card import Card, MetricSpec, ProtocolSpec, display
from cdir_nb.data.halves import in_list, without_extension
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
    validation         classes for early stopping, never trained on; empty if there are none
    train_domains      training domains
    unseen_domain      whether query domains are held out of training by definition
    directions         (query domain, gallery domain), in order
    metrics            as the paper reports them
    images             the image set that all of these select from
    query_shares, gallery_shares   {class: share of its images} of classes that are sampled (see `sample`)
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
    validation: tuple[str, ...] = ()
    unseen_domain: bool = False
    query_shares: Mapping[str, float] = field(default_factory=dict)
    gallery_shares: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def display(self, label: str) -> str:
        """A class name as plain words, for prompts and captions, as the card's `display`."""
        return self.words.get(label) or display(label)

    def query(self, domain: str) -> ImageSet:
        """The queries of a domain, of all query classes; sampled where the protocol says so."""
        return sample(self.images.select(self._known(domain, 0), self.classes), self.query_shares)

    def gallery(self, domain: str) -> ImageSet:
        """The gallery of a domain, of all gallery classes; sampled where the protocol says so."""
        return sample(self.images.select(self._known(domain, 1), self.gallery_classes), self.gallery_shares)

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
        """Training images (empty if the paper uses none). Their labels are for supervised methods only.

        Images that were sampled as queries or gallery are left out.
        """
        images = self.images.select(self.train_domains, self.seen)
        parts = [(self.queries, self.query_shares), (self.galleries, self.gallery_shares)]
        sets = [own.select(labels=shares) for drawn, shares in parts if shares for own in drawn.values()]
        sampled = {key for own in sets for key in own.keys}
        return images.take([row for row, key in enumerate(images.keys) if key not in sampled]) if sampled else images

    @property
    def cutoffs(self) -> tuple[list[int], list[int | None]]:
        """The cut-offs that the protocol reports for precision and average precision (None: no cut-off), ascending."""
        ks = {metric.k for metric in self.metrics if metric.kind == "precision"}
        ap_ks = {metric.k for metric in self.metrics if metric.kind == "average_precision"}
        return sorted(ks), sorted(ap_ks, key=lambda k: (k is None, k))

    @property
    def first_precision(self) -> MetricSpec:
        """The first precision in the card: its cut-off and convention are those of the notebooks' figures."""
        return next(metric for metric in self.metrics if metric.kind == "precision")

    @property
    def headline(self) -> str:
        """The name of `first_precision`, such as "P@10:hits_over_k"."""
        first = self.first_precision
        return str(Metric(first.kind, first.k, first.convention))

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


def protocol_counts(name: str) -> dict[str, dict[str, int | None]]:
    """{"train", "query", "gallery": {domain: images}} as the card's counts give them; None: not known.

    Read from the manifest, without images. The samples of a gallery that are held out of training are taken off.
    """
    card, spec = _card_of(name), protocol_spec(name)
    directions = protocol_directions(name)
    seen, kept = dict.fromkeys(card.class_set(spec.train), 1.0), card.shares(spec.gallery)
    queries, galleries = (tuple(dict.fromkeys(pair[side] for pair in directions)) for side in (0, 1))
    trained = (card.domains if spec.train_domains == "all" else spec.train_domains) if seen else ()
    train = {domain: _count(card, domain, seen) for domain in trained}
    sampled = {label: share for label, share in kept.items() if share < 1 and label in seen}
    for domain in set(galleries) & set(trained):
        taken = _count(card, domain, sampled)
        train[domain] = None if None in (train[domain], taken) else train[domain] - taken
    return {
        "train": train,
        "query": {domain: _count(card, domain, card.shares(spec.query)) for domain in queries},
        "gallery": {domain: _count(card, domain, kept) for domain in galleries},
    }


def _count(card: Card, domain: str, shares: Mapping[str, float]) -> int | None:
    counts = card.counts.get(domain, {})
    if any(label not in counts for label in shares):
        return None
    return sum(_size(counts[label], share) for label, share in shares.items())


def sample(images: ImageSet, shares: Mapping[str, float]) -> ImageSet:
    """The images without those beyond the share of their class (classes that are not named keep all), order kept.

    Of each domain and class those are kept whose key has the lowest digest: a fixed random choice, the same on every
    machine, of which a smaller share is a part.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for row, group in enumerate(zip(images.domains.tolist(), images.labels.tolist())):
        groups.setdefault(group, []).append(row)
    if not shares or not groups:
        return images
    kept = [
        sorted(rows, key=lambda row: _lot(images.keys[row]))[: _size(len(rows), shares.get(label, 1.0))]
        for (_, label), rows in groups.items()
    ]
    return images.take(np.sort(np.concatenate(kept)))


def _size(count: int, share: float) -> int:
    """How many of `count` images a share is: at least one, where there is one."""
    return min(count, max(1, round(share * count)))


def _lot(key: str) -> bytes:
    return hashlib.blake2b(without_extension(key).encode(), digest_size=8).digest()


def load_protocol(name: str, images: ImageSet) -> Protocol:
    """A protocol on these images. Raises CdirError if the name is unknown or images that it uses are missing."""
    card = _card_of(name)
    spec = card.protocols[name]
    every = tuple(card.domains)
    seen, queries, gallery = card.class_set(spec.train), card.shares(spec.query), card.shares(spec.gallery)
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
        train_domains=(every if spec.train_domains == "all" else tuple(spec.train_domains)) if seen else (),
        directions=_directions(spec.directions, every),
        metrics=tuple(spec.metrics),
        images=in_list(images, card.name, spec.keys) if spec.keys else images,
        validation=card.class_set(spec.validation),
        unseen_domain=spec.unseen_domain,
        query_shares={label: share for label, share in queries.items() if share < 1},
        gallery_shares={label: share for label, share in gallery.items() if share < 1},
        words=card.words,
    )
    _require_images(protocol)
    return protocol


def _card_of(name: str) -> Card:
    for dataset in card_names():
        card = load_card(dataset)
        if name in card.protocols:
            return card
    near = difflib.get_close_matches(name, protocol_names(), n=5, cutoff=0.5) or protocol_names("world")[:3]
    raise CdirError(f"no protocol is called {name!r}; nearest: {', '.join(near)}; the cards in data_manifest list all")


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
