"""Training checkpoints: one file per training, written after each epoch, to resume from after an interruption."""

import hashlib
import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cdir_nb import paths
from cdir_nb.errors import CdirError


def digest_of(content: Any) -> str:
    """Digest of plain data: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def kept_in_cache(method: str, made_of: Mapping[str, str]) -> Path:
    """The checkpoint file in the cache for the training that `made_of` describes."""
    return paths.cache_dir() / method / f"{digest_of(made_of)}.pt"


def save_checkpoint(path: Path | str, made_of: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Write a training's state atomically. On a full or read-only disk, warn and let the training continue.

    made_of  everything that determines the training, by name; `load_checkpoint` reports which of them differ
    """
    try:
        with paths.atomic_write(path) as temporary:
            torch.save({"made_of": dict(made_of), **state}, temporary)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError when the disk is full
        warnings.warn(
            f"checkpoint {path} could not be saved ({error}): free disk space, or choose another file", stacklevel=3
        )


def load_checkpoint(path: Path | str, made_of: Mapping[str, str], device: torch.device) -> dict[str, Any] | None:
    """The saved state, or None if there is no file. CdirError if it is damaged or belongs to another training."""
    if not Path(path).is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        theirs = state.pop("made_of")
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise CdirError(
            f"checkpoint {path} cannot be read ({type(error).__name__}): delete it to train from the start"
        ) from None
    different = [name for name in made_of if theirs.get(name) != made_of[name]]
    if different:
        raise CdirError(
            f"checkpoint {path} belongs to another training (different {', '.join(different)}): "
            "choose another file, or delete it to train from the start"
        )
    return state
