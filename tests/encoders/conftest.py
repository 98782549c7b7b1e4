"""A small CLIP in the form of the bundled one, small models that open_clip knows by name, and pictures."""

import hashlib
import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cdir_nb import paths
from cdir_nb.data.images import ImageSet

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
SMALL = {**TINY, "text_cfg": {**TINY["text_cfg"], "context_length": 77}}


@pytest.fixture
def tiny(tmp_path, monkeypatch, fresh_cache) -> Path:
    """Folder of a random "tiny-clip", in place of the bundled one, and an empty cache."""
    folder = tmp_path / "tiny_clip"
    folder.mkdir()
    torch.manual_seed(1)
    state = {key: value.half() for key, value in open_clip.CLIP(**TINY).state_dict().items()}
    save_file(state, folder / "model.safetensors")
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear", "size": 64}
    (folder / "config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": preprocess}))
    monkeypatch.setattr(paths, "TINY_CLIP", folder)
    return folder


@pytest.fixture(scope="session")
def small_models(tmp_path_factory) -> None:
    """Adds small models to those that open_clip finds by name."""
    folder = tmp_path_factory.mktemp("configs")
    changes = {
        "small": {},
        "small-quickgelu": {"quick_gelu": True},
        "small-wide": {"embed_dim": 32},
        "small-large": {"vision_cfg": {**TINY["vision_cfg"], "image_size": 96}},
    }
    for name, changed in changes.items():
        (folder / f"{name}.json").write_text(json.dumps({**SMALL, **changed}))
    open_clip.add_model_config(folder)


@pytest.fixture
def small_model(small_models) -> torch.nn.Module:
    torch.manual_seed(2)
    return open_clip.CLIP(**SMALL).eval()


@pytest.fixture
def pictures() -> ImageSet:
    return make_pictures(10)


def make_pictures(count: int, seed: int = 0, size: tuple[int, int] = (70, 90)) -> ImageSet:
    """`count` pictures of noise, with digests of their pixels."""
    rng = np.random.default_rng(seed)
    pixels = {f"real/dog/{i}.png": rng.integers(0, 256, (*size, 3), dtype=np.uint8) for i in range(count)}
    digests = tuple(hashlib.sha256(value.tobytes()).hexdigest() for value in pixels.values())
    names = np.array(["real"] * count), np.array(["dog"] * count)
    return ImageSet(tuple(pixels), *names, lambda key: Image.fromarray(pixels[key]), digests)
