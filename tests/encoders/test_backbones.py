"""Image backbones of timm as encoders, against timm itself; the bundled ImageNet backbone."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config

from cdir_nb.data import open_folder
from cdir_nb.encoders import ImageEncoder, image_batches, load_encoder, require_texts
from cdir_nb.encoders.backbones import mobilenet_v2
from cdir_nb.encoders.variants import with_other_activation
from cdir_nb.errors import CdirError
from tests.encoders.test_checkpoints import error_of

SMALL = "resnet10t"  # 5 million parameters, features of 512


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    """A model with its classifier, of random weights."""
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


def test_preprocessing_is_that_of_timm(pictures):
    encoder = load_encoder(f"timm:{SMALL}:random", device="cpu")
    config = resolve_model_data_config(timm.create_model(SMALL))
    reference = create_transform(**config)
    batch = next(image_batches(pictures, range(3), encoder.preprocess, 3))[1]
    assert torch.equal(batch, torch.stack([reference(pictures.image(i)) for i in range(3)]))


@pytest.mark.parametrize(
    "use", [lambda e: e.embed_texts(["a dog"]), lambda e: e.logit_scale, require_texts, with_other_activation]
)
def test_an_image_encoder_refuses_what_needs_a_text_tower(use):
    with pytest.raises(CdirError, match=SMALL):
        use(load_encoder(f"timm:{SMALL}:random", device="cpu"))


def test_a_checkpoint_of_another_model_is_refused(classifier, tmp_path):
    save_file(classifier.state_dict(), tmp_path / "mine.safetensors")
    assert "resnet26 (" in error_of(f"timm:resnet26:{tmp_path}/mine.safetensors")


def test_unknown_models_show_the_nearest(monkeypatch):
    assert 'timm has no model "resnet5"; nearest: resnet50' in error_of("timm:resnet5")
    assert 'timm has no model "resnet10t.c3_in1"; nearest: resnet10t.c3_in1k' in error_of("timm:resnet10t.c3_in1")
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: None)  # as for some models of timm
    assert "resnet10t" in error_of("timm:resnet10t")


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


def test_the_bundled_backbone_gives_features_before_the_classifier(pictures, fresh_cache):
    encoder = load_encoder("mobilenet-v2", device="cpu")
    assert encoder.dim == 1280 and not encoder.model.training
    expected = pooled(mobilenet_v2(classifier=True), encoder, pictures)
    assert torch.allclose(encoder.embed_images(pictures, progress=False), expected, atol=1e-5)


def test_a_missing_file_of_the_bundled_backbone_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("cdir_nb.paths.MOBILENET_V2", tmp_path)
    assert "mobilenet-v2 is incomplete" in error_of("mobilenet-v2")


def test_the_bundled_backbone_recognises_dogs(shared):
    """118 of ImageNet's 1,000 classes are dogs (151 to 268), one more in its 1,001 outputs."""
    encoder, photos = load_encoder("mobilenet-v2", device="cpu"), open_folder(shared / "data/pacs", progress=False)
    dogs = photos.select("photo", ["dog"])
    dogs = dogs.take(range(0, len(dogs), 12))
    batch = torch.stack([encoder.preprocess(dogs.image(i)) for i in range(len(dogs))])
    with torch.no_grad():
        predicted = mobilenet_v2(classifier=True)(batch).argmax(dim=1)
    assert ((predicted >= 152) & (predicted <= 269)).float().mean() > 0.7
