"""From the name of an encoder to its model: an open_clip model with weights, preprocessing and activation, or a
backbone of timm.
"""

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg

from cdir_nb.encoders.backbones import BuiltBackbone, BuiltModel, build_backbone
from cdir_nb.encoders.bundled import build_bundled
from cdir_nb.encoders.moco import build_moco
from cdir_nb.encoders.options import with_options
from cdir_nb.encoders.spec import BUNDLED_CLIPS, MOBILENET, MOCO, RANDOM, EncoderSpec
from cdir_nb.encoders.weights import (
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


def build_model(text: str) -> BuiltModel | BuiltBackbone:
    """The model of an encoder specification, a BuiltModel where it reads texts; see `cdir_nb.encoders.load_encoder`.

    Raises CdirError: unknown model, tag or option, no network, a missing, corrupt or foreign checkpoint.
    """
    spec = EncoderSpec.parse(text)
    return with_options(_build(spec), spec)


def _build(spec: EncoderSpec) -> BuiltModel | BuiltBackbone:
    if spec.kind in BUNDLED_CLIPS:
        return build_bundled(spec)
    if spec.kind in (MOBILENET, "timm"):
        return build_backbone(spec)
    if spec.kind == MOCO:
        return build_moco(spec)
    cfg = _check_model(spec)
    if spec.weights == RANDOM:
        return _build_random(spec.model)
    return _build_tagged(cfg, spec.model, spec.weights) if cfg else _build_local(spec.model, spec.path)


def fetch_weights(text: str) -> None:
    """Have the weights of an encoder on this machine, downloading them if they are not; a CLIP model is not built.

    Raises CdirError as `build_model` does for an unknown model or tag, no network, or a file that does not exist.
    """
    spec = EncoderSpec.parse(text)
    if spec.kind in BUNDLED_CLIPS:
        return
    if spec.kind != "open_clip":
        build_model(text)  # timm downloads as it builds; MoCo's file is checked as it is read
    elif cfg := _check_model(spec):
        fetch(cfg, spec.model, spec.weights)
    elif spec.path:
        check_file(spec.path)


def _check_model(spec: EncoderSpec) -> dict[str, Any]:
    """open_clip's configuration of a tag, empty for a file and random weights. CdirError if open_clip lacks either."""
    _check_model_name(spec)
    cfg = get_pretrained_cfg(spec.model, spec.weights)
    if not cfg and spec.weights != RANDOM and spec.path is None:
        raise CdirError(_unknown_tag(spec.model, spec.weights))
    return cfg


def _build_random(name: str) -> BuiltModel:
    """A model with weights from a fixed seed; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        return _create(name, {}, origin=f"weights from seed {RANDOM_SEED}", label=f"random ({RANDOM_WARNING})")


def _build_tagged(cfg: dict[str, Any], name: str, tag: str) -> BuiltModel:
    """A published model by its open_clip tag, from the Hugging Face cache or over the network."""
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


def _check_model_name(spec: EncoderSpec) -> None:
    name = spec.model
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
