"""The schema of a dataset's card (data_manifest/<name>/card.yaml), validated strictly."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import chain, combinations
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cdir_nb.conventions import Metric
from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)  # built at the first card


class DomainInfo(BaseModel):
    """One domain: its folder under the root, word in prompts, number of images (None: unknown) and source.

    `credit`: author and licence in a few words, for captions of figures with an image of the domain.
    `title`: its name in figures, tables and pages, if this differs from the domain's name: `real (drawn)`.
    """

    model_config = STRICT
    folder: str = ""
    word: str
    total: int | None
    known: str
    credit: str = ""
    title: str = ""


class MetricSpec(BaseModel):
    """A metric as reported in a paper. `k` is None for the whole ranking; `known` is the source of the convention."""

    model_config = STRICT
    kind: Literal["precision", "average_precision"]
    k: int | None = None
    convention: str
    paper: str
    known: Literal["released code", "inferred", "our default"]
    note: str = ""

    @model_validator(mode="after")
    def _check(self) -> "MetricSpec":
        try:
            Metric(self.kind, self.k, self.convention)
        except CdirError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def metric(self) -> Metric:
        """The metric with its name, such as `P@10:hits_over_k`."""
        return Metric(self.kind, self.k, self.convention)


Fraction = Annotated[float, Field(gt=0, le=1)]
ClassSets = str | Annotated[dict[str, Fraction], Field(min_length=1)]


class ProtocolSpec(BaseModel):
    """A task, described by the names of class sets ("all": every class), domains and (query, gallery) directions.

    `train`: a class set, or None if the paper uses no training images. `zero_shot`: training and query classes are
    disjoint. `query`, `gallery`: a class set, or several with the fraction of each class's images to use, {set:
    fraction}. `validation`: classes for early stopping, which are never trained on. `unseen_domain`: query domains are
    not trained on. `keys`: a gzipped list of the keys of the images to use, beside the card (None: all images).
    `by_kind`: the classes are those of the card's `kinds` that contain at least this number of its classes; the only
    class set is "all".
    """

    model_config = STRICT
    about: str
    paper: str
    zero_shot: bool
    train: str | None = None
    train_domains: list[str] | Literal["all"] = "all"
    validation: str | None = None
    unseen_domain: bool = False
    query: ClassSets
    gallery: ClassSets
    directions: list[Annotated[list[str], Field(min_length=2, max_length=2)]] | Literal["all"] = "all"
    keys: str | None = None
    by_kind: Annotated[int, Field(ge=1)] | None = None
    metrics: Annotated[list[MetricSpec], Field(min_length=1)]


class Card(BaseModel):
    """The contents of data_manifest/<name>/card.yaml. `counts`: domain -> class -> number of images, where known.

    `bundled`: the folder beside the card with the images, if they come with the workbook. `kinds`: {class: the wider
    class that it belongs to}, for protocols `by_kind`.
    """

    model_config = STRICT
    name: str
    title: str
    about: str
    kind: Literal["folder", "drawn", "ndjson", "combined"]
    source: str
    licence: str
    citation: str
    layout: str
    domains: Annotated[dict[str, DomainInfo], Field(min_length=1)]
    classes: Annotated[list[str], Field(min_length=1)]
    counts: dict[str, dict[str, int]] = {}
    words: dict[str, str] = {}
    renames: dict[str, dict[str, str]] = {}
    parts: dict[str, dict[str, str]] = {}
    bundled: str = ""
    class_sets: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    protocols: dict[str, ProtocolSpec] = {}

    @model_validator(mode="after")
    def _check(self) -> "Card":
        for name, classes in {"classes": self.classes, **self.class_sets}.items():
            _require_known(f"class_sets.{name}", classes, self.classes)
            if len(set(classes)) < len(classes):
                raise ValueError(f"{name} lists a class more than once")
        _require_known("words", self.words, self.classes)
        _require_known("kinds", self.kinds, self.classes)
        _check_counts(self)
        for name, protocol in self.protocols.items():
            _check_protocol(self.labelled_for(protocol), f"protocols.{name}", protocol)
        return self

    def class_set(self, name: str | None) -> tuple[str, ...]:
        """The classes of a class set, in the card's order; every class for "all", none for None."""
        chosen = self.classes if name == "all" else self.class_sets[name] if name else []
        return tuple(label for label in self.classes if label in set(chosen))

    def labelled_for(self, protocol: ProtocolSpec) -> "Card":
        """The card; for a protocol `by_kind`, a copy whose classes are the kinds, without class sets and counts."""
        if protocol.by_kind is None:
            return self
        sizes = Counter(self.kinds.values())
        kinds = [kind for kind, size in sizes.items() if size >= protocol.by_kind]
        members = {label: kind for label, kind in self.kinds.items() if kind in kinds}
        return self.model_copy(update={"classes": kinds, "kinds": members, "class_sets": {}, "counts": {}, "words": {}})

    def fractions(self, part: str | dict[str, float]) -> dict[str, float]:
        """{class: fraction of its images} for the queries or the gallery of a protocol, in the card's order."""
        sets = {part: 1.0} if isinstance(part, str) else part
        fractions = {label: fraction for name, fraction in sets.items() for label in self.class_set(name)}
        return {label: fractions[label] for label in self.classes if label in fractions}

    def display(self, label: str) -> str:
        """A class name as plain words, for prompts and captions: Alarm_Clock -> alarm clock."""
        return self.words.get(label) or display(label)

    def other_counts(self, images: ImageSet) -> str:
        """The number of images if it differs from the card's, such as "168 of 9,991 images"; otherwise empty.

        Images are counted by domain and class; domains and classes without a number in the card are not compared.
        """
        cells = Counter(zip(images.domains.tolist(), images.labels.tolist()))
        domains, totals = Counter(images.domains.tolist()), [info.total for info in self.domains.values()]
        counted = all(cells[domain, label] == n for domain, row in self.counts.items() for label, n in row.items())
        if counted and all(info.total in (None, domains[domain]) for domain, info in self.domains.items()):
            return ""
        total = None if None in totals else sum(filter(None, totals))
        if total is None or total == len(images):
            return f"{len(images):,} images, in some classes not as many as its card counts"
        return f"{len(images):,} of {total:,} images"

    def domain_word(self, domain: str) -> str:
        """The word for a domain in prompts: real -> photo."""
        if domain not in self.domains:
            raise CdirError(f"{self.name} has no domain {domain!r}; its domains: {', '.join(self.domains)}")
        return self.domains[domain].word

    @property
    def domain_titles(self) -> dict[str, str]:
        """{domain: its title}, for the domains that have one."""
        return {domain: info.title for domain, info in self.domains.items() if info.title}


def display(label: str) -> str:
    """A class name as plain words where no card gives them: underscores become spaces, lower case."""
    return label.replace("_", " ").lower()


def _require_known(where: str, names: Iterable[str], available: Collection[str]) -> None:
    if unknown := sorted(set(names) - set(available)):
        raise ValueError(f"{where} has names that are not in the card: {', '.join(unknown[:5])}")


def _require_disjoint(where: str, groups: Mapping[str, Collection[str]]) -> None:
    for (left, left_names), (right, right_names) in combinations(groups.items(), 2):
        if common := sorted(set(left_names) & set(right_names)):
            raise ValueError(f"{where}: {left} and {right} overlap: {common[:5]}")


def _check_counts(card: Card) -> None:
    _require_known("counts", card.counts, card.domains)
    for domain, counts in card.counts.items():
        _require_known(f"counts.{domain}", counts, card.classes)
        total = card.domains[domain].total
        if total is not None and len(counts) == len(card.classes) and sum(counts.values()) != total:
            raise ValueError(f"domains.{domain}.total is {total}, but its classes sum to {sum(counts.values())}")


def _check_protocol(card: Card, where: str, spec: ProtocolSpec) -> None:
    if not card.classes:
        raise ValueError(f"{where}.by_kind: no kind has {spec.by_kind} classes")
    query, gallery = ([part] if isinstance(part, str) else list(part) for part in (spec.query, spec.gallery))
    _require_known(where, filter(None, [spec.train, spec.validation, *query, *gallery]), ["all", *card.class_sets])
    for names in (query, gallery):
        _require_disjoint(where, {f"class set {name}": card.class_set(name) for name in names})
    train_domains = card.domains if spec.train_domains == "all" else spec.train_domains
    directions = [] if spec.directions == "all" else spec.directions
    _require_known(where, chain(train_domains, *directions), card.domains)
    groups = {
        "training classes": card.class_set(spec.train),
        "validation classes": card.class_set(spec.validation),
        "query classes": tuple(card.fractions(spec.query)) if spec.zero_shot else (),
    }
    _require_disjoint(where, groups)
    if spec.unseen_domain:
        query_domains = [query_domain for query_domain, _ in directions]
        _require_disjoint(where, {"training domain": train_domains, "unseen query domain": query_domains})
