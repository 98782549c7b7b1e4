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


def same_as_plain_text(encoder: ClipEncoder, word: str = "painting") -> None:
    tower = WordTower(encoder)
    vectors = tower.vector(word).expand(len(TEXTS), -1)
    with torch.no_grad():
        ours = tower.embed(tower.prompts(TEXTS), vectors)
    plain = encoder.embed_texts([text.replace(DOMAIN, word) for text in TEXTS])
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-L-14", "RN50", "ViT-B-32-quickgelu"])
def test_a_real_words_vector_gives_what_the_plain_text_gives(name):
    torch.manual_seed(1)
    same_as_plain_text(make_encoder(open_clip.CLIP(**small(name), quick_gelu="quickgelu" in name)))


def test_so_it_does_in_the_bundled_models_form(tiny):
    same_as_plain_text(load_encoder("tiny-clip"))


def test_so_it_does_in_a_model_with_its_text_tower_apart():
    torch.manual_seed(2)
    same_as_plain_text(make_encoder(open_clip.CustomTextCLIP(**small("ViT-B-32", width=64, heads=2))))


def test_a_word_moves_its_own_prompt_and_no_other(tower):
    prompts = tower.prompts([TEXTS[0], TEXTS[2], "a plain dog"])
    vectors = torch.randn(3, tower.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = tower.embed(prompts, vectors)
        vectors[0] *= -1
        vectors[2] *= -1  # this prompt has no place for it
        after = tower.embed(prompts, vectors)
    assert (before[0] - after[0]).abs().max() > 1e-3
    torch.testing.assert_close(before[1:], after[1:])


def test_no_vector_can_pass_for_the_end_of_the_text(encoder, tower):
    end = tower.tower.token_embedding.weight[encoder.tokenizer.eot_token_id].detach()
    prompts = tower.prompts(["a [DOMAIN] dog", "a [DOMAIN] cat"])
    with torch.no_grad():
        dog, cat = tower.embed(prompts, end.expand(2, -1))
    assert (dog - cat).abs().max() > 1e-3  # the class, which comes later, was read


def test_gradients_reach_the_words_alone(encoder, tower):
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


def test_prompts_are_cut_behind_the_longest(tower):
    prompts = tower.prompts(["dog", f"A {DOMAIN} style of dog."])
    assert prompts.tokens.shape == (2, 8)  # start a [DOMAIN] style of dog . end


def test_nearest_tokens(tower):
    vectors = torch.stack([tower.vector("sketch"), -tower.vector("photo"), tower.vector("dog")])
    first, _, _ = tower.nearest(vectors, k=3)
    assert first[0] == ("sketch", 1.0) and len(first) == 3
    among = tower.nearest(vectors[2:], ["sketch", "photo", "quickdrawing"])  # the last is more than one token
    assert {token for token, _ in among[0]} == {"sketch", "photo"}


@pytest.mark.parametrize(
    "texts, message",
    [
        ([f"A {DOMAIN} style of a very long class name that goes on and on and on and on"], "very long.* reads 16"),
        ([f"{DOMAIN} and {DOMAIN}"], "more than once"),
    ],
)
def test_prompts_that_cannot_be_tokenised_are_refused(tower, texts, message):
    with pytest.raises(CdirError, match=message):
        tower.prompts(texts)


def test_a_word_of_several_tokens_has_no_vector(tower):
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
