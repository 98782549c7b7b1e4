"""The methods of the explorer. A method may have a slider that selects its state."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Any

import torch

from cdir_nb.conventions import LAST_EPOCH
from cdir_nb.data import Protocol, object_names
from cdir_nb.encoders.zero_shot import prompt_embeddings
from cdir_nb.explorer.collection import Collection
from cdir_nb.methods import Embedder, VanillaClip
from cdir_nb.methods.clair import MappedClip
from cdir_nb.methods.clair.mapping import geodesic, procrustes
from cdir_nb.methods.embedder import Direction
from cdir_nb.methods.stored import StoredEmbedder, stored_embedders
from cdir_nb.methods.table import fit

STRENGTHS = tuple(round(0.05 * i, 2) for i in range(21))
WORDS = (2, 5, 10, 20)  # P of TKI; the paper's Figure 5 ends at 20


@dataclass(frozen=True)
class Slider:
    """A method's slider: its name, its values in order, the initial value, and a description."""

    name: str
    values: tuple[Any, ...]
    start: Any
    about: str


@dataclass(frozen=True)
class ExplorerMethod:
    """A method in all its states.

    at          function from (query domain, gallery domain) and slider value (or None) to an Embedder
    directions  the directions that it was fitted for; None: any
    slow_values slider values for which the first call of `at` in a direction takes seconds
    """

    name: str
    about: str
    at: Callable[[Direction, Any], Embedder]
    slider: Slider | None = None
    directions: tuple[Direction, ...] | None = None
    slow_values: tuple[Any, ...] = ()

    def serves(self, direction: Direction) -> bool:
        """Whether the method was fitted for this direction."""
        return self.directions is None or direction in self.directions

    @property
    def start(self) -> Any:
        """The initial value of the slider; None if the method has no slider."""
        return self.slider.start if self.slider else None


def methods_of(collection: Collection) -> dict[str, ExplorerMethod]:
    """{name: method} of all methods for a collection, the frozen encoder first."""
    methods = [vanilla(collection)]
    words = [word.strip().lower() for word in collection.words.values() if word.strip()]
    if collection.reads_texts and 1 < len(collection.words) == len(set(words)):  # Q is fitted on prompts that differ
        methods.append(mapped(collection))
    if collection.reads_texts and len(collection.names) > 1:
        methods.append(tki(collection))
    return {method.name: method for method in [*methods, *from_cache(collection)]}


def vanilla(collection: Collection) -> ExplorerMethod:
    """The frozen encoder."""
    embedder = VanillaClip(collection.encoder)
    name = embedder.name if collection.reads_texts else "frozen encoder"
    return ExplorerMethod(name, "The frozen encoder: nothing is trained.", lambda direction, value: embedder)


def mapped(collection: Collection) -> ExplorerMethod:
    """CLIP + Q; the slider moves from the identity to Q along the geodesic."""
    objects = object_names(exclude=[collection.names[label] for label in collection.queries or collection.names])

    @cache
    def texts(domain: str) -> torch.Tensor:
        return prompt_embeddings(collection.encoder, objects, collection.words[domain])

    @cache
    def path(direction: Direction) -> Callable[[float], torch.Tensor]:
        return geodesic(procrustes(texts(direction[0]), texts(direction[1])))

    def at(direction: Direction, strength: float) -> Embedder:
        if direction[0] == direction[1]:  # there is nothing to map
            return VanillaClip(collection.encoder)
        return MappedClip(collection.encoder, direction, path(direction)(strength))

    slider = Slider("strength of Q", STRENGTHS, 1.0, "0: CLIP itself; 1: all of Q. In between, a part of the rotation.")
    about = "Queries are rotated by Q, which comes from texts alone (CLAIR, equation 9)."
    return ExplorerMethod("CLIP + Q", about, at, slider, slow_values=(1.0,))


def tki(collection: Collection) -> ExplorerMethod:
    """TKI; the slider sets the number of learnt words. Each number is trained once and then loaded from the cache."""
    task = task_of(collection)

    @cache
    def trained(words: int) -> Embedder:
        fitted = fit("TKI", collection.encoder.encoder, task, settings={"words": words})
        embedder: Any = fitted.states[LAST_EPOCH][0]
        embedder.training.encoder = collection.encoder  # which has the collection's embeddings in memory
        return embedder

    slider = Slider("words P", WORDS, WORDS[-1], "Number of learnt domain words; each is trained once, in seconds.")
    about = "A small network on CLIP, trained on text alone (notebook 07)."
    return ExplorerMethod("TKI", about, lambda direction, words: trained(words), slider, slow_values=WORDS)


def task_of(collection: Collection) -> Protocol:
    """The collection as a task without training images: its query classes, and all directions."""
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


def from_cache(collection: Collection) -> list[ExplorerMethod]:
    """Trained methods that notebooks have stored for these images: one for each name, encoder and pair of domains.

    The encoder is appended to the name in brackets if it is not that of the collection; so are the domains if there are
    several pairs.
    """
    groups: dict[tuple, dict[int, StoredEmbedder]] = {}
    for embedder in stored_embedders(collection.images):
        groups.setdefault((embedder.name, embedder.encoder.identity, embedder.directions), {})[embedder.step] = embedder
    names = [(name, encoder) for name, encoder, _ in groups]
    methods = []
    for (name, encoder, pairs), steps in groups.items():
        notes = [] if encoder == collection.encoder.identity else encoder.split()[:1]
        notes += pairs[0] if pairs and names.count((name, encoder)) > 1 else []
        methods.append(_stored_method(f"{name} ({', '.join(notes)})" if notes else name, steps, collection))
    return [method for method in methods if method.directions]


def _stored_method(name: str, steps: dict[int, StoredEmbedder], collection: Collection) -> ExplorerMethod:
    last, order = steps[max(steps)], tuple(sorted(steps))
    about = f"Trained on {last.train_set}; selection: {last.selection}."
    slider = Slider("epoch", order, order[-1], "The state after each epoch.") if len(order) > 1 else None
    directions = _served(last, collection)
    return ExplorerMethod(name, about, lambda direction, step: steps.get(step, last), slider, directions)


def _served(embedder: StoredEmbedder, c: Collection) -> tuple[Direction, ...]:
    """The directions that the embedder was fitted for, if it has vectors of all queries and of the first gallery."""

    def has_vectors(rows) -> bool:
        return embedder.rows.keys() >= {c.images.digests[row] for row in rows}

    gallery = next(iter(c.galleries))
    query_domains = {domain for domain in c.domains if has_vectors(c.query_rows(domain))}
    gallery_domains = {domain for domain in c.domains if has_vectors(c.gallery_rows(domain, gallery))}
    pairs = embedder.directions or product(c.domains, repeat=2)
    return tuple((a, b) for a, b in pairs if a in query_domains and b in gallery_domains)
