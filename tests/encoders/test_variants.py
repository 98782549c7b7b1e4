"""Variants of an encoder: what they change, that they change nothing else, and that each has its own cache."""

import numpy as np
import pytest
import torch
from PIL import Image

from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.variants import IMAGENET, UNSCALED, as_seen, with_other_activation, with_preprocessing
from cdir_nb.errors import CdirError

WIDE = Image.fromarray(np.dstack([np.repeat(np.arange(96, dtype=np.uint8)[None], 48, 0)] * 3))  # 96 wide, 48 high


@pytest.fixture
def clip(tiny):
    return load_encoder("tiny-clip", device="cpu")


def pixels(clip, **changes) -> np.ndarray:
    """(3, 64, 64) of WIDE in grey values 0..255, whose columns rise from 0 to 95."""
    return 255 * with_preprocessing(clip, **UNSCALED, interpolation="bilinear", **changes).preprocess(WIDE).numpy()


def test_the_three_ways_to_a_square(clip):
    crop, squash = pixels(clip, resize_mode="shortest")[0], pixels(clip, resize_mode="squash")[0]
    pad = pixels(clip, resize_mode="longest", fill_color=255)[0]
    assert crop.shape == squash.shape == pad.shape == (64, 64)
    assert crop[0, 0] > 20 and crop[0, -1] < 75  # a quarter of the width is lost on each side
    assert squash[0, 0] < 2 and squash[0, -1] > 93 and np.ptp(squash[:, 10]) == 0  # all of it, squeezed
    assert (pad[:16] == 255).all() and (pad[-16:] == 255).all() and pad[32, 0] < 2 and pad[32, -1] > 93


def test_as_seen_is_what_the_model_gets_before_scaling(clip):
    square = with_preprocessing(clip, **UNSCALED, resize_mode="longest", fill_color=9)
    seen = np.asarray(as_seen(square, WIDE))
    assert np.allclose(seen.transpose(2, 0, 1) / 255, square.preprocess(WIDE).numpy())
    assert (seen[0] == 9).all() and WIDE.size == (96, 48)


def test_statistics_of_imagenet_by_hand(clip):
    grey = Image.new("RGB", (64, 64), (51, 51, 51))  # 0.2
    pixel = with_preprocessing(clip, **IMAGENET).preprocess(grey)[:, 0, 0].tolist()
    assert pixel == pytest.approx([(0.2 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.2 - 0.406) / 0.225], abs=1e-5)


def test_the_other_activation_is_used_everywhere_with_the_same_weights(clip):
    other = with_other_activation(clip)
    kinds = [{type(m).__name__ for m in e.model.modules() if "GELU" in type(m).__name__} for e in (clip, other)]
    assert kinds == [{"GELU"}, {"QuickGELU"}]
    assert all(torch.equal(a, b) for a, b in zip(clip.model.state_dict().values(), other.model.state_dict().values()))
    assert "QuickGELU" in other.identity and "QuickGELU" not in clip.identity


def test_the_other_activation_is_x_times_sigmoid(clip):
    layer = with_other_activation(clip).model.visual.transformer.resblocks[0].mlp.gelu
    x = torch.linspace(-4, 4, 9)
    assert torch.allclose(layer(x), x / (1 + torch.exp(-1.702 * x)))


def test_each_variant_has_its_own_cache(clip, pictures):
    other = with_other_activation(clip)
    encoders = clip, other, with_preprocessing(clip, **IMAGENET), with_other_activation(other)
    original, quick, imagenet, back = (encoder.embed_images(pictures) for encoder in encoders)
    assert torch.equal(original, back) and torch.equal(clip.embed_images(pictures), original)
    assert not torch.allclose(original, quick, atol=1e-4) and not torch.allclose(original, imagenet, atol=1e-4)


def test_what_cannot_be_changed_is_refused(clip):
    with pytest.raises(CdirError, match="'crop'"):
        with_preprocessing(clip, crop="centre")
    with pytest.raises(CdirError, match="'resize_mode'"):
        with_preprocessing(load_encoder("timm:resnet10t:random", device="cpu"), resize_mode="squash")
    for module in clip.model.modules():
        if hasattr(module, "gelu"):
            module.gelu = torch.nn.ReLU()
    with pytest.raises(CdirError, match="no GELU"):
        with_other_activation(clip)
