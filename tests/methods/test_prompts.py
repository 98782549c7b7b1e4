"""Prompts in the image tower: their position, their attention, and towers that cannot have them."""

import open_clip
import pytest
import torch
from small_clip import make_encoder, make_timm_encoder

from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.prompts import PromptedNorm, prompted, train_only_norms_and_prompts

BATCH = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def forward_by_hand(tower, batch, prompts):
    """The image tower written out, with prompts after the patches and before ln_pre, as in Sketch_LVM's code."""
    patches = tower.conv1(batch).flatten(2).transpose(1, 2)
    class_token = tower.class_embedding.expand(len(batch), 1, -1)
    tokens = torch.cat([class_token, patches], dim=1) + tower.positional_embedding
    tokens = torch.cat([tokens, prompts.expand(len(batch), -1, -1)], dim=1)
    ln_pre = getattr(tower.ln_pre, "ln_pre", tower.ln_pre)
    return tower.ln_post(tower.transformer(ln_pre(tokens))[:, 0]) @ tower.proj


def test_prompts_follow_the_patches_and_precede_the_first_norm():
    tuned = prompted(make_encoder(), 3, seed=1)
    tower = tuned.model.visual
    with torch.no_grad():
        expected = forward_by_hand(tower, BATCH, tower.ln_pre.prompts)
        torch.testing.assert_close(tuned.model.encode_image(BATCH), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [make_encoder, make_timm_encoder])
def test_no_prompts_change_nothing_and_the_tower_is_a_copy(make):
    encoder = make()
    plain = prompted(encoder, 0)
    with torch.no_grad():
        torch.testing.assert_close(plain.model.encode_image(BATCH), encoder.model.encode_image(BATCH))
        list(plain.model.visual.parameters())[-1].add_(1)
        assert not torch.equal(plain.model.encode_image(BATCH), encoder.model.encode_image(BATCH))
    assert not any(isinstance(m, PromptedNorm) for m in encoder.model.modules())


def test_prompts_follow_their_seed_and_spread():
    def draw(**how):
        return prompted(make_encoder(), 50, **how).model.visual.ln_pre.prompts.detach()

    assert torch.equal(draw(seed=4), draw(seed=4)) and not torch.equal(draw(seed=4), draw(seed=5))
    assert draw(std=0.1).std() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("kind", ["ModifiedResNet", "VisionTransformer", "TimmModel"])
def test_towers_without_a_class_token_are_refused(kind):
    encoder = make_timm_encoder() if kind == "TimmModel" else make_encoder()
    if kind == "ModifiedResNet":
        encoder.model.visual = open_clip.model.ModifiedResNet([1, 1, 1, 1], 12, 1, 32, 8)
    if kind == "VisionTransformer":
        encoder.model.visual.pool_type = "avg"
    with pytest.raises(CdirError, match=f"small .a {kind}.*prompts=0"):
        prompted(encoder, 2)


def test_a_tower_with_nothing_to_train_is_refused():
    encoder = make_encoder()
    encoder.model.visual = torch.nn.Conv2d(3, 12, 32)
    with pytest.raises(CdirError, match="small has no normalisation layer"):
        train_only_norms_and_prompts(encoder)
