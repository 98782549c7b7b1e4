"""Image backbones: timm models without classifiers, the bundled MobileNetV2, and MoCo v2's ResNet-50."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.data.config import resolve_model_data_config
from timm.models import load_state_dict
from torch import nn

from cdir_nb import paths
from cdir_nb.encoders.built import BuiltBackbone, pool_of_timm
from cdir_nb.encoders.spec import MOBILENET, MOCO, RANDOM, EncoderSpec, nearest
from cdir_nb.encoders.weights import (
    RANDOM_SEED,
    RANDOM_WARNING,
    cached_file,
    check_file,
    first_line,
    loading,
    read_config,
    refuse_integers,
)
from cdir_nb.errors import CdirError

TIMM_FILES = ("model.safetensors", "pytorch_model.bin")  # names of weights on timm's pages
MOCO_PREFIX = "module.encoder_q."  # the query encoder in MoCo's released checkpoints


def build_backbone(spec: EncoderSpec) -> BuiltBackbone:
    """Build the backbone of a mobilenet-v2, moco-v2 or timm specification, without applying its options.

    Features are the pooled input of timm's classifier. Preprocessing follows the model's data config.
    Raises CdirError for an unknown model, for a failed download, and for a checkpoint that is missing, damaged or of
    another model.
    """
    if spec.kind == MOBILENET:
        return _build_mobilenet(paths.MOBILENET_V2)
    if spec.kind == MOCO:
        return _build_moco(cast(Path, spec.path))
    check_name(spec)
    if spec.weights == RANDOM:
        return _build_random(spec.model)
    return _build_local(spec.model, spec.path) if spec.path else _build_pretrained(spec.model)


def mobilenet_v2(folder: Path | None = None, *, classifier: bool = False) -> nn.Module:
    """The bundled ImageNet MobileNetV2 (`encoders/mobilenet_v2/MODEL_CARD.md`), in evaluation mode.

    classifier  False: (B, 3, H, W) -> (B, 1280) pooled features; True: -> (B, 1001) logits, 0 is "background"
    """
    folder = folder or paths.MOBILENET_V2
    config = read_config(folder, MOBILENET)
    classes = config["num_classes"] if classifier else 0
    options = {"pad_type": config["pad_type"], "global_pool": "avg", "num_classes": classes}
    model = timm.create_model(config["timm_model_name"], **options)
    load_backbone(model, folder / "model.safetensors", MOBILENET)
    return _evaluation(model)


def load_backbone(model: Any, file: Path, name: str) -> None:
    """Load the tensors of `file` into `model`, except those of a classifier that the model does not have."""
    with loading(model, file, name, kind="checkpoint of a timm model"):
        state, expected = load_state_dict(str(file)), model.state_dict()
        heads = model.pretrained_cfg.get("classifier", "fc")
        heads = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
        refuse_integers(state, model, file)
        model.load_state_dict({k: v for k, v in state.items() if k in expected or not k.startswith(heads)})


def _build_mobilenet(folder: Path) -> BuiltBackbone:
    config = read_config(folder, MOBILENET)
    origin = "bundled, trained on ImageNet (Apache-2.0), classifier left out"
    cfg = config["preprocess_cfg"] | {"input_size": tuple(config["preprocess_cfg"]["input_size"])}
    model_cfg = {key: config[key] for key in ("timm_model_name", "pad_type", "embed_dim")}
    return BuiltBackbone(MOBILENET, mobilenet_v2(folder), model_cfg, cfg, origin)


def _build_moco(file: Path) -> BuiltBackbone:
    """ResNet-50 and its projection head from a checkpoint of facebookresearch/moco (moco_v2_800ep_pretrain.pth.tar).

    The head (two linear layers, to 128 dimensions) is `BuiltBackbone.head`; UCDIR starts from both.
    """
    if not file.is_file():  # any extension is accepted, since the released file has .tar
        raise CdirError(f"checkpoint {file} does not exist: check the path")
    built = _build_random("resnet50")
    model = built.model
    model.fc = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 128))
    with loading(model, file, "MoCo v2's ResNet-50", kind="checkpoint of MoCo v2"):
        state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
        state = {name.removeprefix(MOCO_PREFIX): x for name, x in state.items() if name.startswith(MOCO_PREFIX)}
        refuse_integers(state, model, file)
        model.load_state_dict(state)
    head, model.fc = model.fc.state_dict(), nn.Identity()
    origin = "MoCo v2 checkpoint, trained on ImageNet without labels"
    return replace(built, name=f"{MOCO}:{file.name}", origin=origin, head=head)


def _build_random(name: str) -> BuiltBackbone:
    """A model with weights from a fixed seed; the global random state is restored."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        model = _create(name)
    return _built(f"timm:{name}:random ({RANDOM_WARNING})", name, model, f"weights from seed {RANDOM_SEED}")


def _build_local(name: str, file: Path) -> BuiltBackbone:
    check_file(file)
    model = _create(name)
    load_backbone(model, file, name)
    return _built(f"timm:{name}:{file.name}", name, model, "local checkpoint, preprocessing of timm's configuration")


def _build_pretrained(name: str) -> BuiltBackbone:
    """timm's own weights of a model, from the Hugging Face cache or downloaded."""
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights:
        raise CdirError(f"timm has no weights of {name}: give a checkpoint, timm:{name}:FILE, or timm:{name}:random")
    page = f"{TIMM_FILES[0]} of {cfg.hf_hub_id} (Hugging Face)" if cfg.hf_hub_id else cfg.url
    try:
        if cfg.hf_hub_id:
            cached_file(cfg.hf_hub_id, [cfg.hf_hub_filename] if cfg.hf_hub_filename else TIMM_FILES)
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:
        raise CdirError(
            f"weights of timm:{name} are not on this machine and could not be downloaded ({first_line(error)}): run "
            f"once with a network, or get {page} and give --encoder timm:{name}:FILE; --encoder {MOBILENET} needs no "
            "download"
        ) from error
    return _built(f"timm:{name.split('.')[0]}.{cfg.tag}", name, model, "weights of timm")


def _create(name: str) -> nn.Module:
    try:
        return timm.create_model(name, num_classes=0)
    except Exception as error:
        raise CdirError(
            f"timm cannot build {name} here ({first_line(error)}): choose another, such as resnet50"
        ) from error


def _built(label: str, name: str, model: nn.Module, origin: str) -> BuiltBackbone:
    dim = getattr(model, "head_hidden_size", None) or model.num_features
    # timm's default pooling may change with its release, so the digest of the encoder contains it.
    model_cfg = {"timm_model_name": name, "embed_dim": dim, "pool": pool_of_timm(model), "unit_rows": False}
    return BuiltBackbone(label, _evaluation(model), model_cfg, resolve_model_data_config(model), origin)


def _evaluation(model: nn.Module) -> nn.Module:
    return model.eval().to(memory_format=torch.channels_last)  # twice as fast on a CPU


def check_name(spec: EncoderSpec) -> None:
    """Raise CdirError for a model, or a tag of its weights, that timm does not have."""
    name = spec.model
    tagged = "." in name
    available = timm.list_pretrained() if tagged else timm.list_models()
    if not timm.is_model(name) or (tagged and name not in available):
        hint = nearest(name, available, "for example resnet50")
        raise CdirError(f'encoder "{spec}": timm has no model "{name}"; {hint}')
