"""Vectors of trained methods, stored in the cache for the explorer.

One line after a training makes the method available in the explorer:

    store(embedder, images)             # after the last epoch
    store(embedder, images, step=3)     # or after each epoch: the explorer then has a slider for the step

A file contains the vectors, and the digests of their images; no code is stored or run.
"""

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from cdir_nb import paths
from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError
from cdir_nb.methods.checkpoints import digest_of
from cdir_nb.methods.embedder import Embedder


@dataclass(frozen=True)
class EncoderName:
    """The identity of the encoder of a stored method; the encoder itself is not stored."""

    identity: str


class StoredEmbedder(Embedder):
    """The vectors of a trained method, looked up by the digest of an image.

    step     the epoch of the state
    vectors  (N, D); rows: {digest of an image: its row in `vectors`}
    """

    encoder: Any  # an EncoderName

    def __init__(self, about: dict[str, Any], vectors: torch.Tensor, rows: dict[str, int]) -> None:
        self.name, self.step, self.encoder = about["name"], about["step"], EncoderName(about["encoder"])
        self.similarity, self.train_set, self.selection = about["similarity"], about["train_set"], about["selection"]
        pairs = about["directions"]
        self.directions = None if pairs is None else tuple((query, gallery) for query, gallery in pairs)
        self.vectors, self.rows = vectors, rows

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) float32. Raises CdirError for an image without a stored vector."""
        missing = [key for key, digest in zip(images.keys, images.digests) if digest not in self.rows]
        if missing:
            raise CdirError(
                f"{self.name} was stored without a vector of {missing[0]}: choose another epoch, domain or gallery, or "
                "a method that embeds any image, such as vanilla CLIP"
            )
        return self.vectors[[self.rows[digest] for digest in images.digests]]


def store(embedder: Embedder, images: ImageSet, step: int = 0) -> Path:
    """Store the embedder's vectors of `images` for the explorer; one file per method, settings, pair and step.

    If the cache cannot be written, a warning is given, and the method is missing in the explorer. Raises CdirError for
    a method with post-processing, since that depends on query and gallery.
    """
    if type(embedder).prepare is not Embedder.prepare:
        raise CdirError(f"{embedder.name} has post-processing, which cannot be stored: store the method without it")
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
    vectors = {"vectors": embedder.embed(images, progress=False).contiguous()}
    metadata = {"about": json.dumps(about), "digests": "\n".join(images.digests)}
    paths.write_to_cache(path, lambda temporary: save_file(vectors, temporary, metadata=metadata))
    return path


def stored_embedders(images: ImageSet) -> list[StoredEmbedder]:
    """All stored embedders with vectors of any of these images, sorted by name and step, newest last.

    A damaged file is skipped with a warning.
    """
    digests = set(images.digests)
    matches = [
        StoredEmbedder(about, load_file(path)["vectors"], rows)
        for path, about, rows in _described()
        if digests & rows.keys()
    ]
    return sorted(matches, key=lambda embedder: (embedder.name, embedder.step))


def _folder() -> Path:
    return paths.cache_dir() / "explorer"


def _described() -> Iterator[tuple[Path, dict[str, Any], dict[str, int]]]:
    """Each file, oldest first, with its metadata and {digest of an image: its row}; vectors are not read."""
    for path in sorted(paths.cached_files(_folder(), ".safetensors"), key=lambda file: file.stat().st_mtime):
        try:
            path.open("rb").close()  # safetensors reports a file that may not be read as missing
            with safe_open(path, "pt") as file:
                metadata = file.metadata()
            rows = {digest: row for row, digest in enumerate(metadata["digests"].split("\n"))}
            yield path, json.loads(metadata["about"]), rows
        except PermissionError as error:
            paths.warn_cache_unavailable(error)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            warnings.warn(f"stored method {path} cannot be read ({error}): delete it and train again", stacklevel=2)
