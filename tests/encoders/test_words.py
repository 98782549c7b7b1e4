"""Word vectors inside prompts, against plain text encoding."""

import open_clip
import pytest
import torch

from cdir_nb.encoders import ClipEncoder, load_encoder, words
from cdir_nb.encoders.built import BuiltModel
from cdir_nb.encoders.words import DOMAIN, WordTower
from cdir_nb.errors import CdirError

VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 32, "patch_size": 16}
TEXTS = [f"A {DOMAIN} style of dog.", f"{DOMAIN}", f"a light bulb in a {DOMAIN}", f"A {DOMAIN} style of"]


def make_encoder(model: torch.nn.Module, name: str = "test") -> ClipEncoder:
    context = model.context_length
    cfg = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": {}}
    built = BuiltModel(name, model, open_clip.SimpleTokenizer(context_length=context), cfg, {}, False, "a test")
    return ClipEncoder(built, torch.device("cpu"), "fp32")


def small(name: str, **changes) -> dict:
    """The model `name` with its own text tower, but two layers of it and next to no image tower."""
    text = {**open_clip.get_model_config(name)["text_cfg"], "layers": 2, "vocab_size": 49408, **changes}
    return {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": text}


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    torch.manual_seed(0)
    return make_encoder(open_clip.CLIP(**small("ViT-B-32", width=32, heads=2, context_length=16)))


@pytest.fixture(scope="module")
def tower(encoder) -> WordTower:
    return WordTower(encoder)


ENCODERS = ["ViT-B-32", "ViT-L-14", "RN50", "ViT-B-32-quickgelu", "custom", "tiny-clip", "real-clip"]


@pytest.mark.parametrize("name", ENCODERS)
def test_the_vector_of_a_word_gives_the_embedding_of_the_plain_text(name):
    torch.manual_seed(1)
    if name in ("tiny-clip", "real-clip"):
        encoder = load_encoder(name, device="cpu")
    elif name == "custom":  # a model whose text tower is a module of its own
        encoder = make_encoder(open_clip.CustomTextCLIP(**small("ViT-B-32", width=64, heads=2)))
    else:
        encoder = make_encoder(open_clip.CLIP(**small(name), quick_gelu="quickgelu" in name))
    tower = WordTower(encoder)
    vectors = tower.vector("painting").expand(len(TEXTS), -1)
    with torch.no_grad():
        embeddings = tower.embed(tower.prompts(TEXTS), vectors)
    plain = encoder.embed_texts([text.replace(DOMAIN, "painting") for text in TEXTS])
    torch.testing.assert_close(embeddings, plain, rtol=1e-4, atol=1e-5)


def test_a_vector_changes_only_its_own_prompt(tower):
    prompts = tower.prompts([TEXTS[0], TEXTS[2], "a plain dog"])
    vectors = torch.randn(3, tower.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = tower.embed(prompts, vectors)
        vectors[0] *= -1
        vectors[2] *= -1  # this prompt has no [DOMAIN]
        after = tower.embed(prompts, vectors)
    assert (before[0] - after[0]).abs().max() > 1e-3
    torch.testing.assert_close(before[1:], after[1:])


def test_a_vector_equal_to_the_end_token_does_not_end_the_text(encoder, tower):
    end = tower.tower.token_embedding.weight[encoder.tokenizer.eot_token_id].detach()
    prompts = tower.prompts(["a [DOMAIN] dog", "a [DOMAIN] cat"])
    with torch.no_grad():
        dog, cat = tower.embed(prompts, end.expand(2, -1))
    assert (dog - cat).abs().max() > 1e-3  # the class, which comes later, was read


def test_only_the_vectors_get_gradients(encoder, tower):
    vectors = torch.zeros(2, tower.width, requires_grad=True)
    tower.embed(tower.prompts(TEXTS[:2]), vectors).sum().backward()
    assert (vectors.grad != 0).any(dim=1).all()
    assert all(parameter.grad is None for parameter in encoder.model.parameters())
    assert all(parameter.requires_grad for parameter in encoder.model.parameters())  # as they were


def test_blocks_change_neither_values_nor_gradients(encoder, tower, monkeypatch):
    prompts, generator = tower.prompts(TEXTS * 2), torch.Generator().manual_seed(0)
    vectors = torch.randn(8, tower.width, generator=generator, requires_grad=True)
    weights = torch.randn(8, 16, generator=generator)
    results = []
    for block in (1024, 3):
        monkeypatch.setattr(words, "BLOCK", block)
        emb = tower.embed(prompts, vectors)
        results.append((emb, torch.autograd.grad((weights * emb).sum(), vectors)[0]))
    for whole, parts in zip(*results):
        torch.testing.assert_close(whole, parts)
    assert all(parameter.grad is None for parameter in encoder.model.parameters())


def test_nearest_tokens(tower):
    vectors = torch.stack([tower.vector("sketch"), -tower.vector("photo"), tower.vector("dog")])
    first, _, _ = tower.nearest(vectors, k=3)
    assert first[0] == ("sketch", 1.0) and len(first) == 3
    among = tower.nearest(vectors[2:], ["sketch", "photo", "quickdrawing"])  # the last is more than one token
    assert {token for token, _ in among[0]} == {"sketch", "photo"}


def test_texts_that_cannot_be_tokenised_are_refused(tower):
    with pytest.raises(CdirError, match="very long.* 16"):
        tower.prompts([f"A {DOMAIN} style of a very long class name that goes on and on and on and on"])
    with pytest.raises(CdirError, match="more than once"):
        tower.prompts([f"{DOMAIN} and {DOMAIN}"])
    with pytest.raises(CdirError, match='"light bulb" is 2 tokens'):
        tower.vector("light bulb")


@pytest.mark.parametrize("kind", ["images only", "bidirectional"])
def test_an_encoder_without_a_causal_text_tower_is_refused(kind):
    if kind == "images only":
        encoder = load_encoder("timm:test_vit:random", device="cpu")
    else:
        encoder = make_encoder(open_clip.CustomTextCLIP(**small("ViT-B-32", width=32, heads=2, no_causal_mask=True)))
    with pytest.raises(CdirError, match=f"{encoder.built.name.split()[0]}.* has no CLIP text tower"):
        WordTower(encoder)
