"""An encoder's preprocessing and pooling in words, for records."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch would make every command of `cdir` start slowly
    from cdir_nb.encoders import ImageEncoder

CLIP_POOLING = {"tok": "class token", "avg": "average", "none": "none"}  # open_clip's pool_type
SQUASHED = "whole picture, squashed"
CLIP_RESIZING = {"shortest": "centre crop 1.0", "longest": "whole picture, padded", "squash": SQUASHED}
TIMM_POOLING = {"avg": "average", "token": "class token", "max": "maximum", "map": "attention"}  # timm's global_pool


def preprocessing_of(encoder: "ImageEncoder") -> str:
    """Picture size, interpolation and crop, such as `64 px, bicubic, centre crop 1.0`; empty if unknown."""
    if said := getattr(encoder, "preprocessing", ""):
        return str(said)
    cfg = getattr(getattr(encoder, "built", None), "preprocess_cfg", None)
    if not cfg:
        return ""
    size = cfg["input_size"][1:] if "input_size" in cfg else cfg["size"]
    return ", ".join([_pixels(size), *filter(None, (cfg.get("interpolation", ""), _crop(cfg)))])


def _pixels(size: Any) -> str:
    sides = {size} if isinstance(size, int) else set(size)
    return f"{'x'.join(map(str, sides if len(sides) == 1 else size))} px"


def _crop(cfg: dict[str, Any]) -> str:
    """The crop after resizing: a mode of open_clip, or a mode and a fraction of timm."""
    if "resize_mode" in cfg:
        return CLIP_RESIZING.get(cfg["resize_mode"], cfg["resize_mode"])
    mode, fraction = cfg.get("crop_mode", "center"), float(cfg.get("crop_pct", 1.0))
    return SQUASHED if (mode, fraction) == ("squash", 1.0) else f"{mode.replace('center', 'centre')} crop {fraction}"


def pooling_of(encoder: "ImageEncoder") -> str:
    """How an image's features become one vector, such as `class token` or `average`; empty if unknown."""
    if said := getattr(encoder, "pooling", ""):
        return str(said)
    cfg = getattr(getattr(encoder, "built", None), "model_cfg", None)
    if not cfg:
        return ""
    tower = cfg.get("vision_cfg")
    if tower is None:  # a backbone of timm, which pools by its own default
        return _timm_pooling(encoder.model)
    if "timm_model_name" in tower:
        return TIMM_POOLING.get(tower.get("timm_pool"), "") or _timm_pooling(encoder.model.visual.trunk)
    if isinstance(tower.get("layers"), (list, tuple)):
        return "attention"  # CLIP's ResNets
    return CLIP_POOLING.get(tower.get("pool_type", "tok"), str(tower.get("pool_type")))


def _timm_pooling(model: Any) -> str:
    """timm's name of a model's pooling."""
    pool = getattr(model, "global_pool", "")
    kind = str(pool if isinstance(pool, str) else getattr(pool, "pool_type", ""))
    return TIMM_POOLING.get(kind, kind)
