"""Encoder specifications: their text, the refusal of others, and what options do to a model."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from cdir_nb import paths
from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.spec import BUNDLED_FILES, EncoderSpec
from cdir_nb.encoders.variants import as_seen
from cdir_nb.errors import CdirError

VIT, CNN = "timm:test_vit:random", "timm:test_efficientnet:random"


@pytest.mark.parametrize(
    "text,expected,path",
    [
        ("ViT-B-32:openai", EncoderSpec("open_clip", "ViT-B-32", "openai"), None),
        ("ViT-B-32:w.pt", EncoderSpec("open_clip", "ViT-B-32", "w.pt"), "w.pt"),
        ("ViT-B-32:models/w", EncoderSpec("open_clip", "ViT-B-32", "models/w"), "models/w"),
        ("ViT-B-32:/a,b/w.pt,pad=true", EncoderSpec("open_clip", "ViT-B-32", "/a,b/w.pt", pad=True), "/a,b/w.pt"),
        ("timm:resnet50", EncoderSpec("timm", "resnet50"), None),
        ("timm:resnet50:weights", EncoderSpec("timm", "resnet50", "weights"), "weights"),
        ("timm:resnet50,pool=max", EncoderSpec("timm", "resnet50", pool="max"), None),
        ("tiny-clip", EncoderSpec("tiny-clip"), None),
        ("real-clip:mine", EncoderSpec("real-clip", weights="mine"), "mine"),
        ("tiny-clip:/a/b,precision=bf16", EncoderSpec("tiny-clip", weights="/a/b", precision="bf16"), "/a/b"),
        ("moco-v2:moco.pth.tar", EncoderSpec("moco-v2", weights="moco.pth.tar"), "moco.pth.tar"),
        ("tiny-clip,pool=avg,pad=true,precision=bf16", EncoderSpec("tiny-clip", "", "", "avg", True, "bf16"), None),
    ],
)
def test_a_specification_and_its_text(text, expected, path):
    assert EncoderSpec.parse(text) == expected
    assert str(expected) == text
    assert expected.path == (Path(path) if path else None)


@pytest.mark.parametrize(
    "text,same",
    [
        ("ViT-B/32:openai", "ViT-B-32:openai"),
        ("tiny-clip,pad=false,precision=fp32", "tiny-clip"),
        ("tiny-clip, precision=bf16 ,pool=avg", "tiny-clip,pool=avg,precision=bf16"),
        ("timm:resnet50:pool=max", "timm:resnet50,pool=max"),
        ("timm:resnet50:random:pad=true,pool=max", "timm:resnet50:random,pool=max,pad=true"),
    ],
)
def test_equivalent_texts_of_a_specification(text, same):
    assert str(EncoderSpec.parse(text)) == same


@pytest.mark.parametrize(
    "text,named",
    [
        ("", "ViT-B-32:openai"),
        ("ViT-B-32", "ViT-B-32"),
        ("tinyclip", "tiny-clip"),
        ("real-clip:", "real-clip:"),
        ("timm:resnet50:", "timm:resnet50:"),
        ("mobilenet-v2:w.pth", "mobilenet-v2:w.pth"),
        ("moco-v2", "moco-v2"),
        ("tiny-clip,precison=bf16", "nearest: precision"),
        ("tiny-clip,precision=fp16", "fp16"),
        ("tiny-clip,pool=", "token"),
        ("tiny-clip,pad=yes", "yes"),
        ("tiny-clip,pad=true,pad=true", "pad"),
    ],
)
def test_an_invalid_text_is_refused_in_one_line(text, named):
    with pytest.raises(CdirError) as caught:
        EncoderSpec.parse(text)
    assert named in str(caught.value) and "\n" not in str(caught.value)


def bundled_copy(folder: Path) -> Path:
    folder.mkdir()
    for name in BUNDLED_FILES:
        shutil.copy(paths.REAL_CLIP / name, folder)
    return folder


def test_a_path_becomes_absolute_and_its_content_is_in_the_digest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = bundled_copy(tmp_path / "mine")
    spec = EncoderSpec.parse("real-clip:mine,precision=bf16")
    assert str(spec.absolute()) == f"real-clip:{mine},precision=bf16"
    assert spec.digest() == spec.absolute().digest() != EncoderSpec.parse("real-clip:mine").digest()
    before = spec.digest()
    shutil.move(mine, tmp_path / "elsewhere" / "mine")
    assert EncoderSpec.parse("real-clip:elsewhere/mine,precision=bf16").digest() == before
    with open(tmp_path / "elsewhere" / "mine" / "config.json", "a") as config:
        config.write(" ")
    assert EncoderSpec.parse("real-clip:elsewhere/mine,precision=bf16").digest() != before


@pytest.mark.parametrize("text,missing", [("real-clip:nowhere", "nowhere/config.json"), ("timm:a:b.pth", "b.pth")])
def test_a_missing_path_is_named(text, missing):
    for resolve in (EncoderSpec.parse(text).absolute, EncoderSpec.parse(text).digest):
        with pytest.raises(CdirError, match=missing):
            resolve()


# --- options


def test_bundled_encoders_have_the_identities_that_records_name():
    expected = {"tiny-clip": "6a9ffd909991", "real-clip": "4637b70948c0", "mobilenet-v2": "252037f477d9"}
    identities = {name: load_encoder(name, device="cpu").identity for name in expected}
    assert {name: text.rpartition("[")[2][:-1] for name, text in identities.items()} == expected
    defaults = {"tiny-clip": "pool=token", "real-clip": "pad=false", "mobilenet-v2": "pool=avg"}
    for name, default in defaults.items():
        assert load_encoder(f"{name},{default},precision=fp32", device="cpu").identity == identities[name]


def test_precision_of_a_specification_and_of_the_call():
    assert load_encoder("tiny-clip,precision=bf16", device="cpu").precision == "bf16"
    assert load_encoder("tiny-clip,precision=bf16", device="cpu", precision="fp32").precision == "fp32"
    by_call = load_encoder("tiny-clip", device="cpu", precision="bf16")
    assert by_call.identity == load_encoder("tiny-clip,precision=bf16", device="cpu").identity


def positions(encoder, batch: torch.Tensor) -> torch.Tensor:
    """(B, positions, C) of a timm model, before pooling."""
    features = encoder.model.forward_features(batch)
    return features.flatten(2).transpose(1, 2) if features.ndim == 4 else features


@pytest.mark.parametrize(
    "name,pool,pooled",
    [
        (VIT, "token", lambda x: x[:, 0]),
        (VIT, "avg", lambda x: x[:, 1:].mean(1)),  # without the class token
        (VIT, "max", lambda x: x[:, 1:].amax(1)),
        (CNN, "avg", lambda x: x.mean(1)),
        (CNN, "max", lambda x: x.amax(1)),
        (CNN, "avgmax", lambda x: (x.mean(1) + x.amax(1)) / 2),
    ],
)
def test_pooling_of_timm_models(name, pool, pooled):
    encoder = load_encoder(f"{name},pool={pool}", device="cpu")
    batch = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        assert torch.allclose(encoder.model(batch), pooled(positions(encoder, batch)), atol=1e-5)
    plain = load_encoder(name, device="cpu")
    assert (encoder.identity == plain.identity) == (encoder.pooling == plain.pooling)
    assert f"pooling by {encoder.pooling}" in encoder.description and encoder.dim == plain.dim


def test_another_default_pooling_of_timm_is_another_identity(monkeypatch):
    before, create = load_encoder(VIT, device="cpu"), timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *args, **more: create(*args, **more, global_pool="avg"))
    after = load_encoder(VIT, device="cpu")
    assert (before.pooling, after.pooling) == ("class token", "average")
    assert after.identity == load_encoder(f"{VIT}:pool=avg", device="cpu").identity != before.identity


def test_average_pooling_of_a_clip():
    encoder = load_encoder("tiny-clip,pool=avg", device="cpu")
    visual, batch = encoder.model.visual, torch.rand(2, 3, 64, 64)
    seen = []
    visual.ln_post.register_forward_hook(lambda *_: seen.append(_[2]))
    with torch.no_grad():
        features = encoder.model.encode_image(batch)
        assert torch.allclose(features, seen[0][:, 1:].mean(1) @ visual.proj, atol=1e-5)


@pytest.mark.parametrize(
    "text", [f"{CNN},pool=token", "tiny-clip,pool=max", "real-clip,pool=max", "mobilenet-v2,pool=token"]
)
def test_a_pooling_that_a_model_does_not_have(text):
    with pytest.raises(CdirError, match=text.partition("=")[2]):
        load_encoder(text, device="cpu")


@pytest.mark.parametrize("name,size", [("tiny-clip", 64), ("real-clip", 112), ("mobilenet-v2", 224), (VIT, 160)])
def test_padding_loses_nothing_of_a_wide_image(name, size):
    pixels = np.full((100, 200, 3), 255, np.uint8)
    pixels[:, :10] = pixels[:, -10:] = 0  # dark left and right borders, which a crop cuts off
    dark = {}
    for option in ("false", "true"):
        encoder = load_encoder(f"{name},pad={option}", device="cpu")
        seen = np.asarray(as_seen(encoder, Image.fromarray(pixels)))
        assert seen.shape == (size, size, 3)
        dark[option] = bool((seen[size // 2, 0] < 60).all() and (seen[size // 2, -1] < 60).all())
        assert ("padded to a square" in encoder.preprocessing) == (option == "true")
    assert dark == {"false": False, "true": True}
