"""The losses against naive double loops of equations 4 to 6; absent classes, single members, empty positive sets."""

import math

import pytest
import torch

from cdir_nb.methods.clair.losses import (
    Bank,
    equation_5_by_loops,
    inter_cluster_loss,
    inter_domain_loss,
    inter_instance_loss,
)

TAU = 0.3


def units(rows: int, seed: int, size: int = 6) -> torch.Tensor:
    x = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


def bank(rows: int = 20, seed: int = 1, classes: tuple[int, ...] = (0, 1, 2, 3)) -> Bank:
    return Bank(units(rows, seed), torch.tensor([classes[i % len(classes)] for i in range(rows)]), 6)


def log_share(x, positive, memory) -> float:
    """log( exp(x . positive / tau) / sum_a exp(x . m_a / tau) ), term by term."""
    return math.log(math.exp(float(x @ positive) / TAU) / sum(math.exp(float(x @ m) / TAU) for m in memory))


def naive_class_loss(x, labels, memory: Bank) -> float:
    rows = []
    for x_i, y_i in zip(x, labels):
        members = [m for m, y in zip(memory.features, memory.labels) if y == y_i]
        if members:
            rows.append(-sum(log_share(x_i, m, memory.features) for m in members) / len(members))
    return sum(rows) / len(rows)


def test_inter_instance_equals_the_double_loop():
    x, view, memory = units(5, 2), units(5, 3), bank()
    naive = -sum(log_share(a, b, memory.features) for a, b in zip(x, view)) / 5
    assert inter_instance_loss(x, view, memory, TAU).item() == pytest.approx(naive, abs=1e-5)


@pytest.mark.parametrize("loss", [inter_cluster_loss, inter_domain_loss])
def test_class_losses_equal_the_double_loop(loss):
    x, labels = units(8, 2), torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    memory = Bank(units(20, 4), torch.tensor([0] * 12 + [1] * 5 + [2] * 2 + [3]), 6)  # 3: a single member
    assert loss(x, labels, memory, TAU).item() == pytest.approx(naive_class_loss(x, labels, memory), abs=1e-5)
    torch.testing.assert_close(loss(x, labels, memory, TAU), equation_5_by_loops(x, labels, memory, TAU))


def test_a_class_absent_from_the_other_domain_is_left_out():
    x, labels, memory = units(4, 2), torch.tensor([0, 5, 1, 5]), bank()
    value = inter_domain_loss(x, labels, memory, TAU)
    assert value.item() == pytest.approx(naive_class_loss(x, labels, memory), abs=1e-5)
    torch.testing.assert_close(value, inter_domain_loss(x[[0, 2]], labels[[0, 2]], memory, TAU))


def test_no_positive_at_all_gives_zero_and_no_gradient():
    x = units(3, 2).requires_grad_()
    value = inter_domain_loss(x, torch.tensor([5, 5, 4]), bank(), TAU)
    value.backward()
    assert value.item() == 0 and torch.equal(x.grad, torch.zeros_like(x))


def test_a_single_member_has_its_own_memory_as_positive():
    x, memory = units(1, 2), Bank(units(3, 4), torch.tensor([0, 1, 1]), 6)
    value = inter_cluster_loss(x, torch.tensor([0]), memory, TAU)
    assert value.item() == pytest.approx(-log_share(x[0], memory.features[0], memory.features), abs=1e-9)


def test_gradients_are_those_of_the_definition():
    x = units(3, 2).requires_grad_()
    labels, memory = torch.tensor([0, 1, 5]), bank()
    assert torch.autograd.gradcheck(lambda z: inter_domain_loss(z, labels, memory, TAU), x)
    assert torch.autograd.gradcheck(lambda z: inter_instance_loss(z, z.flip(0), memory, TAU), x)


def test_low_temperatures_stay_finite():
    x = 50 * units(4, 2).float()
    memory = Bank(50 * units(9, 3).float(), torch.arange(9) % 3, 6)
    assert inter_cluster_loss(x, torch.tensor([0, 1, 2, 5]), memory, 0.01).isfinite()
