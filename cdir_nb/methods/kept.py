"""Embedders kept for the explorer: a method's vectors in the cache, so that what took minutes opens at once.

The rule for a method to appear in the explorer is one line after its training:

    keep(embedder, images)             # after the last epoch
    keep(embedder, images, step=3)     # or after each: the explorer then has a slider over the steps

A file holds the vectors and names the images by digest: no code is stored, and none is run when it is opened.
"""

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from cdir_nb import paths
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ImageEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.checkpoints import digest_of
from cdir_nb.methods.embedder import Embedder


@dataclass(frozen=True)
class Named:
    """The encoder that a kept method began with; only its identity is kept."""

    identity: str


@dataclass(frozen=True, kw_only=True)
class KeptEmbedder(Embedder):
    """The vectors of a trained method, looked up by picture. It cannot embed a picture that it has no vector of."""

    encoder: ImageEncoder | Named
    name: str
    step: int
    similarity: str
    train_set: str
    selection: str
    directions: tuple[tuple[str, str], ...] | None
    vectors: torch.Tensor = field(repr=False)
    place: dict[str, int] = field(repr=False)

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) float32. Raises CdirError for a picture that was not among those kept."""
        missing = [key for key, digest in zip(images.keys, images.digests) if digest not in self.place]
        if missing:
            raise CdirError(
                f"{self.name} was kept with vectors of the images it was tried on and has none of {missing[0]}: choose "
                "those images (another epoch, domain or gallery), or a method that embeds any picture, as vanilla CLIP"
            )
        return self.vectors[[self.place[digest] for digest in images.digests]]


def keep(embedder: Embedder, images: ImageSet, step: int = 0) -> Path:
    """Store the embedder's vectors of `images` for the explorer; one file for each method, setting, pair and step."""
    if embedder.directions is not None:
        images = images.select({domain for pair in embedder.directions for domain in pair})
    about = {
        "name": embedder.name,
        "step": step,
        "encoder": embedder.encoder.identity,
        "similarity": embedder.similarity,
        "train_set": embedder.train_set,
        "selection": embedder.selection,
        "directions": embedder.directions,
    }
    path = _folder() / f"{digest_of([about, dict(embedder.settings)])}.safetensors"
    with paths.atomic_write(path) as temporary:
        metadata = {"about": json.dumps(about), "digests": "\n".join(images.digests)}
        save_file({"vectors": embedder.embed(images, progress=False).contiguous()}, temporary, metadata=metadata)
    return path


def kept(images: ImageSet) -> list[KeptEmbedder]:
    """All kept embedders that have vectors of some of these images, by name and step, newest last.

    A damaged file is left out with a warning.
    """
    known = set(images.digests)
    fitting = [_opened(path, about, digests) for path, about, digests in _described() if known.intersection(digests)]
    return sorted(fitting, key=lambda one: (one.name, one.step))


def find_kept(name: str, images: ImageSet) -> KeptEmbedder:
    """The newest method of this name, after its last step. Raises CdirError, naming those kept, if there is none."""
    found = kept(images)
    named = [one for one in found if one.name == name]
    if not named:
        known = ", ".join(sorted({one.name for one in found})) or "none"
        raise CdirError(f"no {name} is kept for these images: run its notebook first; kept: {known}")
    return named[-1]


def _folder() -> Path:
    return paths.cache_dir() / "explorer"


def _described() -> Iterator[tuple[Path, dict[str, Any], list[str]]]:
    """Each file, oldest first, with what it says about itself and the digests of its images; no vector is read."""
    for path in sorted(_folder().glob("[!.]*.safetensors"), key=lambda file: file.stat().st_mtime):
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata()
            yield path, json.loads(metadata["about"]), metadata["digests"].split("\n")
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            warnings.warn(f"kept method {path} cannot be read ({error}): delete it and train again", stacklevel=2)


def _opened(path: Path, about: dict[str, Any], digests: list[str]) -> KeptEmbedder:
    with safe_open(path, "pt") as file:
        vectors = file.get_tensor("vectors")
    pairs = about["directions"]
    directions = None if pairs is None else tuple((a, b) for a, b in pairs)
    rest = {name: about[name] for name in ("name", "step", "similarity", "train_set", "selection")}
    place = {digest: row for row, digest in enumerate(digests)}
    return KeptEmbedder(encoder=Named(about["encoder"]), directions=directions, vectors=vectors, place=place, **rest)
