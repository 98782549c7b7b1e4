"""Embeddings on disk, row by row, under a key of what made them.

One folder per key, `<cache>/embeddings/<key>/`: `key.json` says in words what made the rows; each shard
`<digest>.safetensors` holds about SHARD_ROWS rows and the digests of their images or texts. A shard is written
atomically and named by its content: so several processes may write at once, an interrupted run keeps what it
had, and a damaged shard is found out. Rows are found by digest: any subset of a dataset reuses any row.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from cdir_nb import paths

SHARD_ROWS = 1024


class EmbeddingStore:
    """Rows of one key. `parts` is all that determines a row apart from the image itself; `dim` is D."""

    def __init__(self, parts: dict[str, Any], dim: int) -> None:
        self.description = json.dumps(parts, sort_keys=True, indent=1)
        key = hashlib.sha256(self.description.encode()).hexdigest()[:24]
        self.folder = paths.cache_dir() / "embeddings" / key
        self.dim = dim

    def read(self, digests: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows at hand for N distinct digests: (N, D) float32, zero where not found, and (N,) bool found."""
        table = torch.zeros(len(digests), self.dim)
        found = torch.zeros(len(digests), dtype=torch.bool)
        missing = {digest: i for i, digest in enumerate(digests)}
        for file in sorted(self.folder.glob("[!.]*.safetensors")):
            if not missing:
                break
            names, values = _read_shard(file, missing)
            rows = torch.tensor([missing.pop(name) for name in names], dtype=torch.long)
            if len(rows):
                table[rows], found[rows] = values.float(), True
        return table, found

    def complete(self, digests: Sequence[str], compute: Callable[[list[int]], torch.Tensor]) -> torch.Tensor:
        """(N, D) float32: the row of each of N digests, equal ones once; what is not at hand is computed.

        compute  from places in `digests`, as `missing` gives them, to their rows
        """
        rows, (table, found), todo = self._look_up(digests)
        if todo:
            table[~found] = compute(todo)
        return table[[rows[digest] for digest in digests]]

    def missing(self, digests: Sequence[str]) -> list[int]:
        """The first place of each digest that has no row."""
        return self._look_up(digests)[2]

    def _look_up(self, digests: Sequence[str]) -> tuple[dict[str, int], tuple[torch.Tensor, torch.Tensor], list[int]]:
        """{digest: number among the distinct ones}, what `read` gives for these, and what `missing` gives."""
        first: dict[str, int] = {}
        for place, digest in enumerate(digests):
            first.setdefault(digest, place)
        table, found = self.read(list(first))
        todo = [place for place, known in zip(first.values(), found.tolist()) if not known]
        return {digest: i for i, digest in enumerate(first)}, (table, found), todo

    def add(self, digests: list[str], rows: torch.Tensor) -> None:
        """Keep `rows` (n, D) float32 as one shard. A full or read-only disk costs the cache, not the run."""
        if not digests:
            return
        name = _content_digest(digests, rows)
        try:
            if not (self.folder / "key.json").exists():
                with paths.atomic_write(self.folder / "key.json") as file:
                    file.write_text(self.description, encoding="utf-8")
            with paths.atomic_write(self.folder / f"{name}.safetensors") as file:
                save_file({"embeddings": rows.contiguous()}, file, metadata={"digests": "\n".join(digests)})
        except (OSError, SafetensorError) as error:
            paths.warn_of_cache(getattr(error, "strerror", None) or str(error))


def _read_shard(file: Path, wanted: dict[str, int]) -> tuple[list[str], torch.Tensor]:
    """The digests in `file` that are `wanted`, and their rows; none, and a warning, if it is damaged."""
    try:
        with safe_open(file, "pt") as shard:
            digests = shard.metadata()["digests"].split("\n")
            rows = [i for i, digest in enumerate(digests) if digest in wanted]
            if not rows:
                return [], torch.empty(0)
            values = shard.get_tensor("embeddings")
        if file.stem != _content_digest(digests, values):
            raise SafetensorError("its content is not what its name says")
    except FileNotFoundError:  # another process has just removed it
        return [], torch.empty(0)
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError) as error:
        warnings.warn(f"embedding cache: {file} is damaged ({error}); its rows are computed again", stacklevel=3)
        with suppress(OSError):
            file.unlink()
        return [], torch.empty(0)
    return [digests[i] for i in rows], values[rows]


def _content_digest(digests: list[str], rows: torch.Tensor) -> str:
    content = hashlib.sha256("\n".join(digests).encode())
    content.update(rows.contiguous().numpy())
    return content.hexdigest()[:24]
