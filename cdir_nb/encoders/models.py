"""Build the model of an encoder specification, with weights, preprocessing and activation.

open_clip's models are built here, backbones in `backbones.py`, tiny-clip and real-clip in `bundled.py`.
"""

import hashlib
import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import open_clip
import torch
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.pretrained import get_pretrained_cfg

from cdir_nb.encoders.backbones import build_backbone, check_name
from cdir_nb.encoders.built import BuiltBackbone, BuiltModel, with_options
from cdir_nb.encoders.bundled import build_bundled
from cdir_nb.encoders.spec import BUNDLED_CLIPS, RANDOM, EncoderSpec, nearest
from cdir_nb.encoders.torchscript import is_torchscript, read_torchscript
from cdir_nb.encoders.weights import (
    OPENAI_MARK,
    RANDOM_SEED,
    RANDOM_WARNING,
    check_file,
    fetch,
    first_line,
    load_weights,
    refuse_other_positions,
)
from cdir_nb.errors import CdirError


def build_model(text: str) -> BuiltModel | BuiltBackbone:
    """Build the model of an encoder specification: a BuiltModel for CLIP, else a BuiltBackbone; see `load_encoder`.

    Raises CdirError for an unknown model, tag or option, for a failed download, and for a checkpoint that is missing,
    damaged or of another model.
    """
    spec = EncoderSpec.parse(text)
    if spec.kind in BUNDLED_CLIPS:
        built = build_bundled(spec)
    elif spec.kind == "open_clip":
        built = _build_open_clip(spec)
    else:
        built = build_backbone(spec)
    return with_options(built, spec)


def check_encoder(text: str) -> None:
    """Raise CdirError for an unknown model or tag, or a file that does not exist. Downloads and builds nothing."""
    spec = EncoderSpec.parse(text)
    if spec.kind == "timm":
        check_name(spec)
    if spec.kind == "open_clip" and not _check_model(spec) and spec.path:
        check_file(spec.path)
    spec.absolute()


def fetch_weights(text: str) -> None:
    """Download the weights of an encoder unless they are on this machine. Does not build a CLIP model.

    Raises CdirError as `check_encoder` does, and for a failed download.
    """
    spec = EncoderSpec.parse(text)
    check_encoder(text)
    if spec.kind == "open_clip" and (cfg := _check_model(spec)):
        fetch(cfg, spec.model, spec.weights)
    elif spec.kind not in (*BUNDLED_CLIPS, "open_clip"):
        build_model(text)  # timm downloads as it builds; MoCo's file is checked as it is read


# ---- open_clip ----


def _build_open_clip(spec: EncoderSpec) -> BuiltModel:
    """Random weights, a published tag, or a checkpoint file."""
    name, cfg = spec.model, _check_model(spec)
    if spec.weights == RANDOM:
        with torch.random.fork_rng(devices=[]):  # the global random state is restored
            torch.manual_seed(RANDOM_SEED)
            return _create(name, {}, origin=f"weights from seed {RANDOM_SEED}", label=f"random ({RANDOM_WARNING})")
    if cfg:
        file = fetch(cfg, name, spec.weights)
        built = _create(name, cfg, origin=f"open_clip weights {spec.weights}", label=spec.weights)
        load_weights(built.model, file, built.name)
        return built
    file = cast(Path, spec.path)
    check_file(file)
    cfg, reason = recognise(name, file)
    built = _create(name, cfg, origin=f"local checkpoint, {reason}", label=file.name)
    refuse_other_positions(built.model, file, name)
    load_weights(built.model, file, f"{name}:{file}")
    return built


def _check_model(spec: EncoderSpec) -> dict[str, Any]:
    """open_clip's configuration of a tag; empty for a file or random weights. Raises CdirError if either is unknown."""
    name, tag = spec.model, spec.weights
    if name not in open_clip.list_models():
        hint = nearest(name, [*open_clip.list_models(), "tiny-clip"], "for example tiny-clip or ViT-B-32:openai")
        raise CdirError(f'encoder "{spec}": open_clip has no model "{name}"; {hint}')
    cfg = get_pretrained_cfg(name, tag)
    if not cfg and tag != RANDOM and spec.path is None:
        tags = open_clip.list_pretrained_tags_by_model(name)
        hint = nearest(tag, [*tags, "random"], f"available: {', '.join(tags[:4]) or 'none, give a checkpoint file'}")
        raise CdirError(f'encoder "{name}:{tag}": {name} has no weights "{tag}", and there is no such file; {hint}')
    return cfg


def _create(name: str, cfg: dict[str, Any], origin: str, label: str) -> BuiltModel:
    """Build `name` with open_clip, without weights; `quick_gelu` and preprocessing of `cfg` override the model's.

    If a tag needs QuickGELU and the name does not have it ("ViT-B-32:openai"), open_clip 3.3 only warns; here it is
    set.
    """
    model_cfg: Any = open_clip.get_model_config(name)
    quick_gelu = bool(cfg.get("quick_gelu", model_cfg.get("quick_gelu", False)))
    try:
        with _quiet_open_clip():
            model = open_clip.create_model(
                name, load_weights=False, pretrained_text=False, quick_gelu=quick_gelu, force_preprocess_cfg=cfg
            )
            tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # models that need further packages, or files from the network
        problem = f"open_clip cannot build {name} here ({first_line(error)}); ViT-B-32 needs nothing more"
        raise CdirError(problem) from error
    preprocess_cfg = open_clip.get_model_preprocess_cfg(model)
    return BuiltModel(f"{name}:{label}", model.eval(), tokenizer, model_cfg, preprocess_cfg, quick_gelu, origin)


@contextmanager
def _quiet_open_clip() -> Iterator[None]:
    """open_clip logs through the root logger, which would get a handler and print a wrong warning."""
    root, silent, before = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    root.addHandler(silent)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(silent)


# ---- the activation and preprocessing of a checkpoint file ----


def recognise(name: str, file: Path) -> tuple[dict[str, Any], str]:
    """Return the configuration for `_create` of a local checkpoint, and the reason for it in words.

    The first match applies: an open_clip_config.json beside it; the checksum of a published file; the format of
    OpenAI's archives (TorchScript, always QuickGELU); the model's name, with a warning if it exists with both
    activations.
    """
    beside = file.with_name("open_clip_config.json")
    if file.name in (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME) and beside.is_file():
        return _read_config(beside), f"activation and preprocessing from {beside.name} beside it"
    if published := _published_config(name, file):
        return published, "a published file, recognised by its checksum"
    if _is_from_openai(file):
        return {"quick_gelu": True}, "an archive as OpenAI publishes them: QuickGELU"
    if f"{name}-quickgelu" in open_clip.list_models():
        warnings.warn(
            f'{file.name}: loaded with plain GELU, the activation of "{name}"; if it is from OpenAI or was trained '
            f'with QuickGELU, write "{name}-quickgelu:{file.name}"',
            stacklevel=2,
        )
    return {}, f"activation and preprocessing of {name}"


def _read_config(file: Path) -> dict[str, Any]:
    """quick_gelu and preprocessing from an open_clip_config.json."""
    try:
        parts = json.loads(file.read_text(encoding="utf-8"))
        return {"quick_gelu": parts["model_cfg"].get("quick_gelu", False), **parts.get("preprocess_cfg", {})}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CdirError(f"{file} cannot be read ({first_line(error)}): download it again or move it away") from error


def _published_config(name: str, file: Path) -> dict[str, Any]:
    """The configuration of the tag whose URL contains the first digits, or all, of the file's SHA-256."""
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
    except Exception:  # loading the file, which comes next, reports the problem
        return False
