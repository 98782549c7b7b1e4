"""Image and CLIP models before an encoder wraps them, with options for pooling and preprocessing."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer

from cdir_nb.encoders.spec import POOLS, EncoderSpec
from cdir_nb.errors import CdirError

POOL_WORDS = {
    "token": "class token",
    "avg": "average",
    "max": "maximum",
    "avgmax": "average and maximum",
    "map": "attention",
    "": "none",
}
SHAPE_WORDS = {"squash": "squashed", "border": "padded to a square", "longest": "padded to a square"}
OPEN_CLIP_POOLS = {"tok": "token", "avg": "avg", "none": ""}


@dataclass(frozen=True)
class BuiltBackbone:
    """An image model on the CPU in float32, with its configuration and origin."""

    name: str  # "timm:resnet50", "mobilenet-v2"
    model: Any  # torch.nn.Module
    model_cfg: dict[str, Any]  # with embed_dim: D
    preprocess_cfg: dict[str, Any]
    origin: str  # of the weights, for people
    head: dict[str, torch.Tensor] | None = None  # a projection head stored with the weights, as in MoCo v2


@dataclass(frozen=True)
class BuiltModel:
    """An open_clip model on the CPU in float32, with its tokenizer, configuration and origin."""

    name: str  # "ViT-B-32:openai", "ViT-B-32:checkpoint.pt", "tiny-clip"
    model: Any  # torch.nn.Module
    tokenizer: Any
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    quick_gelu: bool
    origin: str  # of weights and activation, for people
    pretraining: tuple[str, ...] = ()  # datasets; their listed halves were used in pretraining
    known_tokens: frozenset[int] | None = None  # tokens of the pretraining texts; None: any token


def with_options(built: BuiltModel | BuiltBackbone, spec: EncoderSpec) -> BuiltModel | BuiltBackbone:
    """The model with the pooling and padding of `spec`; unchanged if the model already has both.

    Pooling is changed in place, in the model. Padding uses the mean colour of the model's configuration.
    Raises CdirError if the model does not support the pooling.
    """
    if spec.pool and spec.pool != _pool(built):
        set_pool = _set_pool_of_timm if isinstance(built, BuiltBackbone) else _set_pool_of_clip
        set_pool(built.model, spec)
        built = replace(built, model_cfg={**built.model_cfg, "pool": spec.pool})
    return replace(built, preprocess_cfg=_padded(built)) if spec.pad else built


def pooling(built: BuiltModel | BuiltBackbone) -> str:
    """How the vision model pools its positions to one vector: "class token", "average", "attention", ..."""
    name = _pool(built)
    return POOL_WORDS.get(name, name)


def crops(cfg: dict[str, Any]) -> bool:
    """Whether a preprocessing configuration crops images to a square, rather than padding or squashing them."""
    return cfg.get("crop_mode", cfg.get("resize_mode")) not in SHAPE_WORDS


def preprocessing(cfg: dict[str, Any]) -> str:
    """A preprocessing configuration in words: "224 px, bicubic, centre crop 0.875, mean 0.5, std 0.5"."""
    if "input_size" in cfg:
        size, mode, fraction = cfg["input_size"][1:], cfg.get("crop_mode") or "center", cfg.get("crop_pct") or 0.875
    else:
        size, mode, fraction = cfg["size"], cfg.get("resize_mode") or "shortest", 1.0
    size = [size] if isinstance(size, int) else list(dict.fromkeys(size))
    shape = [SHAPE_WORDS[mode]] if mode in SHAPE_WORDS else []
    if not shape or fraction != 1:
        shape.append(f"centre crop {fraction:g}")
    colours = [f"{name} {_numbers(cfg[name])}" for name in ("mean", "std")]
    return ", ".join([f"{' x '.join(map(str, size))} px", cfg["interpolation"], *shape, *colours])


def _numbers(values: Any) -> str:
    """(0.5, 0.5, 0.5) as "0.5"."""
    distinct = values if len(set(values)) > 1 else values[:1]
    return " ".join(f"{value:.3g}" for value in distinct)


def _pool(built: BuiltModel | BuiltBackbone) -> str:
    """One of POOLS, another name that timm uses, the name that a user's model states, or empty for no pooling."""
    if isinstance(built, BuiltBackbone):
        return built.model_cfg.get("pool") or pool_of_timm(built.model)
    visual = built.model.visual
    if isinstance(visual, VisionTransformer) and visual.attn_pool is None:
        return OPEN_CLIP_POOLS[visual.pool_type]
    if isinstance(visual, TimmModel):
        return pool_of_timm(visual.trunk) or ("map" if hasattr(visual.head, "pool") else "")
    return "map"  # ModifiedResNet and CoCa pool by attention


def pool_of_timm(model: torch.nn.Module) -> str:
    """The pooling of a timm model, which stores it as a name or as a layer, in the model or in its head."""
    for module in (model, getattr(model, "head", None)):
        pool = getattr(module, "global_pool", None)
        name = getattr(pool, "pool_type", pool)
        if isinstance(name, str):
            return "avg" if name == "fast" else name.removeprefix("fast")
    return "avg"


def _set_pool_of_clip(model: Any, spec: EncoderSpec) -> None:
    names = {pool: name for name, pool in OPEN_CLIP_POOLS.items() if pool}
    visual = model.visual
    if not isinstance(visual, VisionTransformer) or visual.attn_pool is not None:
        raise CdirError(f"encoder {spec}: its projection requires the trained pooling: leave out pool={spec.pool}")
    if spec.pool not in names:
        raise CdirError(f"encoder {spec}: pool={spec.pool} does not exist for it: give one of {', '.join(names)}")
    visual.pool_type = names[spec.pool]


def _set_pool_of_timm(model: Any, spec: EncoderSpec) -> None:
    before = pool_of_timm(model)
    try:
        model.reset_classifier(0, global_pool=spec.pool)
        changed = pool_of_timm(model) == spec.pool
    except Exception:  # models refuse by assertions and by errors of several classes
        changed = False
    if not changed:
        others = ", ".join(pool for pool in POOLS if pool != spec.pool)
        problem = f"this model cannot pool by {spec.pool} (it has {before}): try one of {others}"
        raise CdirError(f"encoder {spec}: {problem}") from None
    model.eval()


def _padded(built: BuiltModel | BuiltBackbone) -> dict[str, Any]:
    if isinstance(built, BuiltBackbone):
        return {**built.preprocess_cfg, "crop_mode": "border", "crop_pct": 1.0}
    mean = built.preprocess_cfg["mean"]
    return {**built.preprocess_cfg, "resize_mode": "longest", "fill_color": round(255 * sum(mean) / len(mean))}
