"""CLIP with the closed-form mapping Q as a method, one embedder per direction (CLAIR, section 4.4 and Table 3 left)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder
from cdir_nb.methods.clair.mapping import all_maps, apply_map, text_pairs
from cdir_nb.methods.embedder import Direction, Embedder


@dataclass(frozen=True)
class MappedClip(Embedder):
    """Vanilla CLIP whose query domain is carried by Q into the gallery's: Q x for queries, y for the gallery."""

    encoder: ClipEncoder
    direction: Direction
    q: torch.Tensor  # (D, D)
    train_set: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = "CLIP + Q"

    @property
    def directions(self) -> tuple[Direction]:
        return (self.direction,)

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) on the CPU; rows of the query domain are mapped, all others are as CLIP made them."""
        emb = F.normalize(self.encoder.embed_images(images, progress=progress), dim=-1)
        queries = torch.from_numpy(images.domains == self.direction[0])
        return torch.where(queries[:, None], apply_map(self.q, emb), emb)


def mapped_clips(
    encoder: ClipEncoder,
    names: Sequence[str],
    words: Mapping[str, str],
    directions: Sequence[Direction],
    *,
    null_space: str = "svd",
    list_name: str = "own",
) -> list[MappedClip]:
    """CLIP + Q for each direction, Q from texts alone: n object names in the words of both domains (equations 8, 9).

    null_space  what Q does where the pairs say nothing, see `procrustes`
    list_name   what the records call the list of names
    """
    maps = all_maps(text_pairs(encoder, names, words), null_space)
    train_set = f"no image; {len(names)} pairs of texts for two domains (names: {list_name})"
    settings = {"names": list_name, "rest": null_space}
    return [MappedClip(encoder, direction, maps[direction], train_set, settings) for direction in directions]
