"""A gallery on disk in shards: safetensors files that are read by memory mapping, and `gallery.json`, their index."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cdir_nb.errors import CdirError, os_problem
from cdir_nb.paths import atomic_write
from cdir_nb.retrieval.ranking import Embeddings, checked_rows

INDEX = "gallery.json"


class Shard(BaseModel):
    """One file: how many rows, the digest of their bytes, and their sum in each dimension (float64)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: str = Field(pattern=r"^\d+\.safetensors$")
    rows: PositiveInt
    digest: str
    sums: tuple[FiniteFloat, ...] = Field(min_length=1)


class _Index(BaseModel):
    shards: tuple[Shard, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> "_Index":
        if len({len(shard.sums) for shard in self.shards}) > 1:
            raise ValueError("shards of several dimensions")
        return self


@dataclass(frozen=True)
class ShardedGallery:
    """Gallery rows (G, D) float32, shard after shard. It holds only the index: it is small, and can be sent around."""

    folder: Path
    shards: tuple[Shard, ...]

    @classmethod
    def open(cls, folder: Path | str) -> "ShardedGallery":
        """Raises CdirError, naming the file: no index or a damaged one, a shard that is missing or of another shape."""
        index = Path(folder).absolute() / INDEX
        try:
            gallery = cls(index.parent, _Index.model_validate_json(index.read_bytes()).shards)
        except FileNotFoundError:
            raise CdirError(f"{folder} has no {INDEX}: write_gallery writes a gallery") from None
        except OSError as error:
            raise CdirError(f"cannot be read: {os_problem(error)}") from None
        except ValidationError as error:
            raise CdirError(f"{index} is damaged ({error.errors()[0]['msg']}): write the gallery again") from None
        for shard in gallery.shards:
            gallery._slice(shard, 0, 0)
        return gallery

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def dim(self) -> int:
        """D."""
        return len(self.shards[0].sums)

    @cached_property
    def starts(self) -> np.ndarray:
        """(shards + 1,) the gallery row that each shard begins with; the last is G."""
        return np.cumsum([0, *(shard.rows for shard in self.shards)])

    @property
    def mean(self) -> torch.Tensor:
        """(D,) float64."""
        return torch.tensor([shard.sums for shard in self.shards], dtype=torch.float64).sum(0) / len(self)

    def rows(self, wanted: np.ndarray) -> torch.Tensor:
        """(n, D) the gallery rows `wanted` (n,), in ascending order; only the parts of files around them are read."""
        cuts = np.searchsorted(wanted, self.starts)
        parts = [np.empty((0, self.dim), np.float32)]
        for shard, start, rows in zip(self.shards, self.starts, np.split(wanted, cuts[1:-1])):
            if len(rows):
                local = rows - start
                parts.append(self._slice(shard, local[0], local[-1] + 1)[local - local[0]])
        return torch.from_numpy(np.concatenate(parts))

    def checked_shard(self, number: int, similarity: str) -> torch.Tensor:
        """(n, D) one whole shard. Raises CdirError, naming the file, if its content is not what was written."""
        shard = self.shards[number]
        rows = self._slice(shard, 0, shard.rows)
        if _digest(rows) != shard.digest:
            raise self._damaged(shard, "its content is not what was written")
        return checked_rows(str(self.folder / shard.file), rows, similarity)

    def _slice(self, shard: Shard, start: int, stop: int) -> np.ndarray:
        try:
            with safe_open(self.folder / shard.file, "np") as file:
                part = file.get_slice("embeddings")
                shape, kind = part.get_shape(), part.get_dtype()
                if shape != [shard.rows, self.dim] or kind != "F32":
                    raise SafetensorError(f"{kind} of shape {shape}, {INDEX} says ({shard.rows}, {self.dim})")
                return part[start:stop]
        except (SafetensorError, OSError) as error:
            raise self._damaged(shard, " ".join(str(error).split())) from None

    def _damaged(self, shard: Shard, why: str) -> CdirError:
        remedy = "write the gallery again, on storage that all machines share"
        return CdirError(f"shard {self.folder / shard.file} is missing or damaged ({why}): {remedy}")


def write_gallery(folder: Path | str, parts: Iterable[Embeddings]) -> ShardedGallery:
    """Write one shard for each part (n, D) of a gallery, in its order, and then the index.

    Parts may come from a generator: only one is in memory at a time. An interrupted call leaves no index, and the next
    call writes over it. Raises CdirError: a gallery is there already, a part is empty, not finite or of another
    dimension, the disk is full.
    """
    folder, shards = Path(folder), []
    if (folder / INDEX).exists():
        raise CdirError(f"{folder} has a gallery already: remove it, or give another folder")
    try:
        for number, part in enumerate(parts):
            shards.append(_write_shard(folder, number, part))
            if len(shards[0].sums) != len(shards[-1].sums):
                raise CdirError(f"part {number} has {len(shards[-1].sums)} columns, part 0 has {len(shards[0].sums)}")
        if not shards:
            raise CdirError("a gallery without rows: give at least one part")
        with atomic_write(folder / INDEX) as file:
            file.write_text(_Index(shards=shards).model_dump_json(indent=1), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        problem = os_problem(error) if isinstance(error, OSError) else error
        raise CdirError(
            f"gallery {folder} cannot be written ({problem}): free disk space, or choose another folder"
        ) from None
    return ShardedGallery.open(folder)


def _write_shard(folder: Path, number: int, part: Embeddings) -> Shard:
    rows = checked_rows(f"part {number} of the gallery", part, "euclidean").cpu().numpy()
    name = f"{number:05}.safetensors"
    with atomic_write(folder / name) as file:
        save_file({"embeddings": rows}, file)
    sums = rows.sum(0, dtype=np.float64).tolist()
    return Shard(file=name, rows=len(rows), digest=_digest(rows), sums=sums)


def _digest(rows: np.ndarray) -> str:
    return hashlib.blake2b(rows, digest_size=16).hexdigest()
