"""Any text as a class name or query: its embedding is finite and the same every time, or it is refused in one line."""

import random

import pytest
import torch
from fuzzing import TEXTS, amount, rounds

from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.zero_shot import TEMPLATE, class_prompts
from cdir_nb.errors import CdirError

PROMPTS, AT_ONCE = amount(100_000, 500), 500  # long lists go through the cache
TEMPLATES = (
    *(
        TEMPLATE,
        "{class}",
        "a {class} a {domain}",
        "{class}{class}",
        "{0}",
        "{class",
        "",
        "{class!r:>999}",
        "{{}}{class}",
    ),
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_encoder("tiny-clip", device="cpu")


def random_text(rng: random.Random) -> str:
    """Up to three pieces: words, characters of any kind, and what confuses parsers."""
    anything = "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randint(0, 8)))
    return "".join(rng.choice([*TEXTS, anything]) for _ in range(rng.randint(0, 3)))


def test_any_text_is_embedded_or_refused(encoder):
    rng, embedded = random.Random(7), 0
    for _ in rounds(PROMPTS // AT_ONCE):
        names, word, template = [random_text(rng) for _ in range(AT_ONCE)], random_text(rng), rng.choice(TEMPLATES)
        try:
            prompts = class_prompts(names, word, template)
        except CdirError as error:
            assert "\n" not in str(error)
            prompts = names
        assert len(prompts) == AT_ONCE
        usable = [text for text in prompts if is_usable(encoder, text)]
        emb = encoder.embed_texts([*usable, *usable[:1]])
        assert torch.isfinite(emb).all() and emb.shape == (len(usable) + bool(usable), encoder.dim)
        assert not usable or torch.allclose(emb[0], emb[-1], atol=1e-5)
        embedded += len(usable)
    assert embedded > PROMPTS / 10


def is_usable(encoder, text: str) -> bool:
    """Whether the encoder takes the text; if not, it says so in one line."""
    try:
        encoder.check_length(text, len(encoder.tokenizer.encode(text)) + 2)
    except CdirError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
        return False
    return True
