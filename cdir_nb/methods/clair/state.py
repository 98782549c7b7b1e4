"""CLAIR's training on disk: one file, written whole after each epoch, from which an interrupted run goes on."""

import hashlib
import json
import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cdir_nb import paths
from cdir_nb.encoders import ClipEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.pair import Pair
from cdir_nb.methods.clair.settings import ClairConfig

if TYPE_CHECKING:
    from cdir_nb.methods.clair.method import _Training

CODE_VERSION = 3  # raise it when training changes: kept trainings are then left alone


def kept_at(encoder: ClipEncoder, pair: Pair, config: ClairConfig, seed: int) -> Path:
    """The file in the cache that stands for this very training."""
    return paths.cache_dir() / "clair" / f"{_digest(made_of(encoder, pair, config, seed))}.pt"


def made_of(encoder: ClipEncoder, pair: Pair, config: ClairConfig, seed: int) -> dict[str, str]:
    """What determines a training, by name; an error says which of them differs."""
    texts = [pair.domains, pair.words, pair.names, pair.objects]
    return {
        "model": encoder.identity,
        "images": pair.images.fingerprint,
        "class names and words": _digest(texts),
        "settings": _digest(config.plain()),
        "seed": str(seed),
        "version": str(CODE_VERSION),
    }


def save_state(training: "_Training", path: Path | str) -> None:
    """Write the state of a training, whole or not at all. A full or read-only disk costs the file, not the training."""
    try:
        with paths.atomic_write(path) as temporary:
            torch.save({"made_of": _made_of(training), **training.state()}, temporary)
    except (OSError, RuntimeError) as error:  # torch.save raises the second where the disk is full
        warnings.warn(f"the training is not kept in {path} ({error}): free space, or name another file", stacklevel=3)


def load_state(training: "_Training", path: Path | str) -> bool:
    """Go on from a file; False where there is none. CdirError for a damaged file and for one of another training."""
    if not Path(path).is_file():
        return False
    try:
        state: dict[str, Any] = torch.load(path, map_location=training.device, weights_only=True)
        theirs = state.pop("made_of")
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise CdirError(f"checkpoint {path} cannot be read ({type(error).__name__}): remove it to train anew") from None
    ours = _made_of(training)
    different = [name for name in ours if theirs.get(name) != ours[name]]
    if different:
        raise CdirError(
            f"checkpoint {path} is of another training (other {', '.join(different)}): "
            "name another file, or remove it to train anew"
        )
    training.restore(state)
    return True


def _made_of(training: "_Training") -> dict[str, str]:
    return made_of(training.encoder, training.pair, training.config, training.seed)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
