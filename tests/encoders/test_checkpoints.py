"""Checkpoints of CLIP models, against open_clip; the activation that each gets; missing, damaged and wrong files."""

import hashlib
import json
import math
import time
import warnings

import open_clip
import pytest
import timm
import torch
from open_clip.pretrained import _PRETRAINED
from safetensors.torch import save_file

from cdir_nb.encoders import load_encoder, weights
from cdir_nb.encoders.models import build_model
from cdir_nb.errors import CdirError


def error_of(spec: str) -> str:
    with pytest.raises(CdirError) as caught:
        load_encoder(spec, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


def direct_features(name: str, file, images) -> torch.Tensor:
    """Features by open_clip alone, as its README does it."""
    model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=str(file))
    with torch.no_grad():
        return model.eval().encode_image(torch.stack([preprocess(images.image(i)) for i in range(len(images))]))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.filterwarnings("ignore:.*plain GELU")
def test_a_checkpoint_gives_the_features_of_open_clip(small_model, pictures, fresh_cache, tmp_path, suffix):
    file = tmp_path / f"weights.{suffix}"
    state = small_model.state_dict()
    save_file(state, file) if suffix == "safetensors" else torch.save({"state_dict": state, "epoch": 3}, file)
    encoder = load_encoder(f"small:{file}", device="cpu")
    assert torch.equal(encoder.embed_images(pictures, progress=False), direct_features("small", file, pictures))
    texts = ["a photo of a dog", "a sketch of an owl"]
    with torch.no_grad():
        assert torch.allclose(encoder.embed_texts(texts), small_model.encode_text(open_clip.tokenize(texts)), atol=1e-6)
    assert str(tmp_path) not in encoder.identity + encoder.description


@pytest.mark.parametrize("spec", ["small:random", "timm:resnet10t:random"])
def test_random_weights_are_labelled_and_repeatable(small_models, spec):
    state = torch.get_rng_state()
    encoder = load_encoder(spec, device="cpu")
    assert torch.equal(state, torch.get_rng_state())
    assert "RANDOM WEIGHTS" in encoder.identity and "RANDOM WEIGHTS" in encoder.description
    torch.rand(1)  # changes the caller's random state, which must not matter
    assert load_encoder(spec, device="cpu").identity == encoder.identity


def test_rn50_embeds(pictures, fresh_cache):
    encoder = load_encoder("RN50:random", device="cpu")
    encoder.model.train()  # a method may leave it so: batch statistics must not leak into embeddings
    both = encoder.embed_images(pictures.take([0, 1]), progress=False)
    assert both.shape == (2, 1024)
    alone = encoder.embed_images(pictures.take([0]), progress=False)
    assert torch.equal(both[:1], alone)
    assert encoder.model.training


def test_the_activation_is_that_of_the_tag(small_models, small_model, monkeypatch, tmp_path):
    file = tmp_path / "open_clip_model.safetensors"
    save_file(small_model.state_dict(), file)
    tags = {"quick": {"hf_hub": "o/r/", "quick_gelu": True, "mean": (0.1, 0.2, 0.3)}, "plain": {"hf_hub": "o/r/"}}
    monkeypatch.setitem(_PRETRAINED, "small", tags)
    monkeypatch.setattr("cdir_nb.encoders.models.fetch", lambda *_: file)
    quick, plain = build_model("small:quick"), build_model("small:plain")
    assert (quick.quick_gelu, plain.quick_gelu) == (True, False)
    assert [activations(built.model) for built in (quick, plain)] == [{"QuickGELU"}, {"GELU"}]
    assert quick.preprocess_cfg["mean"] == (0.1, 0.2, 0.3)


def activations(model: torch.nn.Module) -> set[str]:
    return {type(module).__name__ for module in model.modules() if "GELU" in type(module).__name__}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*trace", "ignore:.*plain GELU")
@pytest.mark.parametrize("from_openai", [True, False])
def test_an_openai_archive_is_quick_gelu(small_model, tmp_path, from_openai):
    file = tmp_path / "ViT-B-32.pt"
    if from_openai:
        small_model.register_buffer("input_resolution", torch.tensor(64))  # as in OpenAI's files
    torch.jit.trace_module(small_model, {"encode_text": torch.zeros(1, 77, dtype=torch.int)}).save(file)
    built = build_model(f"small:{file}")
    assert built.quick_gelu is from_openai
    assert activations(built.model) == {"QuickGELU" if from_openai else "GELU"}
    assert ("OpenAI" in built.origin) is from_openai
    assert torch.equal(built.model.visual.proj, small_model.visual.proj)


def test_a_published_file_is_recognised_by_its_checksum(small_model, monkeypatch, tmp_path):
    file = tmp_path / "renamed.pt"
    torch.save(small_model.state_dict(), file)
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    tags = {"a": {"url": f"x/small-{digits}.pt", "quick_gelu": True}, "b": {"url": "x/small-00000000.pt"}}
    monkeypatch.setitem(_PRETRAINED, "small", tags)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build_model(f"small:{file}").quick_gelu
        tags["a"].pop("quick_gelu")
        assert not build_model(f"small-quickgelu:{file}").quick_gelu


def test_an_open_clip_config_beside_the_file_is_used(small_model, tmp_path):
    file = tmp_path / "open_clip_model.safetensors"
    save_file(small_model.state_dict(), file)
    config = tmp_path / "open_clip_config.json"
    config.write_text(json.dumps({"model_cfg": {"quick_gelu": True}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}))
    built = build_model(f"small:{file}")
    assert built.quick_gelu and list(built.preprocess_cfg["mean"]) == [0.5, 0.5, 0.5]
    config.write_text("{")
    assert "open_clip_config.json cannot be read" in error_of(f"small:{file}")


def test_an_unknown_checkpoint_warns_of_its_activation(small_model, tmp_path):
    file = tmp_path / "mine.pt"
    torch.save(small_model.state_dict(), file)
    with pytest.warns(UserWarning, match="small-quickgelu:mine.pt"):
        assert not build_model(f"small:{file}").quick_gelu
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build_model(f"small-quickgelu:{file}").quick_gelu


@pytest.mark.filterwarnings("ignore:.*plain GELU")
def test_a_checkpoint_of_another_model_is_refused(small_model, tmp_path):
    for suffix in ("pt", "safetensors"):
        file = tmp_path / f"small.{suffix}"
        state = small_model.state_dict()
        save_file(state, file) if suffix == "safetensors" else torch.save(state, file)
        assert "small-wide (size mismatch for " in error_of(f"small-wide:{file}")
        message = error_of(f"small-large:{file}")  # open_clip would stretch the positions
        assert "small-large (visual.positional_embedding is (17, 64)" in message
        assert "RN50" in error_of(f"RN50:{file}")


@pytest.mark.filterwarnings("ignore:.*plain GELU")
def test_missing_and_damaged_checkpoints(small_models, tmp_path, small_model):
    assert "nowhere.pt" in error_of(f"small:{tmp_path}/nowhere.pt")
    assert "nowhere.pt" in error_of(f"timm:resnet10t:{tmp_path}/nowhere.pt")
    assert "is a folder" in error_of(f"small:{tmp_path}")
    (tmp_path / "notes.txt").write_text("hello")
    assert "notes.txt has an unsupported extension" in error_of(f"small:{tmp_path}/notes.txt")
    for suffix in ("pt", "bin", "safetensors"):
        file = tmp_path / f"broken.{suffix}"
        save_file(small_model.state_dict(), file) if suffix == "safetensors" else torch.save(small_model, file)
        for content in (b"no weights at all", file.read_bytes()[:-2000], b""):
            file.write_bytes(content)
            assert f"broken.{suffix} is damaged" in error_of(f"small:{file}")
            assert f"broken.{suffix} is damaged" in error_of(f"timm:resnet10t:{file}")


def test_unknown_names_show_the_nearest():
    assert "nearest: ViT-B-32" in error_of("ViT-B32:openai")
    assert "nearest: openai" in error_of("ViT-B-32:opnai")
    assert "open_clip cannot build roberta-ViT-B-32" in error_of("roberta-ViT-B-32:random")


@pytest.mark.parametrize(
    "spec, named",
    [
        ("ViT-B-32:openai", ("timm/vit_base_patch32_clip_224.openai", "--encoder real-clip")),
        ("timm:resnet50", ("timm/resnet50.a1_in1k", "--encoder mobilenet-v2")),
        ("timm:legacy_seresnet50", ("50-ce0d4300.pth",)),  # has a URL, not a page of the hub
    ],
)
def test_a_missing_download_fails_at_once_with_the_remedy(monkeypatch, spec, named):
    def no_network(*_, **__):
        raise OSError("Name or service not known\nand more")

    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(weights.HfApi, "model_info", no_network)
    monkeypatch.setattr("cdir_nb.encoders.backbones.timm.create_model", no_network)
    start = time.monotonic()
    message = error_of(spec)
    assert time.monotonic() - start < 2
    assert all(part in message for part in ("Name or service not known", *named))


def test_a_downloaded_file_is_used_without_a_network(small_model, monkeypatch, tmp_path):
    file = tmp_path / "open_clip_model.safetensors"
    save_file(small_model.state_dict(), file)
    monkeypatch.setitem(_PRETRAINED, "small", {"tag": {"hf_hub": "some/repo/", "quick_gelu": True}})
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda repo, name: str(file) if name == file.name else None)
    monkeypatch.setattr(weights.HfApi, "model_info", lambda *_, **__: pytest.fail("asked the network"))
    assert torch.equal(build_model("small:tag").model.visual.proj, small_model.visual.proj)


def test_bundled_model_missing_or_damaged(tiny):
    (tiny / "config.json").write_text('{"model_cfg": {}}')
    assert "config.json is damaged" in error_of("tiny-clip")
    (tiny / "config.json").unlink()
    assert "config.json is missing" in error_of("tiny-clip")


def test_device_and_precision_are_checked(tiny):
    with pytest.raises(CdirError, match="nonsense"):
        load_encoder("tiny-clip", device="nonsense")
    with pytest.raises(CdirError, match="fp16.*fp32, bf16"):
        load_encoder("tiny-clip", precision="fp16")


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("spec, name", [("small", "visual.proj"), ("timm:resnet10t", "conv1.0.weight")])
@pytest.mark.parametrize("value", [math.nan, math.inf, "integers"])
@pytest.mark.filterwarnings("ignore:.*plain GELU")
def test_weights_that_are_not_finite_floats_are_refused(small_model, tmp_path, suffix, spec, name, value):
    model = small_model if spec == "small" else timm.create_model("resnet10t", num_classes=0)
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    if value == "integers":
        state[name] = torch.ones_like(state[name], dtype=torch.int8)
    else:
        state[name].view(-1)[0] = value
    file = tmp_path / f"weights.{suffix}"
    save_file(state, file) if suffix == "safetensors" else torch.save(state, file)
    assert name in error_of(f"{spec}:{file}")
