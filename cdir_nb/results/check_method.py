"""`cdir check-method`: a user's method, run for a few steps on one protocol of each kind on the drawn world."""

import importlib
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cdir_nb.data import Protocol, load_protocol
from cdir_nb.data.world import load_world
from cdir_nb.encoders import load_encoder
from cdir_nb.errors import CdirError, printable
from cdir_nb.methods import Embedder, Method, Training, fit
from cdir_nb.results.measure import measure

KINDS = {  # {protocol: its kind}
    "world-unseen": "unseen classes",
    "world-closed": "the classes of training, without labels",
    "world-closed-redrawn": "no training images",
    "world-ucdr-quickdraw": "unseen classes of an unseen domain",
    "world-ucdr-quickdraw-mixed": "the same, with seen classes in the gallery",
}
PER_CLASS = 3  # drawings of each class and domain
FEW_STEPS = {"epochs": 1, "batch_size": 8}  # for the settings that a method has


class Check(NamedTuple):
    """The line of one protocol; failed: whether the method raised anything but a CdirError, or returned no vectors."""

    line: str
    failed: bool


def check_method(name: str, encoder: str = "") -> Iterator[Check]:
    """Fit and measure a method on a few drawings by every kind of protocol; numbers mean nothing.

    name     "MODULE:NAME" of a Method, or of an Embedder class that takes the encoder; MODULE is found from the current
             folder
    encoder  its specification; empty: the method's default
    Raises CdirError if there is no such object, or if it is neither.
    """
    if "" not in sys.path:  # the current folder, where also the digest of a training looks for the module
        sys.path.insert(0, "")
    method = import_method(name)
    model = load_encoder(encoder or (method.default_encoder if isinstance(method, Method) else "tiny-clip"))
    images = load_world(PER_CLASS)
    for protocol, kind in KINDS.items():
        task, start = load_protocol(protocol, images), time.perf_counter()
        task = task.between(*task.directions[0])
        title = f"{protocol} ({kind})"
        try:
            count = _run(method, model, task)
        except CdirError as error:
            yield Check(f"refused  {title}: {error}", failed=False)
        except Exception as error:  # of the user's code, which can raise anything
            yield Check(f"FAILED   {title}: {_where(error)}", failed=True)
        else:
            yield Check(f"ok       {title}: {count} records, {time.perf_counter() - start:.1f} s", failed=False)


def import_method(name: str) -> Any:
    """The object of "MODULE:NAME". Raises CdirError if it does not exist or is not a method."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise CdirError(f"{name}: write MODULE:NAME, such as my_method:MyMethod for a class in my_method.py")
    try:
        target = getattr(importlib.import_module(module.removesuffix(".py")), attribute)
    except Exception as error:  # the module runs when it is imported
        raise CdirError(f"{name} cannot be imported: {_where(error)}; check the names and the current folder") from None
    if isinstance(target, type) and issubclass(target, Training):
        raise CdirError(f"{name} is a Training: give the Method that has it as `build`")
    if not (isinstance(target, (Embedder, Method)) or (isinstance(target, type) and issubclass(target, Embedder))):
        raise CdirError(f"{name} is neither a Method nor an Embedder: subclass Embedder, or make a Method")
    return target


def _run(method: Any, encoder: Any, task: Protocol) -> int:
    """Fit and measure; returns the number of records."""
    if isinstance(method, Method):
        few = {key: value for key, value in FEW_STEPS.items() if key in method.settings.model_fields}
        states = fit(method, encoder, task, settings=few, progress=False).states
    else:
        states = {"": (method(encoder) if isinstance(method, type) else method,)}
    for embedders in states.values():
        for embedder in embedders:
            _check_vectors(embedder, task)
    return sum(len(measure(embedders, task)) for embedders in states.values())


def _check_vectors(embedder: Embedder, task: Protocol) -> None:
    """Raise TypeError or ValueError unless `embed` returns finite numbers (N, D), one row for each image."""
    images = task.query(task.directions[0][0])
    emb = embedder.embed(images, progress=False)
    if not isinstance(emb, torch.Tensor):
        raise TypeError(f"embed returned {type(emb).__name__}: return a tensor (N, D)")
    if emb.ndim != 2 or len(emb) != len(images):
        raise ValueError(f"embed returned {tuple(emb.shape)} for {len(images)} images: return (N, D), a row for each")
    if not torch.isfinite(emb).all():
        raise ValueError("embed returned NaN or infinities: check for a division by zero")


def _where(error: BaseException) -> str:
    """The error in one line, with the last line of a file in the current folder that led to it."""
    text, frames = " ".join(str(error).split()), traceback.extract_tb(error.__traceback__)
    here = [frame for frame in frames if Path(frame.filename).parent == Path.cwd()]
    location = f" ({Path(here[-1].filename).name}, line {here[-1].lineno}, in {here[-1].name})" if here else ""
    return printable(f"{type(error).__name__}: {text}{location}")
