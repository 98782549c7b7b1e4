"""Image backbones of timm as encoders, against timm itself; the bundled ImageNet backbone."""

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config

from cdir_nb.data import open_folder
from cdir_nb.encoders import ClipEncoder, ImageEncoder, image_batches, load_encoder, require_texts, weights
from cdir_nb.encoders.backbones import mobilenet_v2
from cdir_nb.encoders.models import fetch_weights
from cdir_nb.encoders.variants import as_seen, with_other_activation, with_preprocessing
from cdir_nb.errors import CdirError
from cdir_nb.paths import MOBILENET_V2
from tests.encoders.test_checkpoints import error_of

SMALL = "resnet10t"  # 5 million parameters, features of 512


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    """A model as people train one: with its classifier, here of random weights."""
    torch.manual_seed(3)
    return timm.create_model(SMALL, num_classes=7).eval()


def pooled(model: torch.nn.Module, encoder: ImageEncoder, images) -> torch.Tensor:
    """Features before the classifier, by timm alone."""
    batch = torch.stack([encoder.preprocess(images.image(i)) for i in range(len(images))])
    with torch.no_grad():
        return model.forward_head(model.forward_features(batch), pre_logits=True)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_checkpoint_gives_the_pooled_features_of_timm(classifier, pictures, fresh_cache, tmp_path, suffix):
    file, state = tmp_path / f"mine.{suffix}", classifier.state_dict()
    save_file(state, file) if suffix == "safetensors" else torch.save({"state_dict": state, "epoch": 3}, file)
    encoder = load_encoder(f"timm:{SMALL}:{file}", device="cpu")
    assert type(encoder) is ImageEncoder and encoder.dim == 512
    expected = pooled(classifier, encoder, pictures)
    assert torch.allclose(encoder.embed_images(pictures, progress=False), expected, atol=1e-5)
    assert encoder.identity.startswith(f"timm:{SMALL}:mine.{suffix} fp32 [")
    assert "512 dimensions" in encoder.description and str(tmp_path) not in encoder.identity + encoder.description


def test_preprocessing_is_the_models_own_data_config(pictures):
    encoder = load_encoder(f"timm:{SMALL}:random", device="cpu")
    config = resolve_model_data_config(timm.create_model(SMALL))
    assert encoder.built.preprocess_cfg == config and config["crop_pct"] != 1
    reference = create_transform(**config)
    batch = next(image_batches(pictures, range(3), encoder.preprocess, 3))[1]
    assert torch.equal(batch, torch.stack([reference(pictures.image(i)) for i in range(3)]))
    assert f"images of {config['input_size'][-1]} pixels" in encoder.description


def test_another_preprocessing_has_a_cache_of_its_own(pictures, fresh_cache):
    encoder = load_encoder(f"timm:{SMALL}:random", device="cpu")
    small = with_preprocessing(encoder, input_size=(3, 64, 64), crop_pct=1.0)
    assert small.preprocess(pictures.image(0)).shape == (3, 64, 64)
    assert as_seen(small, pictures.image(0)).size == (64, 64)
    assert small.identity != encoder.identity
    assert not torch.allclose(small.embed_images(pictures), encoder.embed_images(pictures), atol=1e-4)
    with pytest.raises(CdirError, match="'resize_mode'.*input_size"):
        with_preprocessing(encoder, resize_mode="squash")


def test_random_weights_say_so_and_leave_the_random_state_alone():
    state = torch.get_rng_state()
    encoder = load_encoder(f"timm:{SMALL}:random", device="cpu")
    assert torch.equal(state, torch.get_rng_state())
    for text in (encoder.identity, encoder.description):
        assert "RANDOM WEIGHTS" in text


def test_texts_are_refused_with_the_remedy(tiny):
    encoder = load_encoder(f"timm:{SMALL}:random", device="cpu")
    for ask in (
        lambda: encoder.embed_texts(["a dog"]),
        lambda: encoder.logit_scale,
        lambda: require_texts(encoder),
        lambda: with_other_activation(encoder),
    ):
        with pytest.raises(CdirError, match=SMALL):
            ask()
    clip = load_encoder("tiny-clip", device="cpu")
    assert require_texts(clip) is clip and isinstance(clip, ClipEncoder)


def test_wrong_checkpoints_are_named(classifier, tmp_path):
    file = tmp_path / "mine.safetensors"
    save_file(classifier.state_dict(), file)
    assert "resnet26 (" in error_of(f"timm:resnet26:{file}")
    assert "nowhere.pt" in error_of(f"timm:{SMALL}:{tmp_path}/nowhere.pt")
    file.write_bytes(b"no weights at all")
    assert "mine.safetensors is damaged" in error_of(f"timm:{SMALL}:{file}")


def test_unknown_models_show_the_nearest(monkeypatch):
    assert 'timm has no model "resnet5"; nearest: resnet50' in error_of("timm:resnet5")
    assert 'timm has no model "resnet10t.c3_in1"; nearest: resnet10t.c3_in1k' in error_of("timm:resnet10t.c3_in1")
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: None)  # as for a few models of timm
    assert "resnet10t" in error_of("timm:resnet10t")


def test_a_missing_download_names_the_file_and_the_bundled_backbone(monkeypatch):
    def no_network(*_, **__):
        raise OSError("Name or service not known\nand more")

    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(weights.HfApi, "model_info", no_network)
    message = error_of("timm:resnet50")
    for part in ("(Name or service not known)", "of timm/resnet50.a1_in1k", "--encoder mobilenet-v2"):
        assert part in message
    with pytest.raises(CdirError, match="could not be downloaded"):
        fetch_weights("timm:resnet50")
    monkeypatch.setattr("cdir_nb.encoders.backbones.timm.create_model", no_network)
    assert "50-ce0d4300.pth" in error_of("timm:legacy_seresnet50")  # these have a URL instead of a page


def test_downloaded_weights_are_used(classifier, monkeypatch, pictures, fresh_cache):
    monkeypatch.setattr("cdir_nb.encoders.backbones.cached_file", lambda repo, files: None)
    create = timm.create_model

    def downloaded(name, pretrained=False, **options):
        model = create(name, **options)
        if pretrained:
            model.load_state_dict({k: v for k, v in classifier.state_dict().items() if not k.startswith("fc.")})
        return model

    monkeypatch.setattr("cdir_nb.encoders.backbones.timm.create_model", downloaded)
    encoder = load_encoder(f"timm:{SMALL}", device="cpu")
    assert encoder.built.name == f"timm:{SMALL}.c3_in1k"
    assert torch.allclose(encoder.embed_images(pictures), pooled(classifier, encoder, pictures), atol=1e-5)


def test_the_bundled_backbone_is_half_precision_and_gives_features_before_the_classifier(pictures, fresh_cache):
    with safe_open(MOBILENET_V2 / "model.safetensors", "pt") as file:
        kinds = {file.get_slice(key).get_dtype() for key in sorted(file.keys())}
    assert kinds == {"F16", "I64"} and (MOBILENET_V2 / "model.safetensors").stat().st_size < 8e6
    encoder = load_encoder("mobilenet-v2", device="cpu")
    assert encoder.dim == 1280 and not encoder.model.training and "images of 224 pixels" in encoder.description
    whole = mobilenet_v2(classifier=True)
    assert whole.classifier.weight.shape == (1001, 1280) and whole.conv_stem.padding == (0, 0)  # "same" pads by itself
    got = encoder.embed_images(pictures, progress=False)
    assert torch.allclose(got, pooled(whole, encoder, pictures), atol=1e-5)


def test_its_batch_norms_were_folded():
    norms = [m for m in mobilenet_v2().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 52
    for norm in norms:
        assert (norm.running_mean == 0).all() and (norm.running_var == 1).all() and (norm.weight == 1).all()


def test_a_bundled_backbone_that_is_not_complete(tmp_path, monkeypatch):
    monkeypatch.setattr("cdir_nb.paths.MOBILENET_V2", tmp_path)
    assert "mobilenet-v2 is not complete" in error_of("mobilenet-v2")


def test_it_knows_a_dog(shared):
    """118 of ImageNet's 1,000 classes are dogs (151 to 268), one more in its 1,001 outputs."""
    encoder, photos = load_encoder("mobilenet-v2", device="cpu"), open_folder(shared / "data/pacs", progress=False)
    dogs = photos.select("photo", ["dog"])
    dogs = dogs.take(range(0, len(dogs), 12))
    batch = torch.stack([encoder.preprocess(dogs.image(i)) for i in range(len(dogs))])
    with torch.no_grad():
        found = mobilenet_v2(classifier=True)(batch).argmax(dim=1)
    assert ((found >= 152) & (found <= 269)).float().mean() > 0.7
