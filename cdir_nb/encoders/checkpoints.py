"""From the name of an encoder to its model: an open_clip model with weights, preprocessing and activation, or a
backbone of timm.
"""

import difflib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg

from cdir_nb.encoders.backbones import MOBILENET, BuiltBackbone, BuiltModel, build_backbone
from cdir_nb.encoders.bundled import build_bundled, is_bundled
from cdir_nb.encoders.moco import MOCO, build_moco
from cdir_nb.encoders.weights import (
    CHECKPOINT_KINDS,
    RANDOM_SEED,
    RANDOM_WARNING,
    check_file,
    fetch,
    first_line,
    load_weights,
    recognise,
    refuse_other_grid,
)
from cdir_nb.errors import CdirError
from cdir_nb.paths import expanded


def build_model(spec: str) -> BuiltModel | BuiltBackbone:
    """The model that `spec` names, a BuiltModel where it reads texts; see `cdir_nb.encoders.load_encoder`.

    Raises CdirError: unknown model or tag, no network, a missing, corrupt or foreign checkpoint.
    """
    if _is_backbone(spec):
        return build_backbone(spec)
    if is_bundled(spec):
        return build_bundled(spec)
    if spec.startswith(MOCO):
        return build_moco(spec)
    name, weights = _read_spec(spec)
    if weights == "random":
        return _build_random(name)
    if get_pretrained_cfg(name, weights):
        return _build_tagged(name, weights)
    return _build_local(name, expanded(weights))


def fetch_weights(spec: str) -> None:
    """Have the weights of `spec` on this machine, downloading them if they are not; nothing is built.

    Raises CdirError as `build_model` does for an unknown model or tag, no network, or a file that does not exist.
    """
    if is_bundled(spec):
        return
    if _is_backbone(spec) or spec.startswith(MOCO):
        build_model(spec)  # timm downloads as it builds; MoCo's file is checked as it is read
        return
    name, weights = _read_spec(spec)
    if weights == "random":
        return
    if cfg := get_pretrained_cfg(name, weights):
        fetch(cfg, name, weights)
    else:
        check_file(expanded(weights))


def _is_backbone(spec: str) -> bool:
    return spec == MOBILENET or spec.startswith("timm:")


def _read_spec(spec: str) -> tuple[str, str]:
    """MODEL:WEIGHTS as a known model's name, and "random", one of its tags, or a path."""
    name, _, weights = spec.partition(":")
    name = name.replace("/", "-")  # people write ViT-B/32
    _check_model_name(name, spec)
    if not weights:
        raise CdirError(f'encoder "{spec}" does not say which weights: write for example "{_example(name)}"')
    if weights == "random" or get_pretrained_cfg(name, weights) or _looks_like_path(weights):
        return name, weights
    raise CdirError(_unknown_tag(name, weights))


def _build_random(name: str) -> BuiltModel:
    """A model with weights from a fixed seed; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        return _create(name, {}, origin=f"weights from seed {RANDOM_SEED}", label=f"random ({RANDOM_WARNING})")


def _build_tagged(name: str, tag: str) -> BuiltModel:
    """A published model by its open_clip tag, from the Hugging Face cache or over the network."""
    cfg = get_pretrained_cfg(name, tag)
    file = fetch(cfg, name, tag)
    built = _create(name, cfg, origin=f"open_clip weights {tag}", label=tag)
    load_weights(built.model, file, built.name)
    return built


def _build_local(name: str, file: Path) -> BuiltModel:
    """A checkpoint file of the user's own, or one that they downloaded by hand."""
    check_file(file)
    cfg, reason = recognise(name, file)
    built = _create(name, cfg, origin=f"local checkpoint, {reason}", label=file.name)
    refuse_other_grid(built.model, file, name)
    load_weights(built.model, file, f"{name}:{file}")
    return built


def _create(name: str, cfg: dict[str, Any], origin: str, label: str) -> BuiltModel:
    """Build `name` by open_clip, without weights; `quick_gelu` and preprocessing of `cfg` come first.

    open_clip 3.3 only warns where a tag needs QuickGELU and the name has none ("ViT-B-32:openai"): we set it.
    """
    model_cfg = open_clip.get_model_config(name)
    quick_gelu = bool(cfg.get("quick_gelu", model_cfg.get("quick_gelu", False)))
    try:
        with _quiet_open_clip():
            model = open_clip.create_model(
                name, load_weights=False, pretrained_text=False, quick_gelu=quick_gelu, force_preprocess_cfg=cfg
            )
            tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # models that need further packages, or files from the network
        raise CdirError(
            f"open_clip cannot build {name} here ({first_line(error)}); ViT-B-32 needs nothing more"
        ) from error
    preprocess_cfg = open_clip.get_model_preprocess_cfg(model)
    return BuiltModel(f"{name}:{label}", model.eval(), tokenizer, model_cfg, preprocess_cfg, quick_gelu, origin)


def _check_model_name(name: str, spec: str) -> None:
    if name not in open_clip.list_models():
        near = difflib.get_close_matches(name, [*open_clip.list_models(), "tiny-clip"], n=3, cutoff=0.4)
        hint = f"nearest: {', '.join(near)}" if near else "tiny-clip and ViT-B-32:openai are two that exist"
        raise CdirError(f'encoder "{spec}": open_clip has no model "{name}"; {hint}')


def _unknown_tag(name: str, tag: str) -> str:
    tags = open_clip.list_pretrained_tags_by_model(name)
    near = difflib.get_close_matches(tag, [*tags, "random"], n=3, cutoff=0.4) or tags[:4]
    return (
        f'encoder "{name}:{tag}": {name} has no weights "{tag}", and there is no such file; '
        f"nearest: {', '.join(near) or 'none, give a checkpoint file'}"
    )


def _looks_like_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.endswith(CHECKPOINT_KINDS) or Path(text).exists()


def _example(name: str) -> str:
    tags = open_clip.list_pretrained_tags_by_model(name)
    return f"{name}:{tags[0]}" if tags else f"{name}:/path/to/checkpoint.safetensors"


@contextmanager
def _quiet_open_clip() -> Iterator[None]:
    """open_clip logs through the root logger: that would add a handler to it and show a false warning."""
    root, silent, before = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    root.addHandler(silent)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(silent)
