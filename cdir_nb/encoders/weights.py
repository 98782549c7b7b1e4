"""Weights files: found or fetched, recognised, checked and loaded."""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.factory import load_checkpoint, load_state_dict
from open_clip.pretrained import download_pretrained, get_pretrained_cfg
from safetensors import safe_open

from cdir_nb.encoders.spec import CHECKPOINT_KINDS
from cdir_nb.encoders.torchscript import is_torchscript, read_torchscript
from cdir_nb.errors import CdirError

RANDOM_WARNING = "RANDOM WEIGHTS, a pipeline test: numbers mean nothing"
RANDOM_SEED = 0
OPENAI_MARK = "input_resolution"  # a tensor that only OpenAI's archives carry
NO_WEIGHTS = (OPENAI_MARK, "context_length", "vocab_size", "attn_mask")  # tensors in archives, not in models
HUB_TIMEOUT = 5.0  # seconds; without it open_clip retries for most of a minute before it gives up


def recognise(name: str, file: Path) -> tuple[dict[str, Any], str]:
    """What is known of a local checkpoint: values for `_create`, and a reason for people.

    In this order: open_clip's own config file beside it; a published file, by its checksum; OpenAI's form of
    archive (TorchScript, always QuickGELU); else the model's name decides, with a warning where both exist.
    """
    beside = file.with_name("open_clip_config.json")
    if file.name in (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME) and beside.is_file():
        return _read_config(beside), f"activation and preprocessing from {beside.name} beside it"
    published = _published_config(name, file)
    if published:
        return published, "a published file, known by its checksum"
    if _is_from_openai(file):
        return {"quick_gelu": True}, "an archive as OpenAI publishes them: QuickGELU"
    if f"{name}-quickgelu" in open_clip.list_models():
        warnings.warn(
            f'{file.name}: taken to use plain GELU, as "{name}" says; if it comes from OpenAI or was trained '
            f'with QuickGELU, write "{name}-quickgelu:{file.name}"',
            stacklevel=2,
        )
    return {}, f"activation and preprocessing as {name} says"


def _read_config(file: Path) -> dict[str, Any]:
    """quick_gelu and preprocessing from an open_clip_config.json."""
    try:
        parts = json.loads(file.read_text(encoding="utf-8"))
        return {"quick_gelu": parts["model_cfg"].get("quick_gelu", False), **parts.get("preprocess_cfg", {})}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CdirError(f"{file} cannot be read ({first_line(error)}): download it again or move it away") from error


def _published_config(name: str, file: Path) -> dict[str, Any]:
    """The tag whose published file this is: its address carries the first digits, or all, of the SHA-256."""
    with open(file, "rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    base = name.removesuffix("-quickgelu")
    for tag in open_clip.list_pretrained_tags_by_model(base):
        cfg = get_pretrained_cfg(base, tag)
        if any(checksum.startswith(digits) for digits in re.findall(r"[0-9a-f]{8,}", cfg.get("url", ""))):
            return {"quick_gelu": False, **cfg}
    return {}


def _is_from_openai(file: Path) -> bool:
    try:
        return is_torchscript(file) and OPENAI_MARK in read_torchscript(file)
    except Exception:  # loading it, which comes next, says what is wrong
        return False


def check_file(file: Path) -> None:
    """CdirError for a checkpoint that does not exist, may not be read, or has an unknown suffix."""
    if not file.is_file():
        problem = "is a folder, name the file in it" if file.is_dir() else "does not exist, check the path"
        raise CdirError(f"checkpoint {file} {problem}")
    if not os.access(file, os.R_OK):
        raise CdirError(f"checkpoint {file} may not be read by you: change its permissions")
    if file.suffix not in CHECKPOINT_KINDS:
        raise CdirError(f"checkpoint {file} is of no known kind; give one of {', '.join(CHECKPOINT_KINDS)}")


def load_weights(model: torch.nn.Module, file: Path, what: str) -> None:
    """Put the tensors of `file` into `model`, every one of them and no other."""
    try:
        if is_torchscript(file):
            state = read_torchscript(file)
            refuse_whole_numbers(state, model, file)
            model.load_state_dict({key: value for key, value in state.items() if key not in NO_WEIGHTS})
        else:
            refuse_whole_numbers(_shapes(file), model, file)
            load_checkpoint(model, str(file))
    except CdirError:
        raise
    except Exception as error:  # torch, pickle, zip and safetensors each raise kinds of their own
        raise CdirError(load_problem(error, file, what)) from error
    refuse_no_numbers(model, file)
    model.eval()


def refuse_no_numbers(model: torch.nn.Module, file: Path) -> None:
    """CdirError if weights that were loaded are NaN or infinite: every embedding would be."""
    for name, value in model.state_dict().items():
        is_weight = value.is_floating_point() and name.rpartition(".")[2] not in NO_WEIGHTS  # a mask may be infinite
        if is_weight and not torch.isfinite(value).all():
            raise CdirError(
                f"checkpoint {file} has values in {name} that are no numbers (NaN or infinite): get another"
            )


def refuse_whole_numbers(state: Mapping[str, torch.Tensor], model: torch.nn.Module, file: Path) -> None:
    """CdirError for quantised weights: torch would round them into the model without a word."""
    wanted = model.state_dict()
    for name, value in state.items():
        name = name.removeprefix("module.")
        if name in wanted and wanted[name].is_floating_point() and not value.is_floating_point():
            raise CdirError(f"checkpoint {file} has whole numbers in {name}: save it in floating point")


def load_problem(error: Exception, file: Path, what: str, kind: str = "CLIP checkpoint") -> str:
    """One line on why `file` does not load into the model `what`."""
    mismatch = re.search(r"(size mismatch for [\w.]+|(Missing|Unexpected) key\(s\)[^\"]*\"[\w.]+)", str(error))
    if mismatch or isinstance(error, AssertionError):
        found = mismatch.group(1) if mismatch else first_line(error)
        model_name = what.partition(":")[0]
        return f"checkpoint {file} is of another model than {model_name} ({found}); name its own model"
    return f"checkpoint {file} is damaged or no {kind} ({first_line(error)}); download or save it again"


def refuse_other_grid(model: torch.nn.Module, file: Path, name: str) -> None:
    """open_clip would stretch position embeddings of another image size or text length in silence."""
    found = {} if is_torchscript(file) else _shapes(file)
    for key, value in model.state_dict().items():
        if key.endswith("positional_embedding") and key in found and found[key].shape != value.shape:
            raise CdirError(
                f"checkpoint {file} is of another model than {name} ({key} is {tuple(found[key].shape)} where "
                f"{name} has {tuple(value.shape)}); name its own model"
            )


def _shapes(file: Path) -> dict[str, torch.Tensor]:
    """The tensors in a checkpoint with shape and type but no values; empty where it cannot be read."""
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                return {key: _without_values(tensors.get_slice(key)) for key in tensors.keys()}  # noqa: SIM118
        return {
            key: value for key, value in load_state_dict(str(file), device="meta").items() if torch.is_tensor(value)
        }
    except Exception:  # loading it, which comes next, says what is wrong
        return {}


def _without_values(part: Any) -> torch.Tensor:
    whole = part.get_dtype()[0] in "IUB" and not part.get_dtype().startswith("BF")  # I8, U8, BOOL; not F16, BF16
    return torch.empty(part.get_shape(), dtype=torch.int8 if whole else torch.float32, device="meta")


def fetch(cfg: dict[str, Any], name: str, tag: str) -> Path:
    """The weights file of an open_clip tag: from the Hugging Face cache, else by a download."""
    repo, filename = os.path.split(cfg["hf_hub"])
    try:
        cached = ask_hub(repo, [filename] if filename else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME])
        return cached or Path(download_pretrained(cfg))
    except Exception as error:
        raise CdirError(_download_problem(name, tag, repo, error)) from error


def ask_hub(repo: str, filenames: Sequence[str]) -> Path | None:
    """One of these files from the Hugging Face cache; None where it must be downloaded, and the hub answers.

    Asking the hub first, once and with a short limit, saves the retries of downloads (50 s without a network).
    Raises what the hub's client raises where there is no network.
    """
    for candidate in filenames:
        cached = try_to_load_from_cache(repo, candidate)
        if isinstance(cached, str):
            return Path(cached)
    try:
        HfApi().model_info(repo, timeout=HUB_TIMEOUT)
    except HfHubHTTPError:
        pass  # a mirror may serve files only
    return None


def _download_problem(name: str, tag: str, repo: str, error: Exception) -> str:
    return (
        f"weights of {name}:{tag} are not on this machine and could not be downloaded ({first_line(error)}): "
        f"run once with a network, or get {HF_SAFE_WEIGHTS_NAME} and open_clip_config.json of {repo} "
        f"(Hugging Face) into one folder and give --encoder {name}:FOLDER/{HF_SAFE_WEIGHTS_NAME}; "
        "--encoder real-clip needs no download"
    )


def first_line(error: Exception) -> str:
    """The first line of a message, not too long."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].strip()
    return text if len(text) <= 160 else text[:157] + "..."
