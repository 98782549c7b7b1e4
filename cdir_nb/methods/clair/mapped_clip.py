"""CLIP + Q: CLIP with the closed-form mapping, one embedder per direction (CLAIR, section 4.4 and Table 3 left)."""

from typing import Any, Literal

import torch
import torch.nn.functional as F

from cdir_nb.data import load_card
from cdir_nb.data.images import ImageSet
from cdir_nb.data.objects import object_names
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ClipEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.mapping import NullSpace, apply_map, procrustes, text_pairs
from cdir_nb.methods.clair.settings import NULL_SPACE_SOURCE
from cdir_nb.methods.embedder import Direction, Embedder
from cdir_nb.methods.method import CLIP, DIRECTION, Method
from cdir_nb.methods.settings import Settings, setting


class MappedClipSettings(Settings):
    """Settings of CLIP + Q."""

    method = "CLIP + Q"

    names: Literal["objects", "seen"] = setting(
        "objects", "paper, section 4.4, has 3,000 names of objects; here our own list; 'seen': the training classes"
    )
    null_space: NullSpace = setting("identity", NULL_SPACE_SOURCE)


class MappedClip(Embedder):
    """Vanilla CLIP, with queries mapped to the gallery's domain.

    direction  (query domain, gallery domain)
    q          (D, D), the mapping Q
    """

    name = "CLIP + Q"

    def __init__(self, encoder: ClipEncoder, direction: Direction, q: torch.Tensor) -> None:
        self.encoder, self.direction, self.q = encoder, direction, q
        self.directions = (direction,)
        self.train_set = "no image; texts alone"

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) on the CPU; rows of the query domain are mapped by Q, all others are CLIP's unit features."""
        features = F.normalize(self.encoder.embed_images(images, progress=progress), dim=-1)
        queries = torch.from_numpy(images.domains == self.direction[0])
        return torch.where(queries[:, None], apply_map(self.q, features), features)


def mapped_clip(
    encoder: ClipEncoder,
    task: Protocol,
    direction: Direction,
    settings: MappedClipSettings,
    *,
    name: str = "CLIP + Q",
    **_: Any,
) -> MappedClip:
    """Fit CLIP + Q for one direction of a task on texts only: names in prompts of both domains (equations 8 and 9).

    Raises CdirError as `text_pairs` does.
    """
    card, names = load_card(task.dataset), names_of(task, settings.names)
    source, target = text_pairs(encoder, names, {domain: card.domain_word(domain) for domain in direction}).values()
    embedder = MappedClip(encoder, direction, procrustes(source, target, settings.null_space))
    embedder.name, embedder.settings = name, settings.plain()
    embedder.train_set = f"no image; {len(names)} pairs of texts for two domains (names: {settings.names})"
    return embedder


def names_of(task: Protocol, choice: str) -> list[str]:
    """The names for text pairs: common objects or the training classes, in both cases without the query classes."""
    card = load_card(task.dataset)
    if choice == "objects":
        return object_names(exclude=[card.display(label) for label in task.classes])
    seen = [card.display(label) for label in task.seen if label not in task.classes]
    if not seen:
        raise CdirError(f"{task.name} has no training classes besides its query classes: set names to objects")
    return seen


CLIP_Q = Method(
    name="CLIP + Q",
    paper="CLAIR, arXiv 2508.12290, Table 3",
    build=mapped_clip,
    settings=MappedClipSettings,
    # The default of new runs by a name of its own: committed records of CLIP + Q have the paper's null space.
    variants={"CLIP + Q, identity": {"null_space": "identity"}},
    learns_from=("object names",),
    fitted_for=DIRECTION,
    encoders=CLIP,
)
