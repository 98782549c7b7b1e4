"""CLIP + Q: CLIP with the closed-form mapping, one embedder per direction (CLAIR, section 4.4 and Table 3 left)."""

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
    """Vanilla CLIP with queries mapped to the gallery's domain: Q x for queries, y for the gallery."""

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
        """(N, D) on the CPU; rows of the query domain are mapped by Q, all others are CLIP's unit features."""
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
    """CLIP + Q for each direction; Q is fitted to texts alone: n object names in prompts of both domains (eq. 8, 9).

    null_space  what Q does in the null space of the pairs, see `procrustes`
    list_name   name of the list of names, for records
    """
    maps = all_maps(text_pairs(encoder, names, words), null_space)
    train_set = f"no image; {len(names)} pairs of texts for two domains (names: {list_name})"
    settings = {"names": list_name, "rest": null_space}  # the old key "rest" keeps the digests of existing records
    return [MappedClip(encoder, direction, maps[direction], train_set, settings) for direction in directions]
