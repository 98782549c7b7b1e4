"""Pseudo-labels: psi by hand, the closed gradient against autograd and differences, what refinement does."""

import math

import pytest
import torch

from cdir_nb.methods.clair.pseudo_labels import (
    RefinementConfig,
    alignment_loss,
    assigned,
    confidence,
    initial_labels,
    kl,
    kl_gradient,
    psi,
    refine,
)


def cosines(rows: int = 6, classes: int = 5, seed: int = 0) -> torch.Tensor:
    return 0.6 * torch.rand(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.1


def test_labels_are_cosines_and_classes_their_largest():
    y = initial_labels(torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 2.0], [5.0, 0.0], [-1.0, 1.0]]))
    torch.testing.assert_close(y[0], torch.tensor([0.0, 1.0, -math.sqrt(0.5)]))
    assert assigned(y).tolist() == [1, 0]


def test_confidence_without_a_scale_is_almost_uniform():
    y = cosines(50, 80)
    assert confidence(y, 1.0).max() < 2 / 80 < 0.3 < confidence(y, 100.0).mean()


def test_psi_by_hand():
    values = psi(torch.tensor([0.5, 0.7, -0.1]), weight=3.0, spread=0.2)
    top = 3.0 / (0.2 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(values, top * torch.tensor([1.0, math.exp(-0.5), math.exp(-4.5)]))


@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_closed_gradient_equals_autograd_and_finite_differences(scale):
    y, x = cosines().requires_grad_(), cosines(seed=1)
    closed = kl_gradient(x, y.detach(), scale)
    (auto,) = torch.autograd.grad(kl(x, y, scale).sum(), y)
    torch.testing.assert_close(closed, auto)
    step = torch.zeros_like(x)
    step[2, 3] = 1e-6
    difference = (kl(x, y + step, scale) - kl(x, y - step, scale)).sum() / 2e-6
    assert closed[2, 3].item() == pytest.approx(difference.item(), rel=1e-4, abs=1e-7)


def test_kl_equals_torch_and_is_zero_for_equals():
    x, y = cosines(), cosines(seed=1)
    p, q = torch.softmax(7 * x, 1), torch.softmax(7 * y, 1)
    torch.testing.assert_close(kl(x, y, 7.0), torch.nn.functional.kl_div(q.log(), p, reduction="none").sum(1))
    assert kl(x, x, 7.0).abs().max() < 1e-12


def test_one_step_is_equation_2():
    y, x = cosines(), cosines(seed=1)
    done = refine(y, x, RefinementConfig(scale=3.0, steps=1, step_size=1.0, weight=0.5, spread=0.4))
    by_hand = y - psi(y, 0.5, 0.4) * 3 * (torch.softmax(3 * y, 1) - torch.softmax(3 * x, 1))
    torch.testing.assert_close(done, by_hand)
    plain = refine(y, x, RefinementConfig(scale=3.0, steps=1, step_size=1.0, scaled=False))
    torch.testing.assert_close(plain, y - 3 * (torch.softmax(3 * y, 1) - torch.softmax(3 * x, 1)))


def test_without_a_step_size_a_step_of_one_is_taken_on_the_logits():
    y, x = cosines(), cosines(seed=1)
    done = refine(y, x, RefinementConfig(scale=7.0, steps=1, scaled=False))
    torch.testing.assert_close(7 * done, 7 * y - (torch.softmax(7 * y, 1) - torch.softmax(7 * x, 1)))


def test_steps_follow_each_other_and_leave_the_input_alone():
    y, x = cosines(), cosines(seed=1)
    before = y.clone()
    one = RefinementConfig(steps=1)
    torch.testing.assert_close(refine(y, x, RefinementConfig(steps=2)), refine(refine(y, x, one), x, one))
    assert torch.equal(refine(y, x, RefinementConfig(steps=0)), y) and torch.equal(y, before)


def test_refinement_draws_labels_to_the_target():
    y, x = cosines(), cosines(seed=1)
    far = [kl(x, refine(y, x, RefinementConfig(steps=n)), 100.0).mean() for n in (0, 1, 10, 100)]
    assert far == sorted(far, reverse=True) and far[-1] < 0.2 * far[0]


def test_loss_of_the_model_flips_the_kl_and_spares_the_labels():
    scores, labels = cosines().requires_grad_(), cosines(seed=1).requires_grad_()
    loss = alignment_loss(scores, labels, 5.0)
    loss.backward()
    torch.testing.assert_close(loss, kl(labels, scores, 5.0).mean())
    assert labels.grad is None and scores.grad.abs().sum() > 0
