"""Download weight files from the Hugging Face hub, check them, and load them into a model."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.factory import load_checkpoint, load_state_dict
from open_clip.pretrained import download_pretrained

from cdir_nb.encoders.spec import BUNDLED_FILES, CHECKPOINT_KINDS
from cdir_nb.encoders.torchscript import is_torchscript, read_torchscript
from cdir_nb.errors import CdirError

RANDOM_WARNING = "RANDOM WEIGHTS, a pipeline test: numbers mean nothing"
RANDOM_SEED = 0
OPENAI_MARK = "input_resolution"  # a tensor that only OpenAI's archives contain
NOT_WEIGHTS = (OPENAI_MARK, "context_length", "vocab_size", "attn_mask")  # tensors in archives, not in models
HUB_TIMEOUT = 5.0  # seconds; without it open_clip retries for most of a minute before it gives up


def check_file(file: Path) -> None:
    """Raise CdirError for a checkpoint that does not exist, is not readable, or has an unsupported extension."""
    if not file.is_file():
        problem = "is a folder, name the file in it" if file.is_dir() else "does not exist, check the path"
        raise CdirError(f"checkpoint {file} {problem}")
    if not os.access(file, os.R_OK):
        raise CdirError(f"checkpoint {file} is not readable: change its permissions")
    if file.suffix not in CHECKPOINT_KINDS:
        raise CdirError(f"checkpoint {file} has an unsupported extension; use one of {', '.join(CHECKPOINT_KINDS)}")


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The config.json of a bundled model. Raises CdirError if it is damaged, or if a file of the model is missing."""
    for file in [folder / part for part in BUNDLED_FILES]:
        if not file.is_file():
            raise CdirError(f"{name} is incomplete: {file} is missing; install the package again")
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged_config(folder, name, error) from error


def damaged_config(folder: Path, name: str, error: Exception) -> CdirError:
    """The CdirError for a config.json that does not describe a model."""
    return CdirError(f"{name}: {folder / 'config.json'} is damaged ({first_line(error)}); install the package again")


@contextmanager
def loading(model: torch.nn.Module, file: Path, name: str, kind: str = "CLIP checkpoint") -> Iterator[None]:
    """Context for code that loads `file` into `model`: any error becomes a one-line CdirError.

    name  the model's specification; kind: the expected content of the file, for messages
    On exit, raises CdirError if weights are NaN or infinite, since every embedding would then be NaN or infinite, too.
    """
    try:
        yield
    except CdirError:
        raise
    except Exception as error:  # torch, pickle, zip and safetensors have different exception classes
        raise CdirError(_load_problem(error, file, name, kind)) from error
    for key, value in model.state_dict().items():
        is_weight = value.is_floating_point() and key.rpartition(".")[2] not in NOT_WEIGHTS  # a mask may be infinite
        if is_weight and not torch.isfinite(value).all():
            raise CdirError(f"checkpoint {file} has NaN or infinite values in {key}: use another file")


def load_weights(model: Any, file: Path, name: str) -> None:
    """Load a checkpoint into a CLIP model. Raises CdirError unless both have the same tensors."""
    with loading(model, file, name):
        if is_torchscript(file):
            state = {key: x for key, x in read_torchscript(file).items() if key not in NOT_WEIGHTS}
            refuse_integers(state, model, file)
            model.load_state_dict(state)
        else:
            refuse_integers(_shapes(file), model, file)
            load_checkpoint(model, str(file))
    model.eval()


def refuse_integers(state: Mapping[str, torch.Tensor], model: torch.nn.Module, file: Path) -> None:
    """Raise CdirError for quantised weights, which torch would silently cast."""
    expected = model.state_dict()
    for name, value in state.items():
        name = name.removeprefix("module.")
        if name in expected and expected[name].is_floating_point() and not value.is_floating_point():
            raise CdirError(f"checkpoint {file} has integers in {name}: save it in floating point")


def refuse_other_positions(model: torch.nn.Module, file: Path, name: str) -> None:
    """Raise CdirError for position embeddings of another size, which open_clip would silently interpolate."""
    state = {} if is_torchscript(file) else _shapes(file)
    for key, value in model.state_dict().items():
        if key.endswith("positional_embedding") and key in state and state[key].shape != value.shape:
            difference = f"{key} is {tuple(state[key].shape)} instead of {tuple(value.shape)}"
            raise CdirError(_mismatch(file, name, difference))


def _load_problem(error: Exception, file: Path, name: str, kind: str) -> str:
    """One line on why `file` does not load."""
    mismatch = re.search(r"(size mismatch for [\w.]+|(Missing|Unexpected) key\(s\)[^\"]*\"[\w.]+)", str(error))
    if mismatch or isinstance(error, AssertionError):
        return _mismatch(file, name.partition(":")[0], mismatch.group(1) if mismatch else first_line(error))
    return f"checkpoint {file} is damaged or not a {kind} ({first_line(error)}); download or save it again"


def _mismatch(file: Path, model: str, difference: str) -> str:
    return f"checkpoint {file} does not fit architecture {model} ({difference}); pass the matching model name"


def _shapes(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, without reading values where the format allows it; empty if it is unreadable."""
    try:
        state: Any = load_state_dict(str(file), device="cpu" if file.suffix == ".safetensors" else "meta")
        return {key: value for key, value in state.items() if torch.is_tensor(value)}
    except Exception:  # loading the file, which comes next, reports the problem
        return {}


def fetch(cfg: Mapping[str, Any], name: str, tag: str) -> Path:
    """The weights file of an open_clip tag: from the Hugging Face cache, or downloaded."""
    repo, filename = os.path.split(cfg["hf_hub"])
    try:
        cached = cached_file(repo, [filename] if filename else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME])
        return cached or Path(download_pretrained(dict(cfg)))
    except Exception as error:
        raise CdirError(
            f"weights of {name}:{tag} are not on this machine and could not be downloaded ({first_line(error)}): "
            f"run once with a network, or get {HF_SAFE_WEIGHTS_NAME} and open_clip_config.json of {repo} "
            f"(Hugging Face) into one folder and give --encoder {name}:FOLDER/{HF_SAFE_WEIGHTS_NAME}; "
            "--encoder real-clip needs no download"
        ) from error


def cached_file(repo: str, filenames: Sequence[str]) -> Path | None:
    """The first of these files in the Hugging Face cache; None if it must be downloaded and the hub is reachable.

    One short request to the hub avoids the retries of a download, which take 50 s without a network.
    Raises the exceptions of the hub's client if there is no network.
    """
    for filename in filenames:
        cached = try_to_load_from_cache(repo, filename)
        if isinstance(cached, str):
            return Path(cached)
    try:
        HfApi().model_info(repo, timeout=HUB_TIMEOUT)
    except HfHubHTTPError:
        pass  # a mirror may serve files only
    return None


def first_line(error: Exception) -> str:
    """The first line of an exception's message, at most 160 characters."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].strip()
    return text if len(text) <= 160 else text[:157] + "..."
