"""Images to explore, from a dataset or a user's folder, with an encoder and names of domains and classes."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cdir_nb.data import ImageSet, Protocol, copies, open_task
from cdir_nb.data.card import display
from cdir_nb.data.folder import open_any_folder
from cdir_nb.data.notices import copy_notices, look_notices, name_notices
from cdir_nb.encoders import ClipEncoder, ImageEncoder, load_encoder
from cdir_nb.errors import CdirError, printable
from cdir_nb.retrieval.ranking import nearly_equal
from cdir_nb.show import banner, has_random_weights
from cdir_nb.show.banner import RANDOM

MAX_NOTICES = 8  # lines that are not folded


@dataclass(frozen=True)
class Collection:
    """Images to explore.

    name       the name of the dataset or folder
    images     all images, grouped by domain
    encoder    an `InMemoryEncoder` with the embeddings of all images
    words      {domain: its word in prompts}
    names      {class: its name in prompts}; empty if no image has a label
    queries    classes whose images are queries; empty: every image is a query
    galleries  {name of a gallery: its classes}; no classes: all images
    about      Markdown: the source of images and encoder
    problems   one line for each kind of file that was left out
    """

    name: str
    images: ImageSet
    encoder: Any
    words: dict[str, str]
    names: dict[str, str]
    queries: tuple[str, ...]
    galleries: dict[str, tuple[str, ...]]
    about: str
    problems: tuple[str, ...] = ()

    @property
    def counts(self) -> str:
        """The numbers of images and classes, as a line of plain text."""
        counts = ", ".join(f"{domain} ({len(self.domain_rows[domain]):,})" for domain in self.domains)
        classes = f"{len(self.names)} classes" if self.labelled else "no labels: results are ranked, not judged"
        return f"{len(self.images):,} images in {self.name}; domains: {counts}; {classes}"

    @cached_property
    def notices(self) -> list[str]:
        """Lines on copies, on images that are blank or cut off, on names, and on files that were left out."""
        left_out = [f"left out: {problem}" for problem in self.problems]
        faults = [
            *copy_notices(self.images),
            *look_notices(self.images, self.encoder.crops),
            *name_notices(self.images),
        ]
        return [*faults, *left_out]

    @property
    def summary(self) -> str:
        """Counts and notices, as lines of plain text."""
        return "\n".join([self.counts, *self.notices])

    @cached_property
    def same_images(self) -> dict[str, list[int]]:
        """{digest: the rows of the same image}; more than one row if the collection has copies of it."""
        rows = {digest: [row] for row, digest in enumerate(self.images.digests)}
        return rows | {self.images.digests[row]: group.tolist() for group in copies(self.images) for row in group}

    def is_copied(self, row: int) -> bool:
        """Whether the collection has copies of an image."""
        return len(self.same_images[self.images.digests[row]]) > 1

    @property
    def domains(self) -> list[str]:
        """Domains, in the order of their first images."""
        return list(self.words)

    @property
    def labelled(self) -> bool:
        """Whether images have labels, so that results can be marked right or wrong."""
        return bool(self.names)

    @property
    def reads_texts(self) -> bool:
        """Whether the encoder has a text tower."""
        return isinstance(self.encoder.encoder, ClipEncoder)

    def query_rows(self, domain: str) -> np.ndarray:
        """(Q,) rows of a domain's queries."""
        return self._rows(domain, self.queries)

    def gallery_rows(self, domain: str, gallery: str) -> np.ndarray:
        """(G,) rows of a domain's gallery."""
        return self._rows(domain, self.galleries[gallery])

    def row(self, key: str) -> int:
        """The row of an image."""
        return self._row_of[key]

    @cached_property
    def domain_rows(self) -> dict[str, np.ndarray]:
        """{domain: its rows}, in order."""
        return {domain: self._rows(domain, ()) for domain in self.domains}

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self.images.keys)}

    def _rows(self, domain: str, classes: tuple[str, ...]) -> np.ndarray:
        return np.flatnonzero(self.images.mask([domain], classes or None))


class InMemoryEncoder:
    """An encoder that holds the embeddings of a collection in memory; other attributes are those of the encoder.

    The cache on disk is read once. After that, a method embeds a domain by looking up rows, which makes sliders fast.
    Images that are not in the collection, such as a drawing, are embedded and not stored.
    """

    def __init__(self, encoder: ImageEncoder, images: ImageSet) -> None:
        self.encoder = encoder
        self.table = encoder.embed_images(images, progress=True)
        self.row_of = {digest: row for row, digest in enumerate(images.digests)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["encoder"], name)

    def embed_images(self, images: ImageSet, *, progress: bool = False) -> torch.Tensor:
        """(N, D) float32, equal to the embeddings by the encoder."""
        rows = [self.row_of.get(digest) for digest in images.digests]
        if None in rows:
            return self.encoder.embed_images(images, progress=progress, keep=False)
        return self.table[rows]


def require_different(emb: torch.Tensor, name: str) -> None:
    """Raise CdirError if all (N, D) embeddings have nearly the same direction: rounding would decide their order."""
    if nearly_equal(emb, "cosine"):
        raise CdirError(f"all images of {name} have nearly the same embedding: their order would mean nothing")


def open_collection(dataset: str, root: str = "", protocol: str = "", encoder: str = "tiny-clip") -> Collection:
    """Open a dataset that has a card; one of its protocols defines queries and gallery."""
    card, images, task = open_task(dataset, root, protocol)
    used, model = images.select(task.domains), load_encoder(encoder)
    return Collection(
        name=card.title,
        images=used,
        encoder=InMemoryEncoder(model, used),
        words={domain: card.domain_word(domain) for domain in task.domains},
        names={label: card.display(label) for label in card.classes},
        queries=task.classes,
        galleries=gallery_choices(task),
        about=str(banner(card, used, model).data),  # pyright: ignore[reportArgumentType]
    )


def gallery_choices(task: Protocol) -> dict[str, tuple[str, ...]]:
    """{name: classes} of the protocol's gallery, and of a gallery with training classes as distractors."""
    both = tuple(dict.fromkeys((*task.gallery_classes, *task.seen)))
    if len(both) == len(task.gallery_classes):
        return {f"{len(both)} classes of the protocol": both}
    return {
        f"{len(task.gallery_classes)} unseen classes": task.gallery_classes,
        f"{len(both)} classes, unseen and seen": both,
    }


def open_user_folder(root: Path | str, encoder: str = "real-clip") -> Collection:
    """Open a folder of images, in any layout that `open_any_folder` accepts."""
    model = load_encoder(encoder)  # first: a wrong encoder is reported before many images are read
    images, problems = open_any_folder(root)
    labels = sorted(set(images.labels.tolist()) - {""})
    collection = Collection(
        name=Path(root).resolve().name,
        images=images,
        encoder=InMemoryEncoder(model, images),
        words={domain: display(domain) for domain in dict.fromkeys(images.domains.tolist())},
        names={label: display(label) for label in labels},
        queries=(),
        galleries={"all images": ()},
        about="",
        problems=tuple(problems),
    )
    warning = f"{RANDOM}\n\n" if has_random_weights(model) else ""  # pyright: ignore[reportArgumentType]
    encoder_line = f"> **Encoder:** {model.description}."
    counts = f"> {html.escape(collection.counts)}"
    return replace(collection, about="\n\n".join([warning + counts, *_as_html(collection.notices), encoder_line]))


def _as_html(notices: Sequence[str]) -> list[str]:
    """A list of the notices if there are any; those after the first MAX_NOTICES are folded."""
    items = [f"<li>{html.escape(printable(notice))}</li>" for notice in notices]
    shown, folded = "".join(items[:MAX_NOTICES]), "".join(items[MAX_NOTICES:])
    if folded:
        more = f"{len(items) - MAX_NOTICES:,} more"
        folded = f"<details><summary>{more}</summary><ul>{folded}</ul></details>"
    return [f"<ul>{shown}</ul>{folded}"] if items else []
