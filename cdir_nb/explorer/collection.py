"""Images to explore, from a dataset or a folder of the user, with an encoder and names of domains and classes."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cdir_nb.data import ImageSet, Protocol, open_task
from cdir_nb.data.card import display
from cdir_nb.data.folder import open_any_folder
from cdir_nb.data.notices import copy_notices, look_notices, name_notices
from cdir_nb.encoders import ClipEncoder, ImageEncoder, load_encoder
from cdir_nb.show import banner, has_random_weights
from cdir_nb.show.banner import RANDOM


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
    problems   one line for each kind of file of the folder that was left out
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
    def summary(self) -> str:
        """The numbers of images, what is remarkable about them, and the files that were left out, as plain text."""
        counts = ", ".join(f"{domain} ({len(self.domain_rows[domain]):,})" for domain in self.domains)
        classes = f"{len(self.names)} classes" if self.labelled else "no labels: results are ranked, not judged"
        lines = [f"{len(self.images):,} images in {self.name}; domains: {counts}; {classes}"]
        lines += [
            *copy_notices(self.images),
            *look_notices(self.images, self.encoder.crops),
            *name_notices(self.images),
        ]
        if self.problems:
            lines += ["left out:", *(f"  {problem}" for problem in self.problems)]
        return "\n".join(lines)

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
    images, problems = open_any_folder(root)
    labels, model = sorted(set(images.labels.tolist()) - {""}), load_encoder(encoder)
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
    counts, *left_out = collection.summary.splitlines()
    lines = [counts, "", *(line.replace("  ", "- ", 1) for line in left_out), "", f"**Encoder:** {model.description}."]
    warning = f"{RANDOM}\n\n" if has_random_weights(model) else ""  # pyright: ignore[reportArgumentType]
    return replace(collection, about=warning + "\n".join(f"> {line}".rstrip() for line in lines))
