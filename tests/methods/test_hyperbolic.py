"""Hyperbolic operations against geoopt, at zero, at the edge, and in the limit of a large radius."""

import warnings

import pytest
import torch

from cdir_nb.errors import CdirError
from cdir_nb.methods.tki.hyperbolic import (
    EDGE,
    HyperbolicLinear,
    exp_map_origin,
    log_map_origin,
    mobius_add,
    mobius_matvec,
)

RADII = (0.3, 1.0, 7.0, 100.0)


@pytest.fixture(scope="module")
def geoopt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it compiles its functions in a way that torch has deprecated
        return pytest.importorskip("geoopt")


def rows(n: int, dim: int, scale: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, dim, generator=generator, dtype=torch.double)


def values_and_gradients(function, *inputs: torch.Tensor) -> list[torch.Tensor]:
    """The result, and the gradients of an arbitrary sum of it, each divided by its largest entry or by 1."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    result = function(*inputs)
    weights = torch.linspace(-1, 2, result.numel(), dtype=result.dtype).view_as(result)
    return [result.detach(), *torch.autograd.grad((weights * result).sum(), inputs)]


def assert_same(ours, theirs, *inputs: torch.Tensor, atol: float = 1e-6) -> None:
    pairs = zip(values_and_gradients(ours, *inputs), values_and_gradients(theirs, *inputs))
    for mine, other in pairs:
        assert torch.isfinite(mine).all()
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=atol)


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("scale", [1e-6, 0.1, 0.7, 3.0])  # of tangent vectors of 6 dimensions, in radii: 3 is the edge
def test_operations_equal_geoopt(geoopt, radius, scale):
    ball = geoopt.PoincareBall(c=torch.tensor(1 / radius**2, dtype=torch.double))
    v, b, matrix = rows(20, 6, scale * radius, 0), rows(20, 6, scale * radius, 1), rows(4, 6, 1.0, 2)
    x, y = exp_map_origin(v, radius), exp_map_origin(b, radius)
    assert_same(lambda v: exp_map_origin(v, radius), ball.expmap0, v)
    assert_same(lambda x: log_map_origin(x, radius), ball.logmap0, x)
    assert_same(lambda x, y: mobius_add(x, y, radius), ball.mobius_add, x, y)
    assert_same(lambda m, x: mobius_matvec(m, x, radius), ball.mobius_matvec, matrix, x)


@pytest.mark.parametrize("radius", RADII)
def test_the_layer_equals_geoopt(geoopt, radius):
    ball = geoopt.PoincareBall(c=torch.tensor(1 / radius**2, dtype=torch.double))
    layer = HyperbolicLinear(6, 4, radius).double()

    def theirs(v, weight, bias):
        return ball.logmap0(ball.mobius_add(ball.mobius_matvec(weight, ball.expmap0(v)), ball.expmap0(bias)))

    def ours(v, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (v,))

    v, weight, bias = rows(20, 6, 0.5 * radius, 3), rows(4, 6, 0.6, 4), rows(1, 4, 0.5 * radius, 5)[0]
    assert_same(ours, theirs, v, weight, bias, atol=1e-6 * max(1, radius))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_zero_values_are_zero_and_gradients_those_of_the_flat_space(dtype):
    zero, matrix = torch.zeros(1, 3, dtype=dtype), rows(2, 3, 1.0, 0).to(dtype)
    for function in (exp_map_origin, log_map_origin):
        value, gradient = values_and_gradients(lambda v, f=function: f(v, 1.0), zero)
        assert value.tolist() == [[0, 0, 0]]
        torch.testing.assert_close(gradient, torch.linspace(-1, 2, 3, dtype=dtype)[None])
    value, gradient = values_and_gradients(lambda x: mobius_matvec(matrix, x, 1.0), zero)
    assert value.tolist() == [[0, 0]]
    torch.testing.assert_close(gradient, torch.tensor([[-1.0, 2.0]], dtype=dtype) @ matrix)
    _, to_x, to_y = values_and_gradients(lambda x, y: mobius_add(x, y, 1.0), zero, zero)
    torch.testing.assert_close(to_x, to_y)


@pytest.mark.parametrize("radius", [0.01, 1.0, 1e4])
@pytest.mark.parametrize("size", [1e-30, 1e-8, 1.0, 50.0, 1e6])
def test_in_single_precision_nothing_leaves_the_ball_or_becomes_infinite(radius, size):
    layer = HyperbolicLinear(8, 5, radius)
    v = (size * radius * rows(30, 8, 1.0, 6)).float().requires_grad_()
    point = exp_map_origin(v, radius)
    assert (point.norm(dim=1) < radius).all()
    result = layer(v)
    result.sum().backward()
    for tensor in (result, v.grad, layer.weight.grad, layer.bias.grad):
        assert torch.isfinite(tensor).all()


def test_opposite_points_at_the_edge_add_up_to_something_finite():
    x = torch.tensor([[EDGE, 0.0]])
    for y in (x, -x):
        for tensor in values_and_gradients(lambda a, b: log_map_origin(mobius_add(a, b, 1.0), 1.0), x, y):
            assert torch.isfinite(tensor).all()


def test_maps_undo_each_other_and_addition_has_its_inverse():
    v, w = rows(20, 4, 0.5, 7), rows(20, 4, 0.5, 8)
    x, y = exp_map_origin(v, 2.0), exp_map_origin(w, 2.0)
    torch.testing.assert_close(log_map_origin(x, 2.0), v)
    torch.testing.assert_close(mobius_add(-x, mobius_add(x, y, 2.0), 2.0), y)
    assert not torch.allclose(mobius_add(x, y, 2.0), mobius_add(y, x, 2.0))  # it does not commute


def test_the_matrix_product_is_the_flat_one_between_tangent_spaces():
    v, matrix = rows(20, 4, 0.5, 9), rows(3, 4, 1.0, 10)
    product = log_map_origin(mobius_matvec(matrix, exp_map_origin(v, 1.0), 1.0), 1.0)
    torch.testing.assert_close(product, v @ matrix.T)


def test_with_a_large_radius_the_layer_is_linear_and_with_a_small_one_it_is_not():
    v, weight, bias = rows(20, 4, 1.0, 11), rows(3, 4, 1.0, 12), rows(1, 3, 1.0, 13)[0]

    def layer(radius):
        module = HyperbolicLinear(4, 3, radius).double()
        return lambda v, w, b: torch.func.functional_call(module, {"weight": w, "bias": b}, (v,))

    assert_same(layer(1e6), torch.nn.functional.linear, v, weight, bias)
    assert (layer(1.0)(v, weight, bias) - (v @ weight.T + bias)).abs().max() > 0.1


def test_a_bias_turns_points_near_the_centre_and_hardly_any_near_the_edge():
    layer = HyperbolicLinear(4, 4, 1.0).double()
    torch.nn.init.eye_(layer.weight)
    layer.bias.data = torch.tensor([0, 2.0, 0, 0], dtype=torch.double)
    direction = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.double)
    with torch.no_grad():
        cosines = [float(torch.cosine_similarity(layer(size * direction), direction)) for size in (0.1, 1.0, 5.0)]
    assert cosines[0] < 0.2 < cosines[1] < 0.999 < cosines[2]


@pytest.mark.parametrize("radius", [0, -1.0, float("nan"), float("inf")])
def test_a_radius_that_is_not_positive_is_refused(radius):
    with pytest.raises(CdirError, match=r"radius is .*: a Poincaré ball needs a positive radius, such as 1\.0"):
        HyperbolicLinear(4, 3, radius)
