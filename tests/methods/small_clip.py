"""A small CLIP of random weights, for tests of methods."""

import open_clip
import torch

from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.built import BuiltModel

SMALL = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


TIMM_TOWER = {
    "timm_model_name": "test_efficientnet", "timm_model_pretrained": False, "timm_pool": "avg", "timm_proj": "linear",
    "image_size": 32,
}  # fmt: skip


def make_encoder() -> ClipEncoder:
    torch.manual_seed(0)
    model = open_clip.CLIP(**SMALL)
    torch.nn.init.normal_(model.token_embedding.weight, std=0.5)
    return _encoder(model, SMALL)


def make_timm_encoder() -> ClipEncoder:
    """With a small convolutional image tower of timm's, which has batch norm and no tokens."""
    torch.manual_seed(0)
    config = {**SMALL, "vision_cfg": TIMM_TOWER}
    model = open_clip.CustomTextCLIP(**config)
    torch.nn.init.normal_(model.text.token_embedding.weight, std=0.5)
    return _encoder(model, config)


def _encoder(model: torch.nn.Module, config: dict) -> ClipEncoder:
    tokenizer = open_clip.SimpleTokenizer(context_length=16)
    preprocess_cfg = {"size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic"}
    built = BuiltModel("small", model, tokenizer, config, preprocess_cfg, False, "a test")
    return ClipEncoder(built, torch.device("cpu"), "fp32")
