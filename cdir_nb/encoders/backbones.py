"""Image backbones of timm: from a name to a model without its classifier, its weights and its preprocessing."""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import load_state_dict

from cdir_nb import paths
from cdir_nb.encoders.spec import MOBILENET, RANDOM, EncoderSpec
from cdir_nb.encoders.weights import (
    RANDOM_SEED,
    RANDOM_WARNING,
    ask_hub,
    check_file,
    first_line,
    load_problem,
    refuse_no_numbers,
    refuse_whole_numbers,
)
from cdir_nb.errors import CdirError

TIMM_FILES = ("model.safetensors", "pytorch_model.bin")  # names of weights on timm's pages


@dataclass(frozen=True)
class BuiltBackbone:
    """An image model on the CPU in float32, and what must be known of how it was made."""

    name: str  # "timm:resnet50", "mobilenet-v2"
    model: torch.nn.Module
    model_cfg: dict[str, Any]  # with embed_dim: D
    preprocess_cfg: dict[str, Any]
    origin: str  # where the weights come from, for people
    head: dict[str, torch.Tensor] | None = None  # the projection head that comes with the weights, as in MoCo v2


@dataclass(frozen=True)
class BuiltModel:
    """An open_clip model on the CPU in float32, and what must be known of how it was made."""

    name: str  # "ViT-B-32:openai", "ViT-B-32:checkpoint.pt", "tiny-clip"
    model: torch.nn.Module
    tokenizer: Any
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    quick_gelu: bool
    origin: str  # where weights and activation come from, for people
    pretraining: tuple[str, ...] = ()  # datasets whose listed half its pretraining saw


def build_backbone(spec: EncoderSpec) -> BuiltBackbone:
    """The backbone of a specification of the kind mobilenet-v2 or timm, without its options.

    Features are what timm pools before the classifier. Preprocessing is the model's own data config.
    Raises CdirError: unknown model, no network, a missing, corrupt or foreign checkpoint.
    """
    if spec.kind == MOBILENET:
        return _build_mobilenet(paths.MOBILENET_V2)
    _check_name(spec)
    if spec.weights == RANDOM:
        return _build_random(spec.model)
    return _build_local(spec.model, spec.path) if spec.path else _build_pretrained(spec.model)


def mobilenet_v2(folder: Path | None = None, *, classifier: bool = False) -> torch.nn.Module:
    """The bundled ImageNet MobileNetV2 (`encoders/mobilenet_v2/MODEL_CARD.md`), in evaluation mode.

    classifier  False: (B, 3, H, W) -> (B, 1280) pooled features; True: -> (B, 1001) logits, 0 is "background"
    """
    folder = folder or paths.MOBILENET_V2
    config = _read_config(folder / "config.json")
    classes = config["num_classes"] if classifier else 0
    model = timm.create_model(config["timm_model_name"], pad_type=config["pad_type"], num_classes=classes)
    load_backbone(model, folder / "model.safetensors", MOBILENET)
    return model.eval().to(memory_format=torch.channels_last)  # twice as fast on a CPU


def load_backbone(model: torch.nn.Module, file: Path, name: str) -> None:
    """Put the tensors of `file` into `model`, all but those of a classifier that the model does not have."""
    try:
        state = load_state_dict(str(file))
        wanted = model.state_dict()
        heads = model.pretrained_cfg.get("classifier", "fc")
        heads = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
        refuse_whole_numbers(state, model, file)
        model.load_state_dict({k: v for k, v in state.items() if k in wanted or not k.startswith(heads)})
    except CdirError:
        raise
    except Exception as error:  # torch, pickle, zip and safetensors each raise kinds of their own
        raise CdirError(load_problem(error, file, name, kind="checkpoint of a timm model")) from error
    refuse_no_numbers(model, file)


def _build_mobilenet(folder: Path) -> BuiltBackbone:
    config = _read_config(folder / "config.json")
    origin = "bundled, trained on ImageNet (Apache-2.0), classifier left out"
    cfg = config["preprocess_cfg"] | {"input_size": tuple(config["preprocess_cfg"]["input_size"])}
    model_cfg = {key: config[key] for key in ("timm_model_name", "pad_type", "embed_dim")}
    return BuiltBackbone(MOBILENET, mobilenet_v2(folder), model_cfg, cfg, origin)


def _read_config(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise CdirError(f"{MOBILENET} is not complete: {file} is missing; install the package again")
    return json.loads(file.read_text(encoding="utf-8"))


def _build_random(name: str) -> BuiltBackbone:
    """A model with weights from a fixed seed; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        model = _create(name)
    return _built(f"timm:{name}:random ({RANDOM_WARNING})", name, model, f"weights from seed {RANDOM_SEED}")


def _build_local(name: str, file: Path) -> BuiltBackbone:
    check_file(file)
    model = _create(name)
    load_backbone(model, file, name)
    return _built(f"timm:{name}:{file.name}", name, model, "local checkpoint, preprocessing as timm says")


def _build_pretrained(name: str) -> BuiltBackbone:
    """timm's own weights of a model, from the Hugging Face cache or over the network."""
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights:
        raise CdirError(f"timm has no weights of {name}: give a checkpoint, timm:{name}:FILE, or timm:{name}:random")
    page = f"{TIMM_FILES[0]} of {cfg.hf_hub_id} (Hugging Face)" if cfg.hf_hub_id else cfg.url
    try:
        if cfg.hf_hub_id:
            ask_hub(cfg.hf_hub_id, [cfg.hf_hub_filename] if cfg.hf_hub_filename else TIMM_FILES)
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:
        raise CdirError(_download_problem(name, page, error)) from error
    return _built(f"timm:{name.split('.')[0]}.{cfg.tag}", name, model, "weights of timm")


def _download_problem(name: str, page: str, error: Exception) -> str:
    return (
        f"weights of timm:{name} are not on this machine and could not be downloaded ({first_line(error)}): run once "
        f"with a network, or get {page} and give --encoder timm:{name}:FILE; --encoder {MOBILENET} needs no download"
    )


def _create(name: str) -> torch.nn.Module:
    try:
        return timm.create_model(name, num_classes=0)
    except Exception as error:
        raise CdirError(f"timm cannot build {name} here ({first_line(error)}); resnet50 needs nothing more") from error


def _built(label: str, name: str, model: torch.nn.Module, origin: str) -> BuiltBackbone:
    dim = getattr(model, "head_hidden_size", None) or model.num_features
    model_cfg = {"timm_model_name": name, "embed_dim": dim}
    model = model.eval().to(memory_format=torch.channels_last)  # twice as fast on a CPU
    return BuiltBackbone(label, model, model_cfg, resolve_model_data_config(model), origin)


def _check_name(spec: EncoderSpec) -> None:
    name = spec.model
    tagged = "." in name
    known = timm.list_pretrained() if tagged else timm.list_models()
    if not timm.is_model(name) or (tagged and name not in known):
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"nearest: {', '.join(near)}" if near else "resnet50 is one that exists"
        raise CdirError(f'encoder "{spec}": timm has no model "{name}"; {hint}')
