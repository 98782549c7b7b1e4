"""The methods of the explorer, each with at most one slider that leads through its states."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Any

import torch

from cdir_nb.conventions import LAST_EPOCH
from cdir_nb.data import Protocol, object_names
from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.zero_shot import class_prompts, prompt_embeddings
from cdir_nb.explorer.collection import Collection
from cdir_nb.explorer.stored import stored
from cdir_nb.methods import Embedder, VanillaClip
from cdir_nb.methods.checkpoints import digest_of
from cdir_nb.methods.clair import MappedClip
from cdir_nb.methods.clair.mapping import geodesic, procrustes
from cdir_nb.methods.embedder import Direction
from cdir_nb.methods.stored import StoredEmbedder, stored_embedders
from cdir_nb.methods.table import fit

STRENGTHS = tuple(round(0.05 * i, 2) for i in range(21))
WORDS = (2, 5, 10, 20)  # P of TKI; the paper's Figure 5 goes up to 20


@dataclass(frozen=True)
class Slider:
    """A method's own slider: its name, its values in order, where it starts, and in words what it does."""

    name: str
    values: tuple[Any, ...]
    start: Any
    about: str


@dataclass(frozen=True)
class Method:
    """A method in all its states.

    at          (query domain, gallery domain), value of the slider (None without one) -> Embedder
    directions  the directions that it serves; None: any
    once        names what `at` computes once for these arguments because it takes seconds; None: nothing
    """

    name: str
    about: str
    at: Callable[[Direction, Any], Embedder]
    slider: Slider | None = None
    directions: tuple[Direction, ...] | None = None
    once: Callable[[Direction, Any], Any] = lambda direction, value: None

    def serves(self, direction: Direction) -> bool:
        """Whether it was fitted for this direction."""
        return self.directions is None or direction in self.directions

    @property
    def start(self) -> Any:
        """Where its slider starts."""
        return self.slider.start if self.slider else None


def methods_of(collection: Collection) -> dict[str, Method]:
    """Every method that can be used on a collection: {name: Method}, vanilla CLIP first."""
    found = [vanilla(collection)]
    if collection.reads_texts and _distinct_words(collection):
        found.append(mapped(collection))
    if collection.reads_texts and len(collection.names) > 1:
        found.append(tki(collection))
    return {method.name: method for method in [*found, *from_cache(collection)]}


def vanilla(collection: Collection) -> Method:
    """The frozen encoder."""
    embedder = VanillaClip(collection.encoder)
    about = "The frozen encoder: nothing is trained."
    return Method(
        embedder.name if collection.reads_texts else "frozen encoder", about, lambda direction, value: embedder
    )


def mapped(collection: Collection) -> Method:
    """CLIP + Q; the slider leads from the identity to Q along the geodesic."""
    avoid = [collection.names[label] for label in collection.queries or collection.names]
    objects = object_names(exclude=avoid)

    @cache
    def texts(domain: str) -> torch.Tensor:
        return kept_texts(collection.encoder, objects, collection.words[domain])

    @cache
    def path(direction: Direction):
        return geodesic(procrustes(*map(texts, direction))) if len(set(direction)) == 2 else None

    def at(direction: Direction, strength: float) -> Embedder:
        way = path(direction)
        if way is None:  # within a domain there is nothing to map
            return VanillaClip(collection.encoder)
        return MappedClip(collection.encoder, direction, way(strength))

    slider = Slider("strength of Q", STRENGTHS, 1.0, "0: CLIP itself; 1: all of Q. In between, a part of the rotation.")
    about = "Queries are rotated by Q, which comes from texts alone (CLAIR, equation 9)."
    return Method("CLIP + Q", about, at, slider, once=lambda direction, strength: direction)


def kept_texts(encoder: ClipEncoder, names: Sequence[str], word: str) -> torch.Tensor:
    """(n, D) unit embeddings of the names in prompts of one domain, from the cache if they were embedded before."""
    key = {"model": encoder.identity, "texts": digest_of(class_prompts(names, word))}
    return stored("texts", key, lambda: prompt_embeddings(encoder, names, word))


def tki(collection: Collection) -> Method:
    """TKI; the slider sets the number of learnt words. Each number is trained once and then loaded from the cache."""
    task = task_of(collection)

    @cache
    def trained(words: int) -> Embedder:
        fitted = fit("TKI", collection.encoder.encoder, task, settings={"words": words})
        (embedder,) = fitted.states[LAST_EPOCH]
        embedder.training.encoder = collection.encoder  # which has the collection's embeddings in memory
        return embedder

    slider = Slider("words P", WORDS, WORDS[-1], "How many domains are imagined in training. Each takes seconds, once.")
    about = "A small network on CLIP, trained on text alone (notebook 06)."
    return Method("TKI", about, lambda direction, words: trained(words), slider, once=lambda direction, words: words)


def task_of(collection: Collection) -> Protocol:
    """The collection as a task without training images: its query classes, in all directions."""
    labels = collection.queries or tuple(collection.names)
    return Protocol(
        name=collection.name,
        dataset=collection.name,
        about="",
        paper="",
        zero_shot=False,
        seen=(),
        unseen=labels,
        classes=labels,
        gallery_classes=labels,
        train_domains=(),
        directions=tuple(permutations(collection.domains, 2)),
        metrics=(),
        images=collection.images,
        words=collection.names,
    )


def from_cache(collection: Collection) -> list[Method]:
    """Trained methods that notebooks have kept for these images; one Method per name, encoder and pair of domains."""
    groups: dict[tuple, dict[int, StoredEmbedder]] = {}
    for one in stored_embedders(collection.images):
        groups.setdefault((one.name, one.encoder.identity, one.directions), {})[one.step] = one
    labels = _labels(list(groups), collection)
    methods = [_kept_method(label, steps, collection) for label, steps in zip(labels, groups.values())]
    return [method for method in methods if method.directions]


def _labels(groups: Sequence[tuple], collection: Collection) -> list[str]:
    """Names, with what tells one from others: an encoder that is not the explorer's, and the pair of domains."""
    names = [(name, encoder) for name, encoder, _ in groups]
    labels = []
    for name, encoder, pairs in groups:
        notes = [] if encoder == collection.encoder.identity else encoder.split()[:1]
        notes += pairs[0] if pairs and names.count((name, encoder)) > 1 else []
        labels.append(f"{name} ({', '.join(notes)})" if notes else name)
    return labels


def _kept_method(name: str, steps: dict[int, StoredEmbedder], collection: Collection) -> Method:
    last, order = steps[max(steps)], tuple(sorted(steps))
    about = f"Trained on {last.train_set}; selection: {last.selection}."
    slider = Slider("epoch", order, order[-1], "The state after each epoch.") if len(order) > 1 else None
    return Method(name, about, lambda direction, step: steps.get(step, last), slider, _served(last, collection))


def _served(one: StoredEmbedder, c: Collection) -> tuple[Direction, ...]:
    """The directions that it was fitted for and has vectors of: of all queries, and of the first choice of gallery."""

    def has(rows) -> bool:
        return one.rows.keys() >= {c.images.digests[row] for row in rows}

    first = next(iter(c.galleries))
    asked = {domain for domain in c.domains if has(c.query_rows(domain))}
    searched = {domain for domain in c.domains if has(c.gallery_rows(domain, first))}
    pairs = one.directions or product(c.domains, repeat=2)
    return tuple((a, b) for a, b in pairs if a in asked and b in searched)


def _distinct_words(collection: Collection) -> bool:
    """Q needs domains that prompts can tell apart."""
    return (
        1 < len(collection.words) == len({word.strip().lower() for word in collection.words.values() if word.strip()})
    )
