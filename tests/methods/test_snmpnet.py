"""SnMpNet's network, training and baselines on small pictures and a small random backbone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cdir_nb.methods.snmpnet.baselines.frozen import frozen_backbone
from cdir_nb.methods.snmpnet.head import SnMpNetHead
from cdir_nb.methods.snmpnet.trainer import SnMpNetTraining
from PIL import Image

from cdir_nb.conventions import BY_VALIDATION_CLASSES, LAST_EPOCH
from cdir_nb.data import MetricSpec, Protocol
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import load_encoder
from cdir_nb.errors import CdirError
from cdir_nb.methods import snmpnet
from cdir_nb.methods.snmpnet.baselines.doodle import REVERSAL, GradientReversal
from cdir_nb.methods.snmpnet.baselines.queue import FeatureQueue
from cdir_nb.methods.snmpnet.losses import mixture_prediction, mixup_cross_entropy, semantic_neighbourhood
from cdir_nb.methods.snmpnet.network import Batch, Setup, SoftAttention
from cdir_nb.methods.snmpnet.settings import SnMpNetConfig
from cdir_nb.results import measure

CLASSES = ("red", "green", "blue", "grey", "pink", "teal")
COLOURS = dict(
    zip(CLASSES, [(200, 20, 20), (20, 200, 20), (20, 20, 200), (90, 90, 90), (220, 120, 160), (0, 120, 130)])
)
DOMAINS = ("photo", "sketch", "clipart")
QUICK = SnMpNetConfig(
    trains="head", side=64, optimizer="Adam", learning_rate=1e-2, batch_size=6, epochs=4, decay_epochs=4, pools=2
)


def picture(key: str) -> Image.Image:
    """A class is a colour, a domain its brightness, a file a bar at some place."""
    domain, label, number = key.split("/")
    pixels = np.full((48, 48, 3), COLOURS[label], float) * (1.0, 0.7, 0.4)[DOMAINS.index(domain)]
    pixels[:, 6 * int(number) : 6 * int(number) + 3] = 255
    return Image.fromarray(pixels.astype(np.uint8))


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def task() -> Protocol:
    """Four classes to train on in two domains, one for validation; the unseen domain clipart asks for photos."""
    rows = [(d, c, f"{d}/{c}/{n}") for d in DOMAINS for c in CLASSES for n in range(6)]
    domains, labels, keys = zip(*rows)
    images = ImageSet(keys, np.array(domains), np.array(labels), picture, keys)
    return Protocol(
        *("toy-ucdr", "toy", "", "", True, CLASSES[:4], CLASSES[5:], CLASSES[5:], CLASSES[5:], DOMAINS[:2]),
        directions=(("clipart", "photo"),),
        metrics=(MetricSpec(kind="precision", k=3, convention="hits_over_k", paper="", known="our default"),),
        images=images,
        validation=(CLASSES[4],),
        unseen_domain=True,
    )


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("timm:test_efficientnet:random", device="cpu")


@pytest.fixture(scope="module")
def semantics() -> snmpnet.Semantics:
    """Vectors of the seen classes only."""
    vectors = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    return snmpnet.Semantics(CLASSES[:4], vectors, "toy vectors")


def train(encoder, task, semantics, method="SnMpNet", config=QUICK, **changed):
    head, config = snmpnet.variant(method, config.changed(**changed))
    return snmpnet.fit(encoder, task, semantics, config, make_head=head, name=method, progress=False)


# ---- the network ------------------------------------------------------------------------------------------------


def test_attention_is_two_convolutions_a_softmax_over_places_and_a_residual():
    torch.manual_seed(0)
    attention, maps = SoftAttention(5, 3).double(), torch.randn(2, 5, 4, dtype=torch.double)
    mask = torch.stack([attention.second(attention.first(maps[:, :, p]))[:, 0] for p in range(4)], 1).softmax(1)
    found, written_out = attention(maps), (maps + maps * mask[:, None]).mean(2)
    torch.testing.assert_close(found, written_out)
    gradients = [torch.autograd.grad(x.square().sum(), attention.first.weight)[0] for x in (found, written_out)]
    torch.testing.assert_close(*gradients)


def batch_of(pooled: torch.Tensor) -> Batch:
    ones = torch.arange(len(pooled)) % 2
    ratio = torch.linspace(0, 1, len(pooled)).to(pooled)
    return Batch({"mixed": pooled, "plain": pooled}, ones, 1 - ones, ratio, ones, ones, {}, np.random.default_rng(0))


@pytest.mark.parametrize("chained", [True, False])
def test_equation_10_weighs_the_losses_of_chained_and_parallel_heads(chained, encoder):
    torch.manual_seed(0)
    a, g = torch.randn(3, 8), torch.randn(4, 10)
    config = QUICK.changed(chained=chained, weight_mp=0.5, weight_sn=2.0, kappa=2.0)
    head, batch = SnMpNetHead(Setup(10, a, DOMAINS[:2], config, encoder)), batch_of(g)
    logits = head.mixture_layer(g)
    f = head.semantic_layer(logits if chained else g)
    mixed = torch.stack([r * a[i] + (1 - r) * a[j] for i, j, r in zip(*batch.mixed)])
    expected = mixup_cross_entropy(f, a, *batch.mixed) + 0.5 * mixture_prediction(logits, *batch.mixed)
    expected = expected + 2.0 * semantic_neighbourhood(f, mixed, a, 2.0)
    torch.testing.assert_close(sum(head.losses(batch).values()), expected)
    torch.testing.assert_close(head.embed(g, batch.domains), f)


def test_the_ablations_leave_out_what_they_say(encoder):
    def parts(name):
        _, config = snmpnet.variant(name, QUICK)
        head = SnMpNetHead(Setup(10, torch.randn(3, 8), DOMAINS[:2], config, encoder))
        return head.views, set(head.losses(batch_of(torch.randn(4, 10)))), config.kappa

    assert parts("Base N/W") == (("plain",), {"L_CE"}, 1.0)
    assert parts("Base N/W + L_Sn (κ = 0)") == (("plain",), {"L_CE", "L_Sn"}, 0.0)
    assert parts("Base N/W + L_Sn (κ = 2)") == (("plain",), {"L_CE", "L_Sn"}, 2.0)
    assert parts("Base N/W + L_CE^mix") == (("mixed",), {"L_CE"}, 1.0)
    assert parts("Base N/W + L_CE^mix + L_Mp") == (("mixed",), {"L_CE", "L_Mp"}, 1.0)
    assert parts("SnMpNet") == (("mixed",), {"L_CE", "L_Mp", "L_Sn"}, 1.0)
    with pytest.raises(CdirError, match="unknown method 'SAKE'; known: SnMpNet, Base N/W, "):
        snmpnet.variant("SAKE")


# ---- training ---------------------------------------------------------------------------------------------------


def test_heads_learn_on_a_frozen_trunk(encoder, task, semantics):
    before = {name: x.clone() for name, x in encoder.model.state_dict().items()}
    found = train(encoder, task, semantics, epochs=12)
    assert found.history[-1]["L_CE"] < found.history[0]["L_CE"] and found.history[-1]["L_Sn"] < found.history[0]["L_Sn"]
    assert all(torch.equal(x, before[name]) for name, x in encoder.model.state_dict().items())
    emb = found.embed(task.images, progress=False)
    assert emb.shape == (108, 8) and emb.dtype == torch.float32 and bool(torch.isfinite(emb).all())
    assert "not the paper's training" in found.train_set and found.similarity == "euclidean"
    torch.testing.assert_close(emb[:5], found.embed(task.images.take(range(5)), progress=False))


def test_the_state_with_the_best_validation_score_is_kept(encoder, task, semantics):
    found = train(encoder, task, semantics)
    scores = [row["validation mAP@200"] for row in found.history]
    assert found.selection == BY_VALIDATION_CLASSES and len(found.history) == 4
    assert found.chosen == 0 or scores[found.chosen - 1] == max(scores)
    assert found.steps == found.chosen * 8  # 24 images of each domain, 3 of each a batch
    without = train(encoder, replace(task, validation=()), semantics)
    assert without.selection == LAST_EPOCH and without.chosen == 4


def test_the_weights_are_those_of_the_chosen_epoch(encoder, task, semantics, monkeypatch):
    scores = iter([0.1, 0.2, 0.5, 0.3, 0.4])  # before training, then after each epoch
    monkeypatch.setattr(SnMpNetTraining, "validate", lambda self: next(scores))
    found = train(encoder, task, semantics, learning_rate=2e-2)
    emb, kept = found.embed(task.query("clipart")), {e: found.at_epoch(e) for e in (2, 4)}
    assert found.chosen == 2 and found.steps == kept[2].steps
    assert torch.equal(emb, kept[2].embed(task.query("clipart")))
    assert not torch.equal(emb, kept[4].embed(task.query("clipart")))


def test_a_finished_training_comes_from_the_cache_and_earlier_epochs_can_be_opened(
    encoder, task, semantics, monkeypatch
):
    first = train(encoder, task, semantics, epochs=3)
    monkeypatch.setattr(SnMpNetTraining, "run_epoch", None)  # a second training would fail
    again, query = train(encoder, task, semantics, epochs=3), task.query("clipart")
    assert torch.equal(first.embed(query, progress=False), again.embed(query, progress=False))
    start = again.at_epoch(0)
    assert start.steps == 0 and not torch.equal(start.embed(query), again.at_epoch(2).embed(query))
    with pytest.raises(CdirError, match="the state after epoch 7 was not kept; kept: 0, 1, 2"):
        again.at_epoch(7)


def test_the_whole_network_is_trained_as_in_the_paper(encoder, task, semantics):
    before = {name: x.clone() for name, x in encoder.model.state_dict().items()}
    how = {"trains": "all", "optimizer": "SGD", "learning_rate": 1e-3, "epochs": 1}
    found = train(encoder, replace(task, validation=()), semantics, **how)  # so that the last epoch counts
    assert (
        found.chosen == 1 and found.history[0]["moved, trunk"] > 0 and "not the paper's training" not in found.train_set
    )
    assert all(torch.equal(x, before[name]) for name, x in encoder.model.state_dict().items())
    assert found.embed(task.query("clipart")).shape == (6, 8)
    records = measure(found, task)
    assert {r.method for r in records} == {"SnMpNet"} and all(r.encoder == found.encoder.identity for r in records)


def test_settings_as_released_train_too(encoder, task, semantics):
    how = {
        "curriculum": True,
        "chained": False,
        "unit_semantics": False,
        "invert": ("sketch",),
        "pools": 6,
        "epochs": 6,
    }
    released, written = train(encoder, task, semantics, **how), train(encoder, task, semantics)
    assert released.network.head.semantic_layer.in_features == released.encoder.channels
    assert written.network.head.semantic_layer.in_features == 4  # chained: it reads the class logits
    torch.testing.assert_close(released.network.head.semantics, semantics.vectors)
    torch.testing.assert_close(written.network.head.semantics.norm(dim=1), torch.ones(4))
    photo, sketch = (task.images.select(domain, ["red"]) for domain in DOMAINS[:2])
    as_photo = replace(sketch, domains=photo.domains)  # the same pictures, not inverted
    assert not torch.allclose(released.embed(sketch), released.embed(as_photo))
    torch.testing.assert_close(written.embed(sketch), written.embed(as_photo))


@pytest.mark.parametrize("method", snmpnet.VARIANTS)
def test_every_method_of_the_harness_trains_and_retrieves(encoder, task, semantics, method, monkeypatch):
    monkeypatch.setattr(
        "cdir_nb.methods.snmpnet.baselines.sake.imagenet_classifier", lambda e: torch.nn.Linear(found_channels(e), 9)
    )
    found = train(encoder, task, semantics, method, epochs=2)
    assert all(np.isfinite(value) for row in found.history for value in row.values())
    assert bool(torch.isfinite(found.embed(task.gallery("photo"), progress=False)).all())
    if method in snmpnet.TOLD_THE_DOMAIN:
        with pytest.raises(CdirError, match="SAKE with domain label knows photo, sketch only"):
            found.embed(task.query("clipart"), progress=False)
    else:
        assert bool(torch.isfinite(found.embed(task.query("clipart"), progress=False)).all())


def found_channels(encoder) -> int:
    return encoder.channels


def test_the_frozen_backbone_pools_its_maps(encoder, task):
    frozen = frozen_backbone(encoder, QUICK)
    pixels = frozen.encoder.preprocess(task.images.image(3))[None]
    with torch.no_grad():
        pooled = encoder.model.forward_features(pixels).mean((2, 3))
    torch.testing.assert_close(frozen.embed(task.images.take([3])), pooled, atol=1e-3, rtol=1e-2)
    assert frozen.steps == 0


# ---- parts of the baselines -------------------------------------------------------------------------------------


def test_triplets_from_the_queue_written_out():
    queue, rng = FeatureQueue(3).double(), torch.Generator().manual_seed(0)
    kept, labels = torch.randn(6, 3, generator=rng, dtype=torch.double), torch.tensor([0, 0, 1, 1, 2, 2])
    queue.add(kept, labels, labels)
    x, y, total = torch.randn(3, 3, generator=rng, dtype=torch.double), torch.tensor([0, 1, 5]), 0.0
    for f, label in zip(x[:2], y[:2]):  # class 5 has no positive
        d = [float((f - other).square().sum()) for other in kept]
        far = max(value for value, own in zip(d, labels) if own == label)
        near = sorted(value for value, own in zip(d, labels) if own != label)[:2]
        total += sum(max(0.0, 1.5 + far - value) for value in near)
    assert float(queue.triplet(x, y, 1.5, 2)) == pytest.approx(total / 4)
    assert float(FeatureQueue(3).triplet(x.float(), y, 1.5, 2)) == 0  # nothing in the queue yet


def test_a_full_queue_forgets_the_oldest():
    queue = FeatureQueue(1)
    for start in range(0, 2048, 256):
        numbers = torch.arange(start, start + 256)
        queue.add(numbers[:, None].float(), numbers, numbers)
    assert sorted(queue.labels.tolist()) == list(range(1024, 2048))
    assert torch.equal(queue.features[:, 0].long(), queue.labels)


def test_the_reversed_gradient():
    x = torch.ones(2, requires_grad=True)
    (3 * GradientReversal.apply(x)).sum().backward()
    assert x.grad.tolist() == [-3 * REVERSAL] * 2


# ---- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_domains": ("photo", "clipart")}, "clipart is held out as the unseen domain, but also trained on"),
        ({"classes": CLASSES[3:]}, "training and query classes overlap [(]grey[)]"),
        ({"validation": CLASSES[2:4]}, "training and validation classes overlap [(]blue, grey[)]"),
        ({"train_domains": ("photo",)}, "several domains, got photo: train on two or more"),
        ({"seen": ()}, "toy-ucdr has no training images"),
    ],
)
def test_tasks_that_cannot_be_trained_on(encoder, task, semantics, changed, message):
    with pytest.raises(CdirError, match=message):
        train(encoder, replace(task, **changed), semantics)


def test_other_bad_input(encoder, task, semantics):
    with pytest.raises(CdirError, match="toy vectors has no vector for pink"):
        train(encoder, replace(task, seen=CLASSES[:5], validation=()), semantics)
    with pytest.raises(CdirError, match="a batch of 7 cannot hold equally many images of 2 domains"):
        train(encoder, task, semantics, batch_size=7)
    with pytest.raises(CdirError, match="the loss is not finite in epoch 1: lower learning_rate, now 1e[+]12"):
        train(encoder, task, semantics, optimizer="SGD", learning_rate=1e12)
    with pytest.raises(CdirError, match="tiny-clip is a CLIP model, and a backbone is needed"):
        snmpnet.fit(load_encoder("tiny-clip"), task, semantics, QUICK)
    with pytest.raises(CdirError, match="has no feature map: choose a convolutional backbone"):
        snmpnet.fit(load_encoder("timm:test_vit:random"), task, semantics, QUICK.changed(side=160))
    with pytest.raises(CdirError, match='unknown settings "paper"; known: as written; as released'):
        snmpnet.named_config("paper")
    with pytest.raises(CdirError, match="SAKE learns from the backbone's ImageNet classifier, which timm:test_eff"):
        train(encoder, task, semantics, "SAKE-512")


def test_named_settings_differ_as_paper_and_code_do():
    written, released = (snmpnet.named_config(name) for name in ("as written", "as released"))
    assert (written.chained, written.nesterov, written.curriculum, written.invert) == (True, True, False, ())
    assert (released.chained, released.nesterov, released.curriculum) == (False, False, True)
    assert released.invert == ("sketch", "quickdraw") and written.unit_semantics and not released.unit_semantics
    assert {c.trains for name, c in snmpnet.CONFIGS.items() if "two cores" in name} == {"head"}
