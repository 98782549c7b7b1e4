"""Training checkpoints: one file per training, to resume from after an interruption and to read when it is finished."""

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


def save_checkpoint(
    path: Path | str, key: Mapping[str, str], state: Mapping[str, Any], about: Mapping[str, Any] | None = None
) -> None:
    """Write a training's state atomically. On a full or read-only disk, warn and let the training continue.

    key    everything that determines the training, by name; `load_checkpoint` reports which of them differ
    about  what `cdir cache` lists, written as JSON beside the checkpoint
    """
    try:
        if about:
            with paths.atomic_write(Path(path).with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")
        with paths.atomic_write(path) as temporary:
            torch.save({"cache_key": dict(key), **state}, temporary)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError when the disk is full
        warnings.warn(
            f"checkpoint {path} could not be saved ({error}): free disk space, or choose another file", stacklevel=3
        )


def load_checkpoint(path: Path | str, key: Mapping[str, str], device: torch.device) -> dict[str, Any] | None:
    """The saved state, or None if there is no file. CdirError if it is damaged or belongs to another training."""
    if not Path(path).is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        stored_key = state.pop("cache_key")
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise CdirError(
            f"checkpoint {path} cannot be read ({type(error).__name__}): delete it to train from the start"
        ) from None
    different = [name for name in key if stored_key.get(name) != key[name]]
    if different:
        raise CdirError(
            f"checkpoint {path} belongs to another training (different {', '.join(different)}): "
            "choose another file, or delete it to train from the start"
        )
    return state
