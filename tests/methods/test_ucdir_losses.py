"""UCDIR's losses and those of its baselines against loops that follow the equations sign by sign."""

import math

import pytest
import torch
import torch.nn.functional as F
from by_hand import softmax, unit
from sklearn.metrics import normalized_mutual_info_score

from cdir_nb.errors import CdirError
from cdir_nb.methods.ucdir.baselines.cds import cross_domain_matching
from cdir_nb.methods.ucdir.baselines.instance_discrimination import instance_discrimination
from cdir_nb.methods.ucdir.baselines.protonce import concentrations, prototype_loss, prototype_losses
from cdir_nb.methods.ucdir.clusters import Clusters, kmeans
from cdir_nb.methods.ucdir.losses import (
    cluster_wise,
    cluster_wise_by_loops,
    distance_of_distance,
    in_domain_distances,
    instance_wise,
    self_entropy,
)

B, N, K, D = 5, 12, 3, 7


@pytest.fixture
def batch():
    """q, k (B, D); bank (N, D), which holds the keys; ids (B,); clusters (N,); centroids of two domains (K, D)."""
    q, k, bank, ids = unit(B, D), unit(B, D, seed=1), unit(N, D, seed=2), torch.tensor([3, 0, 7, 11, 4])
    bank[ids] = k
    return q, k, bank, ids, torch.arange(N) % K, unit(K, D, seed=3), unit(K, D, seed=4)


def dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum())


def entropy(p: list[float]) -> float:
    return -sum(x * math.log(x) for x in p)


def test_equation_1_written_out(batch):
    q, k, bank, ids, *_ = batch
    total = sum(
        math.log(math.exp(dot(q[i], k[i]) / 0.2) / sum(math.exp(dot(q[i], m) / 0.2) for m in bank)) for i in range(B)
    )
    assert float(instance_wise(q, k, bank, ids, 0.2)) == pytest.approx(-total / B, rel=1e-9)


def test_equation_1_takes_the_positive_from_the_key_even_where_the_memory_is_stale(batch):
    q, k, bank, ids, *_ = batch
    stale = bank.clone()
    stale[ids[0]] = unit(D, seed=9)
    found, expected = (float(instance_wise(q[:1], k[:1], memory, ids[:1], 0.2)) for memory in (stale, bank))
    assert found == pytest.approx(expected)


def loops_of_equation_2(batch, tau: float, least: float) -> tuple[float, int]:
    q, k, bank, ids, clusters, centroids, _ = batch
    each = []
    for i in range(B):
        own = int(clusters[ids[i]])
        if softmax([dot(k[i], c) / tau for c in centroids])[own] <= least:
            continue
        positives = [p for p in range(N) if int(clusters[p]) == own]
        bottom = sum(math.exp(dot(q[i], bank[a]) / tau) for a in range(N))
        each.append(-sum(math.log(math.exp(dot(q[i], bank[p]) / tau) / bottom) for p in positives) / len(positives))
    return (sum(each) / len(each) if each else 0.0), len(each)


@pytest.mark.parametrize("least", [None, 0.0, 0.2, 0.4, 0.6])
def test_equation_2_written_out_with_the_filter_of_the_released_code(batch, least):
    q, k, bank, ids, clusters, centroids, _ = batch
    expected, kept = loops_of_equation_2(batch, 0.2, -1.0 if least is None else least)
    found = cluster_wise(q, k, bank, clusters, ids, centroids, 0.2, least_confidence=least)
    assert float(found) == pytest.approx(expected, rel=1e-9)
    assert (kept == B) == (least in (None, 0.0))
    if least is None:
        by_loops = cluster_wise_by_loops(q, bank, clusters, ids, 0.2)
        assert float(by_loops) == pytest.approx(expected, rel=1e-9)


def test_without_a_confident_image_the_loss_is_zero_and_still_has_a_gradient(batch):
    q, k, bank, ids, clusters, centroids, _ = batch
    q.requires_grad_()
    loss = cluster_wise(q, k, bank, clusters, ids, centroids, 0.2, least_confidence=0.999)
    loss.backward()
    assert float(loss.detach()) == 0 and torch.equal(q.grad, torch.zeros_like(q))


def test_equations_5_and_9_written_out(batch):
    q, _, _, _, _, centroids, _ = batch
    total = sum(entropy(softmax([dot(x, c) / 0.1 for c in centroids])) for x in q)
    assert float(self_entropy(q, centroids, 0.1)) == pytest.approx(total / B, rel=1e-9)


def distances(q: torch.Tensor, centroids: torch.Tensor, phi: float) -> list[list[float]]:
    p = [softmax([dot(x, c) / phi for c in centroids]) for x in q]
    size = [math.sqrt(sum(v * v for v in x)) for x in p]
    return [[1 - sum(a * b for a, b in zip(p[i], p[j])) / (size[i] * size[j]) for j in range(B)] for i in range(B)]


def test_equations_6_to_8_written_out(batch):
    q, *_, first, second = batch
    a, b = distances(q, first, 0.1), distances(q, second, 0.1)
    total = sum((a[i][j] - b[i][j]) ** 2 for i in range(B) for j in range(B))
    assert float(distance_of_distance(q, first, second, 0.1)) == pytest.approx(total / B, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_proposition_1_the_order_of_centroids_does_not_matter(batch, seed):
    q, *_, first, second = batch
    order = torch.randperm(K, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(in_domain_distances(q, first[order], 0.1), in_domain_distances(q, first, 0.1))
    permuted, plain = (distance_of_distance(q, centroids, second, 0.1) for centroids in (first[order], first))
    torch.testing.assert_close(permuted, plain)


@pytest.mark.parametrize("phi, expected", [(0.01, None), (1e6, 0.0)])  # uniform probabilities: why L_SE is needed
def test_equal_domains_have_no_distance_of_distance_and_nor_have_uniform_probabilities(batch, phi, expected):
    q, *_, first, second = batch
    distance = float(distance_of_distance(q, first, second, phi))
    assert float(distance_of_distance(q, first, first, phi)) == 0
    assert distance > 1e-3 if expected is None else distance == pytest.approx(expected, abs=1e-9)


def test_gradients_reach_the_queries(batch):
    q, k, bank, ids, clusters, first, second = batch
    for loss in (
        lambda x: instance_wise(x, k, bank, ids, 0.2),
        lambda x: cluster_wise(x, k, bank, clusters, ids, first, 0.2),
        lambda x: self_entropy(x, first, 0.1),
        lambda x: distance_of_distance(x, first, second, 0.1),
    ):
        assert torch.autograd.gradcheck(loss, q.clone().requires_grad_())


# ---- baselines -------------------------------------------------------------------------------------------------


def test_instance_discrimination_written_out(batch):
    q, _, bank, ids, *_ = batch
    total = sum(math.log(softmax([dot(q[i], m) / 0.07 for m in bank])[ids[i]]) for i in range(B))
    assert float(instance_discrimination(q, bank, ids, 0.07)) == pytest.approx(-total / B, rel=1e-9)


@pytest.mark.parametrize("neighbours", [1, 4, 12, 700])
def test_cross_domain_matching_written_out(batch, neighbours):
    q, _, bank, *_ = batch
    total = sum(entropy(softmax(sorted((dot(x, m) / 0.1 for m in bank), reverse=True)[:neighbours])) for x in q)
    assert float(cross_domain_matching(q, bank, 0.1, neighbours)) == pytest.approx(total / B, rel=1e-9, abs=1e-12)


def test_prototype_loss_written_out(batch):
    q, *_, centroids, _ = batch
    assigned, phi = torch.tensor([0, 2, 1, 1, 0]), torch.tensor([0.1, 0.3, 0.2], dtype=torch.double)
    total = sum(
        math.log(softmax([dot(q[i], centroids[j]) / float(phi[j]) for j in range(K)])[assigned[i]]) for i in range(B)
    )
    assert float(prototype_loss(q, assigned, centroids, phi)) == pytest.approx(-total / B, rel=1e-9)


def test_concentrations_by_hand():
    """Clusters of 3, 2, 1 and 0 features; distances add up to 6 and 2 in the first two, the others take the most."""
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    clusters = Clusters(labels, unit(4, D), torch.tensor([1.0, 2.0, 3.0, 0.5, 1.5, 9.0], dtype=torch.double))
    first, second = 6 / (3 * math.log(13)), 2 / (2 * math.log(12))
    low = second + 0.3 * (first - second)  # the lowest tenth of four values, three of them equal
    found = concentrations(clusters, 0.2)
    assert float(found.mean()) == pytest.approx(0.2)
    torch.testing.assert_close(found / found[0], torch.tensor([1, low / first, 1, 1], dtype=torch.double))


def test_prototypes_of_equal_points_do_not_divide_by_zero():
    clusters = Clusters(torch.tensor([0, 0, 1]), unit(2, D), torch.zeros(3, dtype=torch.double))
    assert concentrations(clusters, 0.2).tolist() == [0.2, 0.2]


def test_prototype_losses_average_over_the_clusterings(batch):
    q, _, bank, ids, *_ = batch
    several = [kmeans(bank, count, iterations=20, restarts=2, seed=0) for count in (2, 4)]
    each = [float(prototype_losses(q, ids, [one], 0.2)) for one in several]
    assert float(prototype_losses(q, ids, several, 0.2)) == pytest.approx(sum(each) / 2)


# ---- clusters --------------------------------------------------------------------------------------------------


def test_kmeans_finds_groups_far_apart_and_has_unit_centroids():
    true = torch.arange(60) % 4
    points = F.normalize(torch.eye(4, 9)[true] + 0.05 * torch.randn(60, 9), dim=1)
    found = kmeans(points, 4, iterations=20, restarts=5, seed=0)
    assert normalized_mutual_info_score(true, found.labels) == pytest.approx(1)
    torch.testing.assert_close(found.centroids.norm(dim=1), torch.ones(4))
    mean = points[found.labels == found.labels[0]].mean(0)
    assert float(found.distances[0]) == pytest.approx(float((points[0] - mean).norm()), rel=1e-5)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_an_empty_cluster_is_allowed(batch):
    """Two different points and three clusters: one stays empty, and no loss is disturbed by it."""
    q, k, *_ = batch
    bank = unit(2, D)[torch.arange(N) % 2]
    found = kmeans(bank, 3, iterations=20, restarts=1, seed=0)
    assert sorted(found.sizes.tolist()) == [0, 6, 6]
    losses = [
        cluster_wise(q, k, bank, found.labels, torch.arange(B), found.centroids, 0.2, least_confidence=0.2),
        self_entropy(q, found.centroids, 0.01),
        distance_of_distance(q, found.centroids, found.centroids, 0.01),
        prototype_losses(q, torch.arange(B), [found], 0.2),
    ]
    assert all(math.isfinite(float(loss)) for loss in losses)


def test_more_clusters_than_images_are_refused():
    with pytest.raises(CdirError, match="9 clusters .* 4 images"):
        kmeans(unit(4, D), 9, iterations=20, restarts=1, seed=0)
