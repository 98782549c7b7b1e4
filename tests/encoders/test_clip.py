"""Embeddings of images and texts: order, batches, the cache and its keys, bad images, memory."""

import json
import threading
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from cdir_nb.encoders import image, image_batches, load_encoder
from cdir_nb.errors import CdirError
from cdir_nb.sources import provenance, source_files
from tests.encoders.conftest import make_pictures


@pytest.fixture
def encoder(tiny):
    return load_encoder("tiny-clip", device="cpu")


def counted(encoder, monkeypatch, method: str = "encode_image") -> list[int]:
    """Sizes of the batches that the model computes from now on."""
    sizes, encode = [], getattr(encoder.model, method)
    monkeypatch.setattr(encoder.model, method, lambda batch: sizes.append(len(batch)) or encode(batch))
    return sizes


def test_embeddings_are_the_models_rows_in_order(encoder, pictures):
    got = encoder.embed_images(pictures, batch_size=3, progress=False)
    batch = torch.stack([encoder.preprocess(pictures.image(i)) for i in range(10)])
    with torch.no_grad():
        assert torch.allclose(got, encoder.model.encode_image(batch), atol=1e-5)
    assert got.dtype == torch.float32 and got.device.type == "cpu" and not got.requires_grad
    assert torch.equal(encoder.embed_images(pictures.take([7, 2]), progress=False), got[[7, 2]])
    (got.clone().requires_grad_() * 2).sum().backward()  # no inference tensor: methods train on these


def test_nothing_is_computed_twice(encoder, pictures, monkeypatch):
    sizes = counted(encoder, monkeypatch)
    part = encoder.embed_images(pictures.take([1, 3]), progress=False)
    whole = encoder.embed_images(pictures, progress=False)
    assert sizes == [2, 8] and torch.equal(whole[[1, 3]], part)
    again = load_encoder("tiny-clip", device="cpu")
    sizes = counted(again, monkeypatch)
    assert torch.equal(again.embed_images(pictures, progress=False), whole) and sizes == []


def test_equal_pictures_are_computed_once(encoder, pictures, monkeypatch):
    sizes = counted(encoder, monkeypatch)
    twins = replace(pictures.take([0, 1, 2]), digests=(pictures.digests[0],) * 2 + (pictures.digests[2],))
    got = encoder.embed_images(twins, progress=False)
    assert sizes == [2] and torch.equal(got[0], got[1]) and not torch.equal(got[0], got[2])


def test_a_changed_image_is_computed_again(encoder, pictures, monkeypatch):
    before = encoder.embed_images(pictures, progress=False)
    other = make_pictures(10, seed=1)
    changed = replace(
        pictures,
        load=lambda key: (other if key == pictures.keys[4] else pictures).load(key),
        digests=(*pictures.digests[:4], other.digests[4], *pictures.digests[5:]),
    )
    sizes = counted(encoder, monkeypatch)
    after = encoder.embed_images(changed, progress=False)
    assert sizes == [1]
    assert [i for i in range(10) if not torch.equal(before[i], after[i])] == [4]


def test_changed_weights_never_reuse_an_entry(encoder, tiny, pictures, monkeypatch):
    before, identity = encoder.embed_images(pictures, progress=False), encoder.identity
    with torch.no_grad():
        encoder.model.visual.ln_post.bias.add_(1)  # tuned in memory
    assert encoder.identity != identity
    tuned = encoder.embed_images(pictures, progress=False)
    assert not torch.allclose(before, tuned)
    with torch.no_grad():
        encoder.model.visual.ln_post.bias.sub_(1)
    assert load_encoder("tiny-clip", device="cpu").identity == identity
    state = load_file(tiny / "model.safetensors")
    state["visual.proj"][0, 0] += 1
    save_file(state, tiny / "model.safetensors")
    other = load_encoder("tiny-clip", device="cpu")
    assert other.identity != identity
    sizes = counted(other, monkeypatch)
    other.embed_images(pictures, progress=False)
    assert sum(sizes) == 10


@pytest.mark.parametrize("change", ["precision", "preprocessing", "quick_gelu", "code", "libraries"])
def test_everything_that_determines_a_row_is_in_the_key(encoder, tiny, pictures, monkeypatch, change):
    encoder.embed_images(pictures, progress=False)
    other = load_encoder("tiny-clip", device="cpu", precision="bf16" if change == "precision" else "fp32")
    if change == "preprocessing":
        other.built = replace(other.built, preprocess_cfg={**other.built.preprocess_cfg, "interpolation": "bicubic"})
    elif change == "quick_gelu":
        other.built = replace(other.built, quick_gelu=True)
    elif change in ("code", "libraries"):
        monkeypatch.setattr(image, "provenance", lambda *modules: {**provenance(*modules), change: "other"})
    sizes = counted(other, monkeypatch)
    other.embed_images(pictures, progress=False)
    assert sum(sizes) == 10
    assert (other.identity == encoder.identity) is (change in ("code", "libraries"))


def test_the_key_follows_the_code_that_makes_a_row_and_no_other(encoder, pictures):
    encoder.embed_images(pictures, progress=False)
    key = json.loads((encoder.store().folder / "key.json").read_text())
    files = {path.name for path in source_files(*key["modules"])}
    assert {"clip.py", "image.py", "decoding.py", "pictures.py"} < files and not {"style.py", "cli.py"} & files


def test_bf16_is_near_and_comes_back_as_float32(encoder, pictures):
    exact = encoder.embed_images(pictures, progress=False)
    rough = load_encoder("tiny-clip", device="cpu", precision="bf16").embed_images(pictures, progress=False)
    assert rough.dtype == torch.float32 and not torch.equal(exact, rough)
    assert torch.cosine_similarity(exact, rough).min() > 0.99


def test_a_damaged_image_is_named_and_earlier_rows_are_stored(encoder, pictures, monkeypatch, tmp_path):
    file = tmp_path / "cut.jpg"
    pictures.image(0).resize((500, 500)).save(file)
    file.write_bytes(file.read_bytes()[:3000])

    def load(key):
        return Image.open(file) if key == pictures.keys[7] else pictures.load(key)  # opened, not decoded

    threads = threading.active_count()
    with pytest.raises(CdirError, match="real/dog/7.png"):
        encoder.embed_images(replace(pictures, load=load), batch_size=2, progress=False)
    assert threading.active_count() == threads
    sizes = counted(encoder, monkeypatch)
    encoder.embed_images(pictures, progress=False)
    assert sizes == [4]  # rows 0 to 5 were stored


def test_few_pictures_are_in_memory_at_once(encoder, monkeypatch):
    pictures, loaded, seen = make_pictures(60), [], []
    counting = replace(pictures, load=lambda key: loaded.append(key) or pictures.load(key))
    for rows, _ in image_batches(counting, range(60), encoder.preprocess, 4):
        seen.append(len(loaded) - rows[-1] - 1)
    assert max(seen) <= 8


def test_texts(encoder):
    assert encoder.logit_scale == pytest.approx(1 / 0.07, rel=1e-2)
    got = encoder.embed_texts(["a dog", "a cat", "a dog"])
    assert got.shape == (3, 16) and got.dtype == torch.float32
    assert torch.equal(got[0], got[2]) and not torch.allclose(got[0], got[1])
    many = encoder.embed_texts(["a dog"] * 300)
    assert many.shape == (300, 16) and torch.allclose(many[299], got[0], atol=1e-6)
    assert encoder.embed_texts([]).shape == (0, 16)
    encoder.embed_texts(["dog " * 14])
    with pytest.raises(CdirError, match='"dog dog .*" has 17 tokens, tiny-clip reads 16'):
        encoder.embed_texts(["a cat", "dog " * 15])
    with pytest.raises(CdirError, match="a dog"):
        encoder.embed_texts("a dog")


def test_a_long_list_of_texts_is_computed_once(encoder, monkeypatch):
    texts = [f"a {word} {i}" for word in ("dog", "cat") for i in range(150)]
    short = torch.cat([encoder.embed_texts(texts[:150]), encoder.embed_texts(texts[150:])])  # not stored
    sizes = counted(encoder, monkeypatch, "encode_text")
    first = encoder.embed_texts(texts + texts[:5])
    assert sizes == [256, 44] and torch.allclose(first, torch.cat([short, short[:5]]), atol=1e-6)
    again = load_encoder("tiny-clip", device="cpu")
    sizes = counted(again, monkeypatch, "encode_text")
    assert torch.equal(again.embed_texts(texts[::-1] + ["a bird"])[:300], first[:300].flip(0)) and sizes == [1]
    with torch.no_grad():
        again.model.text_projection *= 2
    assert torch.allclose(again.embed_texts(texts), 2 * first[:300], atol=1e-6) and sizes == [1, 256, 44]
    with pytest.raises(CdirError, match="17 tokens"):
        again.embed_texts([*texts, "dog " * 15])


def test_an_empty_set_gives_no_rows(encoder, pictures):
    assert encoder.embed_images(pictures.select(labels=["owl"]), progress=True).shape == (0, 16)
