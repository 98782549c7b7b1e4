"""The bundled tiny CLIP names images as well as its card says."""

import re

import pytest
import torch

from cdir_nb.data import load_card
from cdir_nb.data.world import draw
from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.zero_shot import accuracy, prompt_embeddings, zero_shot_labels, zero_shot_scores
from cdir_nb.paths import TINY_CLIP

CARD = (TINY_CLIP / "MODEL_CARD.md").read_text(encoding="utf-8")
ROWS = {m[1]: float(m[2]) / 100 for m in re.finditer(r"^\| (\w+) \| [\d.]+% \| ([\d.]+)% \|$", CARD, flags=re.M)}


@pytest.mark.slow
def test_fresh_drawings_are_named_as_well_as_the_card_says():
    """Among the 10 unseen classes, on drawings of a seed that neither training nor card used."""
    clip, card = load_encoder("tiny-clip", device="cpu"), load_card("world")
    unseen = list(card.class_set("unseen_10"))
    labels = [label for label in unseen for _ in range(20)]
    assert set(ROWS) == set(card.domains)
    for domain in card.domains:
        drawings = [clip.preprocess(draw(label, domain, 12345, i)) for i, label in enumerate(labels)]
        with torch.inference_mode():
            images = clip.model.encode_image(torch.stack(drawings))
        texts = prompt_embeddings(clip, unseen, card.domain_word(domain))
        measured = accuracy(zero_shot_labels(zero_shot_scores(images, texts), unseen), labels)
        assert measured == pytest.approx(ROWS[domain], abs=0.10), domain  # 200 images: two standard errors are 7 points
