"""A cache of embeddings on disk, stored row by row under a key that covers everything that determines them.

One folder per key, `<cache>/embeddings/<key>/`: `key.json` describes the key; each shard `<digest>.safetensors` holds
about SHARD_ROWS rows and the digests of their images or texts. Shards are written atomically and named by their
content. Therefore several processes may write at once, an interrupted run loses at most one shard, and a damaged shard
is detected. Rows are looked up by digest, so all subsets of a dataset share the stored rows.
"""

import hashlib
import json
import os
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
    """The rows of one key. `parts`: everything that determines a row except the image itself; `dim`: D."""

    def __init__(self, parts: dict[str, Any], dim: int) -> None:
        self.description = json.dumps(parts, sort_keys=True, indent=1)
        key = hashlib.sha256(self.description.encode()).hexdigest()[:24]
        self.folder = paths.cache_dir() / "embeddings" / key
        self.dim = dim

    def read(self, digests: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Read the rows of N distinct digests: (N, D) float32, zero if not stored; and (N,) bool, True if stored."""
        table = torch.zeros(len(digests), self.dim)
        stored = torch.zeros(len(digests), dtype=torch.bool)
        missing = {digest: i for i, digest in enumerate(digests)}
        for file in paths.cached_files(self.folder, ".safetensors"):
            if not missing:
                break
            names, values = _read_shard(file, missing)
            rows = torch.tensor([missing.pop(name) for name in names], dtype=torch.long)
            if len(rows):
                table[rows], stored[rows] = values.float(), True
        return table, stored

    def complete(self, digests: Sequence[str], compute: Callable[[list[int]], torch.Tensor]) -> torch.Tensor:
        """(N, D) float32: the rows of N digests. Missing rows are computed, once for equal digests.

        compute  function from indices into `digests`, as returned by `missing`, to the rows (n, D)
        """
        first = _first_index(digests)
        table, stored = self.read(list(first))
        missing = [index for index, is_stored in zip(first.values(), stored.tolist()) if not is_stored]
        if missing:
            table[~stored] = compute(missing)
        rows = {digest: row for row, digest in enumerate(first)}
        return table[[rows[digest] for digest in digests]]

    def missing(self, digests: Sequence[str]) -> list[int]:
        """The first index of each digest without a stored row."""
        first = _first_index(digests)
        return [index for index, is_stored in zip(first.values(), self.read(list(first))[1].tolist()) if not is_stored]

    def add(self, digests: list[str], rows: torch.Tensor) -> None:
        """Store `rows` (n, D) as one shard. If they cannot be written, a warning is given, and nothing is stored."""
        if not digests:
            return
        if not os.path.exists(self.folder / "key.json"):
            paths.write_to_cache(self.folder / "key.json", lambda file: file.write_text(self.description, "utf-8"))
        tensors, metadata = {"embeddings": rows.contiguous()}, {"digests": "\n".join(digests)}
        path = self.folder / f"{_content_digest(digests, rows)}.safetensors"
        paths.write_to_cache(path, lambda file: save_file(tensors, file, metadata=metadata))


def _first_index(digests: Sequence[str]) -> dict[str, int]:
    """{digest: index of its first occurrence}."""
    first: dict[str, int] = {}
    for index, digest in enumerate(digests):
        first.setdefault(digest, index)
    return first


def _read_shard(file: Path, requested: dict[str, int]) -> tuple[list[str], torch.Tensor]:
    """The `requested` digests that `file` contains, and their rows; none, with a warning, if it is damaged."""
    try:
        file.open("rb").close()  # safetensors reports a file that may not be read as missing
        with safe_open(file, "pt") as shard:
            digests = shard.metadata()["digests"].split("\n")
            rows = [i for i, digest in enumerate(digests) if digest in requested]
            if not rows:
                return [], torch.empty(0)
            values = shard.get_tensor("embeddings")
        if file.stem != _content_digest(digests, values):
            raise SafetensorError("the content of the file does not match its name")
    except FileNotFoundError:  # another process has just removed it
        return [], torch.empty(0)
    except PermissionError as error:
        paths.warn_cache_unavailable(error)
        return [], torch.empty(0)
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError) as error:
        warnings.warn(f"embedding cache: {file} is damaged ({error}); its rows will be recomputed", stacklevel=3)
        with suppress(OSError):
            file.unlink()
        return [], torch.empty(0)
    return [digests[i] for i in rows], values[rows]


def _content_digest(digests: list[str], rows: torch.Tensor) -> str:
    content = hashlib.sha256("\n".join(digests).encode())
    content.update(rows.contiguous().numpy())  # pyright: ignore[reportArgumentType]
    return content.hexdigest()[:24]
