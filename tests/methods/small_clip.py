"""A small CLIP of random weights, for tests of methods."""

import open_clip
import torch

from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.checkpoints import BuiltModel

SMALL = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def make_encoder() -> ClipEncoder:
    torch.manual_seed(0)
    model, tokenizer = open_clip.CLIP(**SMALL), open_clip.SimpleTokenizer(context_length=16)
    torch.nn.init.normal_(model.token_embedding.weight, std=0.5)
    return ClipEncoder(
        BuiltModel("small", model, tokenizer, SMALL, {"size": 32}, False, "a test"), torch.device("cpu"), "fp32"
    )
