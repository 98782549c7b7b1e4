"""CoDA: its losses against loops, the start of its classifiers, its step, its variants, and resuming."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from by_hand import random, softmax, unit
from small_clip import make_encoder

from cdir_nb.conventions import LAST_EPOCH
from cdir_nb.data import load_protocol
from cdir_nb.data.world import load_world
from cdir_nb.errors import CdirError
from cdir_nb.methods.coda import CODA, CodaSettings, CodaTraining
from cdir_nb.methods.coda.losses import agreement, self_matching
from cdir_nb.methods.coda.start import classifier_rows, fill_empty, spherical_kmeans
from cdir_nb.methods.table import fit

pytestmark = [pytest.mark.medium, pytest.mark.usefixtures("own_cache")]

PAIR = ("clipart", "sketch")
QUICK = CodaSettings(
    trains="head", dim=8, clusters=3, levels=(1, 2), epochs=3, batch_size=8, learning_rate=0.1, views=2, score_at=2
)


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture(scope="module")
def task():
    return load_protocol("world-closed", load_world(2))


def training(encoder, task, settings=QUICK, seed=1) -> CodaTraining:
    return CodaTraining(encoder, task, PAIR, settings, name="CoDA", seed=seed, progress=False)


def fitted(encoder, task, settings=QUICK, **how):
    return fit("CoDA", encoder, task, settings=settings, directions=[PAIR], progress=False, **how)


def weighted(made: CodaTraining, losses: dict[str, torch.Tensor]) -> float:
    return sum(made.weights()[name] * float(loss.detach()) for name, loss in losses.items())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(x, other[name]) for name, x in one.items())


# ---- losses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_self_matching_written_out_and_its_gradient_which_the_target_does_not_get(temperature):
    logits, memory = random(5, 4).requires_grad_(), random(5, 4, seed=1).requires_grad_()
    total = 0.0
    for row, remembered in zip(logits.tolist(), memory.tolist()):
        target = softmax([x / temperature for x in remembered])
        total -= sum(t * math.log(p) for t, p in zip(target, softmax(row)))
    loss = self_matching(logits, memory, temperature)
    assert float(loss.detach()) == pytest.approx(total / 5, rel=1e-9)
    loss.backward()
    expected = (logits.softmax(dim=1) - (memory / temperature).softmax(dim=1)) / 5
    torch.testing.assert_close(logits.grad, expected.detach())
    assert memory.grad is None


def test_agreement_written_out_and_with_gradients_to_both():
    a, b = random(5, 4).requires_grad_(), random(5, 4, seed=1).requires_grad_()
    total = sum(abs(x - y) for one, other in zip(a.tolist(), b.tolist()) for x, y in zip(one, other))
    loss = agreement(a, b)
    assert float(loss.detach()) == pytest.approx(total / 5, rel=1e-9)
    loss.backward()
    torch.testing.assert_close(a.grad, (a - b).sign().detach() / 5)
    torch.testing.assert_close(b.grad, -a.grad)


# ---- the start of the classifiers ------------------------------------------------------------------------------


def test_spherical_kmeans_against_loops():
    features = unit(30, 4)
    centroids = features[:5]
    expected = [list(map(float, row)) for row in centroids]
    for _ in range(3):
        members = [[] for _ in expected]
        for x in features.tolist():
            scores = [sum(a * b for a, b in zip(x, c)) for c in expected]
            members[scores.index(max(scores))].append(x)
        sums = [[sum(column) for column in zip(*own)] for own in members]  # none is empty
        expected = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in sums]
    torch.testing.assert_close(spherical_kmeans(features, centroids, 3), torch.tensor(expected, dtype=torch.double))


def test_an_empty_cluster_becomes_one_half_of_the_largest():
    centroids = torch.eye(4)[:3] + 0.5
    found = fill_empty(centroids, torch.tensor([5, 0, 3]))
    torch.testing.assert_close(found[0] + found[1], 2 * centroids[0])
    torch.testing.assert_close(found[1] - found[0], centroids[0] * torch.tensor([2, -2, 2, -2]) / 1024)
    assert torch.equal(found[2], centroids[2])
    assert torch.equal(fill_empty(centroids, torch.tensor([1, 0, 1])), centroids)


def test_kmeans_leaves_no_cluster_empty_where_features_differ():
    features = unit(40, 6)
    start = torch.cat([features[:2].mean(dim=0, keepdim=True), -unit(1, 6).expand(7, 6)])
    found = spherical_kmeans(features, F.normalize(start, dim=1), 40)
    assert len((features @ found.T).argmax(dim=1).unique()) == 8


def two_domains() -> list[torch.Tensor]:
    """Four classes on four axes; in the second domain, all are shifted in the same direction."""
    centres = torch.eye(5, dtype=torch.double)[:4]
    shift = 0.4 * torch.eye(5, dtype=torch.double)[4]
    return [
        F.normalize(centres.repeat_interleave(20, dim=0) + 0.1 * random(80, 5, seed=d) + d * shift, dim=1)
        for d in (0, 1)
    ]


@pytest.mark.parametrize("seed", [1, 2, 6, 7])  # from other first centroids, k-means may split a class
def test_a_joint_start_gives_row_k_the_same_meaning_in_both_domains_and_shuffling_undoes_it(seed):
    def rows(start: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return classifier_rows(two_domains(), 4, start, iterations=40, generator=generator)

    first, second = rows("joint")
    assert (first @ second.T).argmax(dim=1).tolist() == [0, 1, 2, 3]
    same_first, shuffled = rows("shuffled")
    order = (first @ shuffled.T).argmax(dim=1)
    assert torch.equal(same_first, first) and torch.equal(shuffled[order], second)


def test_a_separate_start_reads_each_memory_by_itself():
    domains = two_domains()
    first, second = (
        classifier_rows(memories, 4, "separate", iterations=40, generator=torch.Generator().manual_seed(1))[0]
        for memories in (domains, [domains[0], unit(80, 5, seed=7)])
    )
    assert torch.equal(first, second)


# ---- a step ----------------------------------------------------------------------------------------------------


def first_batch(made: CodaTraining) -> tuple:
    made.begin()
    return next(iter(made.views.epoch([torch.arange(8), torch.arange(8)], 8, torch.Generator().manual_seed(0))))


def by_domain(inputs) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(ids, the view that a step uses) of each domain."""
    ids, views, _ = inputs
    return list(zip(ids, views.split([len(rows) for rows in ids])))


def test_a_step_sees_the_memory_from_before_and_then_updates_its_rows(encoder, task):
    made = training(encoder, task)
    inputs = first_batch(made)
    before = [bank.clone() for bank in made.banks]
    step = made.see(inputs)
    for d, (ids, view) in enumerate(by_domain(inputs)):
        f = made.model(view).detach()
        torch.testing.assert_close(step.q[d].detach(), f)
        assert torch.equal(step.k[d], before[d][ids]) and not step.k[d].requires_grad
        torch.testing.assert_close(made.banks[d][ids], F.normalize(0.95 * before[d][ids] + 0.05 * f, dim=1))
        assert torch.equal(made.banks[d][8:], before[d][8:])


@pytest.mark.parametrize("levels, weight", [((1, 2), 0.01), ((1,), 0.0)])
def test_the_loss_is_that_of_the_released_code_by_its_parts(encoder, task, levels, weight):
    made = training(encoder, task, QUICK.changed(levels=levels, agreement_weight=weight))
    inputs = first_batch(made)
    memory = [bank.clone() for bank in made.banks]
    total = 0.0
    for level, factor in enumerate(levels):
        first, second = (made.model.classifiers[d][level].detach() for d in (0, 1))
        assert len(first) == len(second) == 3 * factor
        for (ids, view), remembered, own in zip(by_domain(inputs), memory, (first, second)):
            f = made.model(view).detach()
            target = (remembered[ids] @ own.T / 0.01).softmax(dim=1)
            total += float(-(target * (f @ own.T).log_softmax(dim=1)).sum(dim=1).mean()) / len(levels)
            total += weight * float((f @ first.T - f @ second.T).abs().sum(dim=1).mean()) / len(levels)
    assert weighted(made, made.losses(inputs)) == pytest.approx(total, rel=1e-5)


def test_agreement_is_zero_for_equal_classifiers_and_alone_depends_on_the_order_of_rows(encoder, task):
    def losses(change) -> dict[str, float]:
        made = training(encoder, task)
        inputs = first_batch(made)
        with torch.no_grad():
            for first, second in made.levels():
                change(first, second)
        return {name: float(loss.detach()) for name, loss in made.losses(inputs).items()}

    plain = losses(lambda first, second: None)
    permuted = losses(lambda first, second: second.copy_(second.flip(0)))
    assert permuted["L_ISS"] == pytest.approx(plain["L_ISS"], rel=1e-5)
    assert abs(permuted["L_CCA"] - plain["L_CCA"]) > 0.01
    assert losses(lambda first, second: second.copy_(first))["L_CCA"] == 0


def test_the_classifiers_have_a_learning_rate_of_their_own_and_no_weight_decay(encoder, task):
    made = training(encoder, task, QUICK.changed(classifier_rate=1e-12, weight_decay=0.5))
    made.begin()
    before = [w.detach().clone() for w in made.model.classifiers.parameters()]
    made.run_epoch()
    assert all(torch.allclose(w, old, atol=1e-9) for w, old in zip(made.model.classifiers.parameters(), before))
    assert made.moved()["network"] > 0.01 and made.moved()["classifiers"] < 1e-9
    rates = [group["lr"] for group in made.optimizer.param_groups]
    made.run_epoch()
    assert [group["lr"] for group in made.optimizer.param_groups] == rates == [0.1, 1e-12]


# ---- fitting ---------------------------------------------------------------------------------------------------


def test_every_variant_is_fitted_and_its_states_embed_as_unit_vectors(encoder, task):
    ends = {}
    for variant in (None, *CODA.variants):
        found = fitted(encoder, task, variant=variant, seed=1)
        (embedder,) = found.states[LAST_EPOCH]
        vectors = embedder.embed(task.query("sketch"), progress=False)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(20))
        assert embedder.moved["network"] > 0 and found.stored_epochs == (0, 1, 2, 3)
        ends[variant] = vectors
    assert not any(torch.equal(ends[None], other) for variant, other in ends.items() if variant)


def test_labels_have_no_influence(encoder, task):
    images = task.images.select(labels=task.seen)
    shuffled = replace(images, labels=np.random.default_rng(0).permutation(images.labels))
    one, other = (training(encoder, replace(task, images=of)) for of in (images, shuffled))
    for made in (one, other):
        made.begin()
        while not made.finished:
            made.run_epoch()
    assert same(one.current_state(), other.current_state())
    assert [row["L_total"] for row in one.history] == [row["L_total"] for row in other.history]
    assert one.validate() != other.validate()


def test_the_whole_network_is_trained_and_the_head_may_have_a_hidden_layer(encoder, task):
    settings = QUICK.changed(trains="all", hidden=4, epochs=1, learning_rate=0.01)
    (embedder,) = fitted(encoder, task, settings).states[LAST_EPOCH]
    assert [type(layer).__name__ for layer in embedder.model.head] == ["Linear", "ReLU", "Linear"]
    start = dict(embedder.training.make_network().named_parameters())
    moved = dict(embedder.model.named_parameters())
    changed = [name for name, x in moved.items() if "visual" in name and not torch.equal(x, start[name])]
    assert changed and embedder.embed(task.query("sketch"), progress=False).shape == (20, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": "random"}, "'random'"),
        ({"agreement_weight": -1.0}, "agreement_weight"),
        ({"clusters": 15, "levels": (1, 3)}, "45 clusters, but 40 training images in both"),
        ({"clusters": 11, "levels": (2,), "start": "separate"}, "22 clusters, but 20 training images of clipart"),
        ({"encoder_momentum": 0.9}, "encoder_momentum"),
    ],
)
def test_bad_settings_are_refused_in_one_line(encoder, task, settings, message):
    with pytest.raises(CdirError, match=message) as error:
        fitted(encoder, task, {"named": "as_released, head", **settings})
    assert "\n" not in str(error.value)
