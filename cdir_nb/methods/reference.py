"""Reference rows: results of a frozen encoder without training, grouped by the data that they use:

    training images   their means, without labels; one query at a time
    texts             names of objects that are not query classes, in prompts with the domains' words; no image
    all queries       means, balancing or neighbours of all test queries, which must be known at once

The settings were chosen on seen classes: `python scripts/frozen.py choose`, docs/results/frozen-settings.csv.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from cdir_nb.data import load_card
from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ClipEncoder, ImageEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.mapped_clip import names_of
from cdir_nb.methods.clair.mapping import text_pairs
from cdir_nb.methods.embedder import Direction, Embedder
from cdir_nb.methods.frozen import FROZEN_START, FrozenStart, FrozenStartSettings, VanillaClip
from cdir_nb.methods.postprocessed import (
    QUERIES,
    TRAINING,
    AlphaQE,
    Centre,
    KReciprocal,
    Popularity,
    PostProcessed,
    Step,
)
from cdir_nb.retrieval.postprocess import contrastive_projection

EXPANSION = AlphaQE(n=5, alpha=1)
BY_TRAINING_IMAGES: tuple[tuple[Step, ...], ...] = ((Centre(TRAINING),), (Centre(TRAINING), EXPANSION))
BY_ALL_QUERIES: tuple[tuple[Step, ...], ...] = (
    (Centre(QUERIES),),
    (Popularity("sinkhorn", QUERIES, tau=0.2),),
    (Centre(QUERIES), KReciprocal(k1=40, k2=3)),
)
STYLE_WEIGHT, FRACTION = 0.2, 0.25  # of BASIC's projection: a, and the fraction d / D of the dimensions
VOCABULARY_TAU = 0.2
SEES_TEST_IMAGES = " (sees test images)"

Rows = Callable[[torch.Tensor, ImageSet], torch.Tensor]  # unit rows (N, D) of images -> (N, D')


class FromTexts(VanillaClip):
    """CLIP's unit vectors, transformed by a function that was computed from texts alone; compared by cosine."""

    train_set = "no image; texts alone"

    def __init__(self, encoder: ClipEncoder, name: str, settings: Mapping[str, Any], change: Rows) -> None:
        super().__init__(encoder)
        self.name, self.settings, self._change = f"{VanillaClip.name} + {name}", settings, change

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D') float32 unit vectors on the CPU."""
        return F.normalize(self._change(super().embed(images, progress=progress), images), dim=1)


def from_texts(
    encoder: ClipEncoder,
    task: Protocol,
    a: float = STYLE_WEIGHT,
    fraction: float = FRACTION,
    tau: float = VOCABULARY_TAU,
) -> list[Embedder]:
    """Domain means of texts, BASIC's projection, and similarities to a vocabulary.

    All three use the same prompts: our names of objects (no query classes), each with the word of each domain. An
    object is the mean of its prompts over domains, a style the mean of a domain's prompts over objects.

    a, fraction  weight of the styles in BASIC's projection, and the fraction of the dimensions that it keeps
    tau          temperature of the similarities to the objects
    Raises CdirError as `text_pairs` does.
    """
    card, names = load_card(task.dataset), names_of(task, "objects")
    texts = text_pairs(encoder, names, {domain: card.domain_word(domain) for domain in task.domains})
    means = {domain: rows.mean(0) for domain, rows in texts.items()}
    objects = F.normalize(torch.stack([*texts.values()]).mean(0), dim=1)
    d = round(fraction * objects.shape[1])
    projector = contrastive_projection(objects, torch.stack([*means.values()]), a, d)
    used = {"names": len(names)}
    return [
        FromTexts(encoder, "centring (texts)", used, centred_by(means)),
        FromTexts(encoder, "projection (texts)", {**used, "a": a, "d": d}, lambda emb, _: emb @ projector),
        FromTexts(encoder, "vocabulary (texts)", {**used, "tau": tau}, likened_to(objects, tau)),
    ]


def centred_by(means: Mapping[str, torch.Tensor]) -> Rows:
    """Subtract from each row the mean of its domain."""
    return lambda emb, images: emb - torch.stack([means[domain] for domain in images.domains])


def likened_to(objects: torch.Tensor, tau: float) -> Rows:
    """Replace each row x by softmax(cosine(x, objects) / tau), with the text embeddings `objects` (n, D)."""
    return lambda emb, _: (emb @ objects.T / tau).softmax(1)


def frozen_embedder(encoder: ImageEncoder, task: Protocol) -> Embedder:
    """The encoder's own vectors: vanilla CLIP, or for an encoder without texts the frozen start at its image size."""
    if isinstance(encoder, ClipEncoder):
        return VanillaClip(encoder)
    return FrozenStart(encoder, task, (), FrozenStartSettings(), name=FROZEN_START.name)


def references(
    embedder: Embedder, task: Protocol, images: ImageSet | None = None
) -> tuple[list[Embedder], dict[str, str]]:
    """The reference rows of a frozen embedder on a task, and the reasons for absent ones.

    embedder  such as `frozen_embedder(encoder, task)`; rows from texts need the two towers of CLIP
    images    the dataset's images. If the task has no training images, the images that belong to its classes, but not
              to the task, take their place (on `pacs-heldout`, the half that real-clip saw in its pretraining)

    Returns the rows, and {name of an absent row: reason}. A row that needs training images has only the directions
    between domains that have some; its `train_set` says if they include test images.
    """
    training, reason = _training_images(task, images)
    directions = _directions_with(training, task)
    if training is not None and not directions:
        reason = f"no direction of {task.name} has training images of both domains"
    rows: list[Embedder] = []
    absent: dict[str, str] = {}
    for steps in BY_TRAINING_IMAGES:
        if reason:
            absent[" + ".join([embedder.name, *map(str, steps)])] = reason
            continue
        row = PostProcessed(embedder, steps, training)
        row.directions = None if len(directions) == len(task.directions) else directions
        if not _tested(task).isdisjoint(training.keys):  # pyright: ignore[reportOptionalMemberAccess]
            row.train_set += SEES_TEST_IMAGES
        rows.append(row)
    if isinstance(embedder.encoder, ClipEncoder):
        try:
            rows += from_texts(embedder.encoder, task)
        except CdirError as error:
            absent[f"{embedder.name} + texts"] = str(error)
    else:
        absent[f"{embedder.name} + texts"] = f"{embedder.encoder.built.name} has no text tower"
    rows += [PostProcessed(embedder, steps) for steps in BY_ALL_QUERIES]
    return rows, absent


def _training_images(task: Protocol, images: ImageSet | None) -> tuple[ImageSet | None, str]:
    """Training images, or the reason why there are none."""
    if len(task.train):
        return task.train, ""
    if images is not None:
        other = images.select(task.domains, task.classes)
        used = set(task.images.keys)
        other = other.take([row for row, key in enumerate(other.keys) if key not in used])
        if len(other):
            return other, ""
    return None, f"{task.name} has no training images"


def _directions_with(training: ImageSet | None, task: Protocol) -> tuple[Direction, ...]:
    """The directions between domains of which there are training images."""
    domains = set() if training is None else set(training.domains.tolist())
    return tuple(pair for pair in task.directions if domains.issuperset(pair))


def _tested(task: Protocol) -> set[str]:
    """The keys of all queries and gallery images."""
    return {key for images in (*task.queries.values(), *task.galleries.values()) for key in images.keys}
