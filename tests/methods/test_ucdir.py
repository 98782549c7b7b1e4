"""UCDIR's trainer on a few small pictures: what a step does, its schedule, states, resuming, and bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_clip import make_encoder
from toy_task import shapes, toy_task

from cdir_nb.conventions import BEST_ON_TEST, BY_SEEN_LABELS, LAST_EPOCH
from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.backbones import MOCO_PREFIX as PREFIX
from cdir_nb.errors import CdirError
from cdir_nb.methods import METHODS, fit
from cdir_nb.methods.trunks import ImageTower
from cdir_nb.methods.ucdir import UcdirSettings, UcdirTraining
from cdir_nb.methods.ucdir.losses import cluster_wise, distance_of_distance, instance_wise, self_entropy
from cdir_nb.methods.ucdir.network import Network, keys
from cdir_nb.methods.ucdir.views import CachedViews, PixelViews, at_size, moco_v2, uncropped, viewed

QUICK = {
    "trains": "head",
    "hidden": 16,
    "epochs": 4,
    "batch_size": 8,
    "learning_rate": 0.05,
    "encoder_momentum": 0.9,
    "views": 3,
    "score_at": 2,
    "snapshot_every": 2,
}
SCHEDULE = {"cluster_from": 1, "full_from": 3, "align_from": 2}
FAMILY = ["UCDIR", "ID", "ProtoNCE", "CDS", "PCS"]
RUNS = [("UCDIR", name) for name in METHODS["UCDIR"].variants] + [(name, None) for name in FAMILY]

pytestmark = [pytest.mark.medium, pytest.mark.usefixtures("own_cache")]


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture(scope="module")
def task():
    return toy_task()


def quick(method="UCDIR", **changes) -> dict:
    """Settings that train in a moment, from the released ones."""
    schedule = SCHEDULE if method == "UCDIR" else {"cluster_from": 1} if method == "ProtoNCE" else {}
    return {"named": "as_released", **QUICK, **schedule, **changes}


def train(encoder, task, method="UCDIR", *, variant=None, seed=1, **changes):
    settings = quick(method, **changes)
    return fit(method, encoder, task, variant=variant, settings=settings, seed=seed, progress=False)


@pytest.fixture(scope="module")
def fitted(encoder, task):
    return train(encoder, task)


def training(encoder, task, **changes) -> UcdirTraining:
    settings = METHODS["UCDIR"].configured(encoder, settings=quick(**changes))
    made = UcdirTraining(encoder, task, ("ink", "line"), settings, name="UCDIR", seed=1, progress=False)
    made.generator = torch.Generator().manual_seed(0)
    return made


def first_inputs(made: UcdirTraining):
    return next(iter(made.views.epoch([torch.arange(8), torch.arange(8)], 8, made.generator)))


# ---- a step ----------------------------------------------------------------------------------------------------


def test_the_memory_holds_the_keys_before_the_loss_and_only_of_the_batch(encoder, task):
    made = training(encoder, task)
    made.begin()
    made.clusters, before = [], [bank.clone() for bank in made.banks]
    step = made.see(first_inputs(made))
    for bank, old, ids, k in zip(step.banks, before, step.ids, step.k):
        assert torch.equal(bank[ids], k) and torch.equal(bank[8:], old[8:])


def test_the_momentum_encoder_moves_at_every_step_and_before_the_keys(encoder, task):
    made = training(encoder, task)
    made.begin()
    with torch.no_grad():
        made.model.head[0].weight.add_(1.0)
    slow, inputs, made.clusters = made.momentum.head[0].weight.clone(), first_inputs(made), []
    step = made.see(inputs)
    torch.testing.assert_close(made.momentum.head[0].weight, 0.9 * slow + 0.1 * made.model.head[0].weight)
    torch.testing.assert_close(torch.cat(step.k), made.momentum(inputs[2]))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_total_is_equation_11_by_its_parts(encoder, task, reduction):
    """As released: means over both domains, L_SE over four pairs. As written: sums over the images and both domains."""
    made = training(encoder, task, reduction=reduction, alpha=0.7, beta=0.3, gamma=0.6, encoder_momentum=0.0)
    made.begin()
    made.epoch = 2
    made.clusters = made.cluster()
    c, inputs = made.settings, first_inputs(made)
    step = made.see(inputs)
    (a,), (b,) = made.clusters
    parts = {"L_IW": [], "L_CW": [], "L_SE": [], "L_DD": []}
    for q, k, bank, ids, own in zip(step.q, step.k, step.banks, step.ids, (a, b)):
        parts["L_IW"].append(instance_wise(q, k, bank, ids, c.tau))
        parts["L_CW"].append(
            cluster_wise(q, k, bank, own.labels, ids, own.centroids, c.tau, least_confidence=c.least_confidence)
        )
        parts["L_SE"] += [self_entropy(q, a.centroids, c.phi_entropy), self_entropy(q, b.centroids, c.phi_entropy)]
        parts["L_DD"].append(distance_of_distance(q, a.centroids, b.centroids, c.phi_distance))
    found = made.losses(inputs)
    for name, values in parts.items():
        mean = sum(float(value.detach()) for value in values) / len(values)
        expected = mean if reduction == "mean" else mean * 8 * len(values)
        assert float(found[name].detach()) == pytest.approx(expected, rel=1e-5)
    assert made.weights() == {"L_IW": 1, "L_CW": pytest.approx(0.35), "L_SE": 0.6, "L_DD": 0.3}


def test_equation_4_ramps_linearly():
    settings = UcdirSettings(alpha=0.5, cluster_from=20, full_from=100)
    assert [settings.weight_of_clusters(e) for e in (0, 20, 60, 100, 199)] == [0, 0, 0.25, 0.5, 0.5]


def test_losses_count_from_their_epoch_on(fitted):
    history = fitted.history
    assert [row.get("weight L_SE") for row in history] == [None, 0, 0.5, 0.5]
    assert [row.get("weight L_CW") for row in history] == [None, 0.0, 0.5, 1.0]
    assert all("L_DD" in row for row in history[1:]) and "L_CW" not in history[0]


@pytest.mark.parametrize("method", [*FAMILY, "CoDA"])
def test_every_value_of_a_named_setting_has_a_source_of_its_own(method):
    for name, settings in METHODS[method].named.items():
        assert not [row for row in settings.table() if row["source"].startswith("set here")], name
    changed = METHODS[method].settings(dim=77).table()
    assert [row["setting"] for row in changed if row["source"].startswith("set here")] == ["dim"]


def test_a_shorter_schedule_keeps_its_proportions():
    short = METHODS["UCDIR"].named["as_released, head"].shortened(20)
    names = ("epochs", "cluster_from", "full_from", "align_from", "snapshot_every")
    assert [getattr(short, name) for name in names] == [20, 2, 10, 10, 2]
    assert METHODS["ID"].named["as_released, head"].shortened(10).snapshot_every == 1


# ---- the loop and its states -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method, variant", RUNS)
def test_every_method_trains_and_embeds(encoder, task, method, variant):
    changes = {"epochs": 2, **({"full_from": 1} if method == "UCDIR" else {})}
    found = fit(method, encoder, task, variant=variant, settings=quick(method, **changes), progress=False)
    (last,), (best,) = found.states[LAST_EPOCH], found.states[BEST_ON_TEST]
    emb = last.embed(task.images)
    assert emb.shape == (33, 128) and torch.isfinite(emb).all() and last.name == (variant or method)
    torch.testing.assert_close(emb.norm(dim=1), torch.ones(33))
    assert last.steps == 2 * (20 // 8) and best.epoch <= last.epoch == 2
    assert all(math.isfinite(value) for row in found.history for value in row.values() if not isinstance(value, str))


def test_training_brings_views_of_an_image_together(encoder, task):
    history = train(encoder, task, variant="L_IW (v1)", epochs=12).history
    assert history[-1]["L_IW"] < history[0]["L_IW"] - 0.1
    assert history[-1]["moved, parameters"] > 0.01


def test_where_test_classes_are_unseen_the_score_is_one_of_seen_classes(encoder, task):
    assert set(train(encoder, replace(task, zero_shot=True), epochs=1).states) == {BY_SEEN_LABELS, LAST_EPOCH}


def test_the_score_is_that_of_the_states_own_embeddings(fitted, task):
    (last,) = fitted.states[LAST_EPOCH]
    parts = [task.images.select(domain) for domain in ("ink", "line")]
    (a, b), labels = [last.embed(part) for part in parts], [part.labels for part in parts]
    by_hand = []
    for x, y, own, other in ((a, b, *labels), (b, a, *labels[::-1])):
        top = (x @ y.T).argsort(dim=1, descending=True)[:, :2]
        by_hand.append(np.mean([other[j] == own[i] for i in range(len(x)) for j in top[i].tolist()]))
    assert fitted.history[-1][BEST_ON_TEST] == pytest.approx(np.mean(by_hand))


def test_the_best_state_is_the_momentum_encoder_of_its_epoch(encoder, task, monkeypatch):
    scores = [0.1, 0.2, 0.6, 0.3, 0.4]
    monkeypatch.setattr(UcdirTraining, "validate", lambda self: {BEST_ON_TEST: scores[self.epoch]})
    found = train(encoder, task, seed=7)
    (best,), (then,) = found.states[BEST_ON_TEST], found.at_epoch(2)
    assert best.epoch == 2 and best.steps == 4 and found.stored_epochs == (0, 2, 4)
    torch.testing.assert_close(then.embed(task.images), best.embed(task.images))


def test_an_interrupted_training_goes_on_to_the_same_end(encoder, task, fitted):
    first, resumed = training(encoder, task), training(encoder, task)
    first.begin(), first.run_epoch(), first.run_epoch()
    resumed.restore(first.state())
    while not resumed.finished:
        resumed.run_epoch()
    for rule, (epoch, state) in resumed.states().items():
        (whole,) = fitted.states[rule]
        assert whole.epoch == epoch
        torch.testing.assert_close(state, {name: whole.model.state_dict()[name] for name in state})


# ---- the whole network -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backbone():
    """A small convolutional network with batch norm."""
    return at_size(load_encoder("timm:test_efficientnet:random"), 32)


WHOLE = {"trains": "all", "epochs": 2, "full_from": 1, "align_from": 1}


def test_a_backbone_reads_images_of_another_size_and_a_clip_does_not(backbone, encoder, task):
    assert (backbone.image_size, at_size(encoder, 64).image_size) == (32, 32)
    assert at_size(backbone, 0) is backbone
    made = training(load_encoder("timm:test_efficientnet:random"), task, image_size=48)
    assert made.encoder.image_size == 48


@pytest.mark.slow
def test_the_whole_network_trains_and_the_encoder_given_stays_as_it_was(backbone, task):
    before = {name: x.clone() for name, x in backbone.model.state_dict().items()}
    found = train(backbone, task, **WHOLE)
    (last,) = found.states[LAST_EPOCH]
    assert all(torch.equal(x, before[name]) for name, x in backbone.model.state_dict().items())
    assert found.history[-1]["moved, parameters"] > 0 and "whole network" in last.train_set
    torch.testing.assert_close(found.trainings[0].features[0], last.embed(task.images.select("ink")))
    assert found.stored_epochs == ()  # a whole network is too large to be stored at every epoch


def test_the_description_says_whether_the_pretraining_saw_training_images(encoder, task, monkeypatch):
    before = training(encoder, task).train_set
    monkeypatch.setattr("cdir_nb.encoders.pretraining.seen_in_pretraining", lambda *_: 7)
    assert "pretraining" not in before and "pretraining" in training(encoder, task).train_set


def test_clips_whole_image_tower_trains_and_its_texts_stay(encoder, task):
    assert METHODS["UCDIR"].configured(encoder, variant="CLIP-UCDIR", settings="as_released, head").trains == "all"
    (last,) = train(encoder, task, **WHOLE).states[LAST_EPOCH]
    tuned, before = last.model.trunk.model.state_dict(), encoder.model.state_dict()
    changed = {name.split(".")[0] for name, x in tuned.items() if not torch.equal(x, before[name])}
    assert changed == {"visual"} and last.embed(task.images).shape == (33, 128)


def test_split_norm_sees_each_half_by_itself_and_keeps_the_order(backbone):
    network = Network(ImageTower(backbone), backbone.dim, UcdirSettings(), 0).train()
    x = torch.randn(8, 3, 32, 32)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(5))
    expected = torch.empty(8, 128)
    with torch.no_grad():
        expected[order] = torch.cat([network(x[order[:4]]), network(x[order[4:]])])
    found = keys(network, x, split=True, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, keys(network, x, split=False, generator=torch.Generator()), atol=1e-3)


# ---- views -----------------------------------------------------------------------------------------------------


def test_a_view_is_the_same_each_time_and_differs_from_others(task, encoder):
    images = task.images.select("ink")
    one, again, other = (np.asarray(viewed(images, n, 32).image(0)) for n in (4, 4, 5))
    assert one.shape == (32, 32, 3) and np.array_equal(one, again) and not np.array_equal(one, other)
    before = torch.get_rng_state()
    viewed(images, 1, 32).image(0)
    assert torch.equal(before, torch.get_rng_state())
    assert encoder.image_size == 32 and len({*viewed(images, 1, 32).digests, *images.digests}) == 40


def test_the_augmentation_is_moco_v2s():
    crop, jitter, grey, blur, flip = moco_v2(224).transforms
    assert (tuple(crop.size), tuple(crop.scale)) == ((224, 224), (0.2, 1.0))
    inner = jitter.transforms[0]
    assert (jitter.p, grey.p, blur.p, flip.p) == (0.8, 0.2, 0.5, 0.5)
    assert [tuple(round(v, 2) for v in x) for x in (inner.brightness, inner.contrast, inner.saturation, inner.hue)] == [
        *[(0.6, 1.4)] * 3, (-0.1, 0.1)
    ]  # fmt: skip


def test_cached_views_give_two_different_views_of_each_image(encoder, task):
    both = [task.images.select(domain) for domain in ("ink", "line")]
    views = CachedViews(encoder, both, 3, progress=False)
    ids, first, second = next(iter(views.epoch([torch.arange(13)] * 2, 13, torch.Generator())))
    tables = [views.views[:60].unflatten(0, (20, 3)), views.views[60:].unflatten(0, (13, 3))]  # (N, V, W)
    drawn = zip(torch.cat(ids).tolist(), [0] * 13 + [1] * 13, first, second)
    for i, domain, x, y in drawn:
        places = [int((tables[domain][i] == row).all(dim=1).nonzero()[0]) for row in (x, y)]
        assert places[0] != places[1]
    plain = uncropped(encoder).embed_images(viewed(both[1], 2, 32), progress=False)
    torch.testing.assert_close(tables[1][:, 2], plain)


def test_pixel_views_change_from_epoch_to_epoch(encoder, task):
    both = [task.images.select(domain) for domain in ("ink", "line")]
    views, generator = PixelViews(encoder, both), torch.Generator().manual_seed(0)
    orders = [torch.arange(8), torch.arange(8)]
    epochs = [list(views.epoch(orders, 4, generator)) for _ in range(2)]
    assert [len(steps) for steps in epochs] == [2, 2] and epochs[0][0][1].shape == (8, 3, 32, 32)
    assert not torch.equal(epochs[0][0][1], epochs[1][0][1])
    assert not torch.equal(epochs[0][0][1], epochs[0][0][2])


# ---- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes, steps", [((20, 5), 4), ((6, 5), 2)])
def test_a_domain_smaller_than_a_batch_is_repeated_and_two_make_one_smaller_step(encoder, sizes, steps):
    found = train(encoder, toy_task(shapes(sizes)), epochs=2, full_from=1)
    assert found.states[LAST_EPOCH][0].steps == steps and math.isfinite(found.history[-1]["L_IW"])


def test_training_images_are_drawn_from_each_domain(encoder, task):
    (made,) = train(encoder, task, train_images=9, epochs=1, cluster_from=0, full_from=1).trainings
    assert [len(images) for images in made.by_domain] == [9, 9] and "at most 9" in made.train_set
    assert set(made.images.keys) < set(task.images.keys)


SMALL = {"images": shapes((20, 5))}


@pytest.mark.parametrize(
    "method, settings, protocol, value",
    [
        ("UCDIR", {"train_images": -1}, {}, "-1"),
        ("UCDIR", {"full_from": 0, "cluster_from": 10}, {}, "full_from .0.* cluster_from .10."),
        ("UCDIR", {"trains": "trunk"}, {}, "'trunk'"),
        ("UCDIR", {"named": "as read"}, {}, "as read"),
        ("UCDIR", {"clusters": 9}, SMALL, "9 clusters.* 5 training images of line"),
        ("ProtoNCE", {"clusters": 20}, SMALL, "40 clusters.* 25 training images in both"),
        ("UCDIR", {}, {"train_domains": ("ink",)}, "line"),
        ("UCDIR", {}, {"seen": ("disc",)}, "K = 1"),
        ("UCDIR", {}, {"images": shapes((20, 0))}, "domain line"),
    ],
)
def test_bad_input_is_refused_in_one_line(encoder, task, method, settings, protocol, value):
    with pytest.raises(CdirError, match=value) as error:
        train(encoder, replace(task, **protocol), method, **settings)
    assert "\n" not in str(error.value)


# ---- MoCo v2's checkpoint --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moco_state() -> dict[str, torch.Tensor]:
    """A checkpoint in MoCo's form: a ResNet-50 of random weights, and a head."""
    model = load_encoder("timm:resnet50:random").model
    head = {"fc.0.weight": (2048, 2048), "fc.0.bias": (2048,), "fc.2.weight": (128, 2048), "fc.2.bias": (128,)}
    state = {**model.state_dict(), **{name: torch.full(shape, 0.01) for name, shape in head.items()}}
    return {f"{PREFIX}{name}": x for name, x in state.items()} | {"module.queue": torch.zeros(128, 4)}


def test_a_moco_checkpoint_gives_trunk_and_head(moco_state, tmp_path):
    torch.save({"state_dict": moco_state, "epoch": 200}, tmp_path / "moco_v2.pth.tar")
    encoder = load_encoder(f"moco-v2:{tmp_path / 'moco_v2.pth.tar'}")
    head = encoder.built.head
    assert load_encoder("mobilenet-v2").built.head is None
    assert torch.equal(encoder.model.conv1.weight, moco_state[f"{PREFIX}conv1.weight"])
    assert encoder.identity.startswith("moco-v2:moco_v2.pth.tar") and "random" not in encoder.identity
    network = Network(torch.nn.Identity(), 2048, UcdirSettings(), 0)
    network.load_head(head)
    assert torch.equal(network.head[2].weight, moco_state[f"{PREFIX}fc.2.weight"])
    narrow = Network(torch.nn.Identity(), 2048, UcdirSettings(hidden=16), 0)
    with pytest.raises(CdirError, match="head has shapes .* change hidden or dim"):
        narrow.load_head(head)


def test_a_checkpoints_head_belongs_to_the_whole_network_only(encoder, task):
    shapes = {"0.weight": (32, encoder.dim), "0.bias": (32,), "2.weight": (8, 32), "2.bias": (8,)}
    head = {name: torch.full(shape, 0.5) for name, shape in shapes.items()}
    with_head = replace(load_encoder("timm:test_efficientnet:random").built, head=head)
    for trains in ("all", "head"):
        made = training(encoder, task, trains=trains, hidden=32, dim=8)
        made.encoder.built, before = with_head, made.encoder.built
        network = made.make_network()
        made.encoder.built = before
        assert torch.equal(network.head[2].weight, head["2.weight"]) == (trains == "all")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda s: s.pop(f"{PREFIX}fc.0.weight"), "fc.0.weight"),
        (lambda s: s.update({f"{PREFIX}conv1.weight": torch.zeros(3)}), "conv1.weight"),
        (lambda s: s.update({f"{PREFIX}fc.weight": torch.zeros(3)}), "fc.weight"),
    ],
)
def test_a_checkpoint_with_other_shapes_is_refused(moco_state, tmp_path, change, said):
    state = {name: x.half() for name, x in moco_state.items()}
    change(state)
    torch.save({"state_dict": state}, tmp_path / "moco.pth")
    with pytest.raises(CdirError, match=said):
        load_encoder(f"moco-v2:{tmp_path / 'moco.pth'}")


@pytest.mark.parametrize("name", ["damaged.pth", "missing.pth"])
def test_a_damaged_or_missing_checkpoint_is_refused(tmp_path, name):
    (tmp_path / "damaged.pth").write_bytes(b"nothing")
    with pytest.raises(CdirError, match=name):
        load_encoder(f"moco-v2:{tmp_path / name}")
