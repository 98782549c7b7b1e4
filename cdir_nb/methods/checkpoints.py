"""Checkpoints of training runs in the cache, one file per run, from which an interrupted run resumes; cache keys."""

import hashlib
import inspect
import json
import pickle
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cdir_nb import paths
from cdir_nb.errors import CdirError
from cdir_nb.sources import code_digest, library_versions


def digest_of(content: Any) -> str:
    """Digest of plain data: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def save_checkpoint(
    path: Path | str, key: Mapping[str, str], state: Mapping[str, Any], about: Mapping[str, Any] | None = None
) -> None:
    """Write a training's state atomically. On a full or read-only disk, warn and let the training continue.

    key    everything that determines the training, by name; `load_checkpoint` reports which entries differ
    about  plain data for `cdir cache`, written as JSON beside the checkpoint
    """
    if about:
        text = json.dumps(about, indent=1)
        paths.write_to_cache(Path(path).with_suffix(".json"), lambda file: file.write_text(text, "utf-8"))
    paths.write_to_cache(Path(path), lambda file: torch.save({"cache_key": dict(key), **state}, file))


def load_checkpoint(path: Path | str, key: Mapping[str, str], device: torch.device) -> dict[str, Any] | None:
    """The saved state; None if there is no file, or (with a warning) if it belongs to another user and cannot be read.

    Raises CdirError if the file is damaged or belongs to another training run.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        stored_key = state.pop("cache_key")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        paths.warn_cache_unavailable(error)
        return None
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise CdirError(
            f"checkpoint {path} cannot be read ({type(error).__name__}): delete it to train from the start"
        ) from None
    different = [name for name in key if stored_key.get(name) != key[name]]
    if different:
        raise CdirError(
            f"checkpoint {path} belongs to another training run (different {', '.join(different)}): "
            "choose another file, or delete it to train from the start"
        )
    return state


def cache_key(training: Any) -> dict[str, str] | None:
    """Everything that determines a `Training`, by name; None for a class whose source cannot be read.

    The key covers the code of the class's module and of all modules that it imports.
    """
    code = _code_of(type(training))
    if code is None:
        return None
    return {
        "training": f"{type(training).__module__}.{type(training).__qualname__}",
        "code": code,
        "libraries": digest_of(library_versions()),
        "encoder": training.encoder.identity,
        "settings": digest_of(training.recorded_settings),
        "seed": str(training.seed),
        "domains": ", ".join(training.domains),
        **training.inputs(),
    }


def _code_of(kind: type) -> str | None:
    """Digest of the code of a class: its module and all imports; None if the source cannot be read.

    If the class is not in a module file, the digest covers the script that defines it, or the source of the class.
    """
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if file and kind.__module__ != "__main__":
        return code_digest(kind.__module__)
    try:
        source = Path(file).read_text(encoding="utf-8") if file else textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):
        return None
    bases = [f"from {base.__module__} import {base.__name__}" for base in kind.__mro__[1:-1]]
    return code_digest(text="\n".join([source, *(line for line in bases if "__main__" not in line)]))


def checkpoint_file(name: str, key: Mapping[str, str]) -> Path:
    """Path of the checkpoint for `key`, in a folder named after the method."""
    folder = "".join(c if c.isalnum() else "_" for c in name)
    return paths.cache_dir() / "trainings" / folder / f"{digest_of(dict(key))}.pt"


def about(training: Any) -> dict[str, Any]:
    """Data that is stored beside a checkpoint for `cdir cache`: the method, its code and library versions."""
    kind = type(training)
    return {
        "method": training.name,
        "modules": [kind.__module__],
        "code": _code_of(kind),
        "libraries": library_versions(),
        "domains": list(training.domains),
        "encoder": training.encoder.identity,
        "settings": training.recorded_settings,
        "seed": training.seed,
    }
