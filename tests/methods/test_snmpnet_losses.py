"""SnMpNet's equations, written out with loops."""

import math

import pytest
import torch
from by_hand import random

from cdir_nb.methods.snmpnet.losses import (
    mixed_semantics,
    mixture,
    mixture_prediction,
    mixup_cross_entropy,
    semantic_neighbourhood,
)

B, C, M = 6, 5, 7


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    labels, others = (torch.randint(C, (B,), generator=generator) for _ in range(2))
    others[0] = labels[0]  # a mixture of one class with itself
    return labels, others, torch.rand(B, generator=generator, dtype=torch.double)


def distance(x, y) -> float:
    return math.sqrt(sum((float(a) - float(b)) ** 2 for a, b in zip(x, y)))


def log_softmax(row: list[float], j: int) -> float:
    return row[j] - math.log(sum(math.exp(x) for x in row))


@pytest.mark.parametrize("kappa", [0.0, 1.0, 2.0])
def test_equations_1_and_2_written_out(kappa):
    f, mixed, a, total = 2 * random(B, M), random(B, M, seed=1), random(C, M, seed=2), 0.0
    for i in range(B):
        wanted = [distance(mixed[i], a[j]) for j in range(C)]
        for j in range(C):
            weight = math.exp(-kappa * wanted[j] / max(wanted))
            total += weight * (distance(f[i], a[j]) - wanted[j]) ** 2
    assert float(semantic_neighbourhood(f, mixed, a, kappa)) == pytest.approx(total / (B * C), abs=1e-9)


def test_l_sn_is_zero_at_the_class_vectors_and_has_a_gradient_there():
    a = random(C, M)
    f = a.clone().requires_grad_()
    loss = semantic_neighbourhood(f, a, a, 1.0)
    loss.backward()
    assert float(loss.detach()) == 0 and bool(torch.isfinite(f.grad).all())


def test_one_class_only_gives_a_finite_loss():
    assert float(semantic_neighbourhood(random(2, M), random(1, M).repeat(2, 1), random(1, M), 1.0)) > 0


def test_distances_of_near_points_keep_their_digits():
    a = (100 + random(40, 300)).float()
    moved = a + 1e-3
    expected = sum((distance(moved[i], a[j]) - distance(a[i], a[j])) ** 2 for i in range(3) for j in range(40)) / (
        3 * 40
    )
    assert float(semantic_neighbourhood(moved[:3], a[:3], a, 0.0)) == pytest.approx(expected, rel=1e-2)


def test_equations_6_to_8_written_out(batch):
    labels, others, ratio = batch
    f, a, total = random(B, M), random(C, M, seed=1), 0.0
    for i in range(B):
        cos = [float(f[i] @ a[j]) / (distance(f[i], 0 * f[i]) * distance(a[j], 0 * a[j])) for j in range(C)]
        total -= float(ratio[i]) * log_softmax(cos, labels[i]) + (1 - float(ratio[i])) * log_softmax(cos, others[i])
    assert float(mixup_cross_entropy(f, a, labels, others, ratio)) == pytest.approx(total / B, abs=1e-9)


def test_cosines_have_no_scale(batch):
    f, a = random(B, M), random(C, M, seed=1)
    one, other = (mixup_cross_entropy(scale * f, a / scale, *batch) for scale in (1.0, 30.0))
    assert float(one) == pytest.approx(float(other))


def test_equations_4_and_5_written_out(batch):
    labels, others, ratio = batch
    logits, total = 3 * random(B, C), 0.0
    for i in range(B):
        wanted = [0.0] * C
        wanted[labels[i]] += float(ratio[i])
        wanted[others[i]] += 1 - float(ratio[i])
        total -= sum(share * log_softmax(logits[i].tolist(), t) for t, share in enumerate(wanted))
    assert float(mixture_prediction(logits, labels, others, ratio)) == pytest.approx(total / B, abs=1e-9)


def test_mixing_keeps_the_label_mass_at_one(batch):
    labels, others, ratio = batch
    soft = mixture(labels, others, ratio, C)
    torch.testing.assert_close(soft.sum(1), torch.ones(B, dtype=torch.double))
    assert float(soft[0, labels[0]]) == pytest.approx(1) and bool((soft >= 0).all())


def test_equation_9_written_out(batch):
    labels, others, ratio = batch
    a = random(C, M)
    expected = [float(r) * a[i] + (1 - float(r)) * a[j] for i, j, r in zip(labels, others, ratio)]
    torch.testing.assert_close(mixed_semantics(a, labels, others, ratio), torch.stack(expected))


def test_single_precision_is_within_1e_5(batch):
    labels, others, ratio = batch
    f, a = random(B, M), random(C, M, seed=1)
    both = [
        (semantic_neighbourhood, (f, mixed_semantics(a, *batch), a), 1.0),
        (mixup_cross_entropy, (f, a), (labels, others, ratio)),
        (mixture_prediction, (random(B, C),), (labels, others, ratio)),
    ]
    for loss, tensors, rest in both:
        rest = rest if isinstance(rest, tuple) else (rest,)
        single = loss(*(x.float() for x in tensors), *(x.float() if x is ratio else x for x in rest))
        assert single.shape == () and float(single) == pytest.approx(float(loss(*tensors, *rest)), abs=1e-5)
