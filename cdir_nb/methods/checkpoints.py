"""Trainings on disk: one file each, written whole after an epoch, from which an interrupted training goes on."""

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
    """Sixteen hex digits of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def kept_in_cache(method: str, made_of: Mapping[str, str]) -> Path:
    """The file in the cache that stands for the training that `made_of` describes."""
    return paths.cache_dir() / method / f"{digest_of(made_of)}.pt"


def save_checkpoint(path: Path | str, made_of: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Write a training's state, whole or not at all. A full or read-only disk costs the file, not the training.

    made_of  what determines the training, by name; an error of `load_checkpoint` says which of them differs
    """
    try:
        with paths.atomic_write(path) as temporary:
            torch.save({"made_of": dict(made_of), **state}, temporary)
    except (OSError, RuntimeError) as error:  # torch.save raises the second where the disk is full
        warnings.warn(f"the training is not kept in {path} ({error}): free space, or name another file", stacklevel=3)


def load_checkpoint(path: Path | str, made_of: Mapping[str, str], device: torch.device) -> dict[str, Any] | None:
    """The state in a file; None where there is none. CdirError for a damaged file and for one of another training."""
    if not Path(path).is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        theirs = state.pop("made_of")
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise CdirError(f"checkpoint {path} cannot be read ({type(error).__name__}): remove it to train anew") from None
    different = [name for name in made_of if theirs.get(name) != made_of[name]]
    if different:
        raise CdirError(
            f"checkpoint {path} is of another training (other {', '.join(different)}): "
            "name another file, or remove it to train anew"
        )
    return state
