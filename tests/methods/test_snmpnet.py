"""SnMpNet's network, training and baselines on small pictures and a small random backbone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

from cdir_nb.conventions import BY_VALIDATION_CLASSES, LAST_EPOCH, NOTHING_SELECTED
from cdir_nb.data import MetricSpec, Protocol
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import load_encoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.method import Fitted
from cdir_nb.methods.snmpnet import BASELINES, SNMPNET, SnMpNetSettings
from cdir_nb.methods.snmpnet.baselines.doodle import REVERSAL, GradientReversal
from cdir_nb.methods.snmpnet.baselines.queue import FeatureQueue
from cdir_nb.methods.snmpnet.harness import HarnessTraining
from cdir_nb.methods.snmpnet.losses import mixture_prediction, mixup_cross_entropy, semantic_neighbourhood
from cdir_nb.methods.snmpnet.method import SnMpNetHead
from cdir_nb.methods.snmpnet.network import Batch, Setup, SoftAttention
from cdir_nb.methods.table import METHODS, fit
from cdir_nb.methods.training import TrainedEmbedder
from cdir_nb.results import measure

CLASSES = ("red", "green", "blue", "grey", "pink", "gold", "teal")
COLOURS = dict(
    zip(
        CLASSES,
        [(200, 20, 20), (20, 200, 20), (20, 20, 200), (90, 90, 90), (220, 120, 160), (210, 170, 0), (0, 120, 130)],
    )
)
DOMAINS = ("photo", "sketch", "clipart")
QUICK = {
    "trains": "head",
    "image_size": 64,
    "optimizer": "Adam",
    "learning_rate": 1e-2,
    "batch_size": 6,
    "epochs": 4,
    "decay_epochs": 4,
    "pools": 2,
}
NAMES = [*SNMPNET.variants, "SnMpNet", *(row.name for row in BASELINES)]


def picture(key: str) -> Image.Image:
    """A class is a colour, a domain its brightness, a file a bar at some place."""
    domain, label, number = key.split("/")
    pixels = np.full((48, 48, 3), COLOURS[label], float) * (1.0, 0.7, 0.4)[DOMAINS.index(domain)]
    pixels[:, 6 * int(number) : 6 * int(number) + 3] = 255
    return Image.fromarray(pixels.astype(np.uint8))


pytestmark = [pytest.mark.medium, pytest.mark.usefixtures("own_cache")]


@pytest.fixture(scope="module")
def task() -> Protocol:
    """Four classes to train on in two domains, two for validation; the unseen domain clipart asks for photos."""
    rows = [(d, c, f"{d}/{c}/{n}") for d in DOMAINS for c in CLASSES for n in range(6)]
    domains, labels, keys = zip(*rows)
    images = ImageSet(keys, np.array(domains), np.array(labels), picture, keys)
    return Protocol(
        *("toy-ucdr", "toy", "", "", True, CLASSES[:4], CLASSES[6:], CLASSES[6:], CLASSES[6:], DOMAINS[:2]),
        directions=(("clipart", "photo"),),
        metrics=(MetricSpec(kind="precision", k=3, convention="hits_over_k", paper="", known="our default"),),
        images=images,
        validation=CLASSES[4:6],
        unseen_domain=True,
    )


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("timm:test_efficientnet:random", device="cpu")


VECTORS = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def semantics(tmp_path_factory) -> str:
    """A file with vectors of the seen classes only."""
    file = tmp_path_factory.mktemp("vectors") / "toy.npz"
    np.savez(file, names=CLASSES[:4], vectors=VECTORS.numpy())
    return str(file)


def train(encoder, task, semantics, name="SnMpNet", **changed) -> Fitted:
    """A method or a variant of SnMpNet by name."""
    settings = {**QUICK, "semantics": semantics, **changed}
    method, variant = (name, None) if name in METHODS else ("SnMpNet", name)
    return fit(method, encoder, task, variant=variant, settings=settings, progress=False)


def selected(fitted: Fitted) -> TrainedEmbedder:
    """The state with the best score on validation classes."""
    (embedder,) = fitted.states[BY_VALIDATION_CLASSES]
    return embedder


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
    return Batch({}, ones, 1 - ones, ratio, ones, ones, np.random.default_rng(0))


def losses_of(head: SnMpNetHead, pooled: torch.Tensor) -> dict[str, torch.Tensor]:
    return head.losses({"mixed": pooled, "plain": pooled}, batch_of(pooled))


@pytest.mark.parametrize("chained", [True, False])
def test_equation_10_weighs_the_losses_of_chained_and_parallel_heads(chained, encoder):
    torch.manual_seed(0)
    a, g = torch.randn(3, 8), torch.randn(4, 10)
    settings = SnMpNetSettings(chained=chained, weight_mp=0.5, weight_sn=2.0, kappa=2.0)
    head, batch = SnMpNetHead(Setup(10, a, DOMAINS[:2], settings, encoder)), batch_of(g)
    logits = head.mixture_layer(g)
    f = head.semantic_layer(logits if chained else g)
    mixed = torch.stack([r * a[i] + (1 - r) * a[j] for i, j, r in zip(*batch.mixed)])
    expected = mixup_cross_entropy(f, a, *batch.mixed) + 0.5 * mixture_prediction(logits, *batch.mixed)
    expected = expected + 2.0 * semantic_neighbourhood(f, mixed, a, 2.0)
    torch.testing.assert_close(sum(losses_of(head, g).values()), expected)
    torch.testing.assert_close(head.embed(g, batch.domains), f)


@pytest.mark.parametrize(
    ("name", "view", "names", "kappa"),
    [
        ("Base N/W", "plain", {"L_CE"}, 1.0),
        ("Base N/W + L_Sn (κ = 0)", "plain", {"L_CE", "L_Sn"}, 0.0),
        ("Base N/W + L_Sn (κ = 2)", "plain", {"L_CE", "L_Sn"}, 2.0),
        ("Base N/W + L_CE^mix", "mixed", {"L_CE"}, 1.0),
        ("Base N/W + L_CE^mix + L_Mp", "mixed", {"L_CE", "L_Mp"}, 1.0),
        ("SnMpNet", "mixed", {"L_CE", "L_Mp", "L_Sn"}, 1.0),
    ],
)
def test_the_ablations_leave_out_losses(encoder, name, view, names, kappa):
    settings = SNMPNET.configured(variant=name)
    head = SnMpNetHead(Setup(10, torch.randn(3, 8), DOMAINS[:2], settings, encoder))
    assert (head.views, set(losses_of(head, torch.randn(4, 10))), settings.kappa) == ((view,), names, kappa)


# ---- training ---------------------------------------------------------------------------------------------------


def test_heads_learn_on_a_frozen_trunk(encoder, task, semantics):
    before = {name: x.clone() for name, x in encoder.model.state_dict().items()}
    fitted = train(encoder, task, semantics, epochs=12)
    first, *_, last = fitted.history
    assert last["L_CE"] < first["L_CE"] and last["L_Sn"] < first["L_Sn"]
    assert all(torch.equal(x, before[name]) for name, x in encoder.model.state_dict().items())
    found = selected(fitted)
    emb = found.embed(task.images, progress=False)
    assert emb.shape == (126, 8) and emb.dtype == torch.float32 and bool(torch.isfinite(emb).all())
    assert "not the paper's training" in found.train_set and found.similarity == "euclidean"
    torch.testing.assert_close(emb[:5], found.embed(task.images.take(range(5)), progress=False))


def test_without_validation_classes_the_last_epoch_is_used(encoder, task, semantics):
    fitted = train(encoder, replace(task, validation=()), semantics)
    assert list(fitted.states) == [LAST_EPOCH] and fitted.states[LAST_EPOCH][0].epoch == 4


def test_the_score_is_the_mean_over_training_domains_other_than_the_gallery(encoder, task, semantics):
    fitted = train(encoder, task, semantics, validation_fraction=1.0)
    (last,) = fitted.states[LAST_EPOCH]
    query, gallery = (task.images.select(domain, CLASSES[4:6]) for domain in ("sketch", "photo"))
    assert len(query) == len(gallery) == 12
    scores = -torch.cdist(last.embed(query, progress=False), last.embed(gallery, progress=False))
    relevant = query.labels[:, None] == gallery.labels
    by_sklearn = np.mean([average_precision_score(*row) for row in zip(relevant, scores.numpy())])
    assert fitted.history[-1][BY_VALIDATION_CLASSES] == pytest.approx(by_sklearn, abs=1e-5)


def test_one_validation_class_is_refused_since_every_ranking_has_the_same_score(encoder, task, semantics):
    with pytest.raises(CdirError, match="more than 1 validation classes"):
        train(encoder, replace(task, validation=CLASSES[4:5]), semantics)


def test_a_finished_training_comes_from_the_cache_and_earlier_epochs_can_be_opened(
    encoder, task, semantics, monkeypatch
):
    first = train(encoder, task, semantics, epochs=3)
    monkeypatch.setattr(HarnessTraining, "losses", None)  # a second training would fail
    again, query = train(encoder, task, semantics, epochs=3), task.query("clipart")
    for rule in (BY_VALIDATION_CLASSES, LAST_EPOCH):
        assert torch.equal(first.states[rule][0].embed(query), again.states[rule][0].embed(query))
    start, later = again.at_epoch(0)[0], again.at_epoch(2)[0]
    assert again.stored_epochs == (0, 1, 2) and not torch.equal(start.embed(query), later.embed(query))


def test_other_class_vectors_are_another_training(encoder, task, semantics, tmp_path):
    same, other = tmp_path / "toy.npz", tmp_path / "other" / "toy.npz"
    other.parent.mkdir()
    np.savez(same, names=CLASSES[:4], vectors=VECTORS.numpy())
    np.savez(other, names=CLASSES[:4], vectors=VECTORS.numpy() + 1)
    found = [selected(train(encoder, task, str(file), epochs=1)) for file in (semantics, same, other)]
    recorded = [one.settings["semantics"] for one in found]  # name and digest, not the folder
    assert recorded[0] == recorded[1] != recorded[2] and str(tmp_path) not in recorded[1]
    keys = [one.training.inputs()["class vectors"] for one in found]
    assert keys[0] == keys[1] != keys[2]


def test_fewer_training_images_of_each_class_and_domain(encoder, task, semantics):
    found = selected(train(encoder, task, semantics, train_images=3, epochs=1))
    groups = list(zip(found.training_images.domains, found.training_images.labels))
    assert len(groups) == 4 * 2 * 3 and set(map(groups.count, groups)) == {3}
    assert found.settings["train_images"] == 3 and "24 images of toy-ucdr" in found.train_set


def test_the_whole_network_is_trained_as_in_the_paper(encoder, task, semantics):
    before = {name: x.clone() for name, x in encoder.model.state_dict().items()}
    how = {"trains": "all", "optimizer": "SGD", "learning_rate": 1e-3, "epochs": 1}
    fitted = train(encoder, task, semantics, **how)
    (found,) = fitted.states[LAST_EPOCH]
    assert found.epoch == 1 and fitted.history[0]["moved, trunk"] > 0
    assert "not the paper's training" not in found.train_set and fitted.stored_epochs == ()
    assert all(torch.equal(x, before[name]) for name, x in encoder.model.state_dict().items())
    assert found.embed(task.query("clipart")).shape == (6, 8)
    records = measure(found, task)
    assert {r.method for r in records} == {"SnMpNet"} and all(r.encoder == found.encoder.identity for r in records)


@pytest.mark.slow
def test_settings_as_released_train_too(encoder, task, semantics):
    how = {"curriculum": True, "chained": False, "unit_semantics": False, "invert": ("sketch",), "pools": 6}
    released, written = (selected(train(encoder, task, semantics, **changed)) for changed in ({**how, "epochs": 6}, {}))
    assert released.model.head.semantic_layer.in_features == released.encoder.channels
    assert written.model.head.semantic_layer.in_features == 4  # chained: it reads the class logits
    torch.testing.assert_close(released.model.head.semantics, VECTORS)
    torch.testing.assert_close(written.model.head.semantics.norm(dim=1), torch.ones(4))
    photo, sketch = (task.images.select(domain, ["red"]) for domain in DOMAINS[:2])
    as_photo = replace(sketch, domains=photo.domains)  # the same pictures, not inverted
    assert not torch.allclose(released.embed(sketch), released.embed(as_photo))
    torch.testing.assert_close(written.embed(sketch), written.embed(as_photo))


@pytest.mark.parametrize("name", NAMES)
def test_every_method_of_the_harness_trains_and_retrieves(encoder, task, semantics, name, monkeypatch):
    monkeypatch.setattr(
        "cdir_nb.methods.snmpnet.baselines.sake.imagenet_classifier", lambda e: torch.nn.Linear(e.channels, 9)
    )
    fitted = train(encoder, task, semantics, name, epochs=2)
    assert all(np.isfinite(value) for row in fitted.history for value in row.values() if not isinstance(value, str))
    found = selected(fitted)
    assert bool(torch.isfinite(found.embed(task.gallery("photo"), progress=False)).all())
    assert found.name == name and found.serves(task) == (name != "SAKE-512")
    if found.serves(task):
        assert bool(torch.isfinite(found.embed(task.query("clipart"), progress=False)).all())
    else:
        with pytest.raises(CdirError, match="photo and sketch.* clipart"):
            found.embed(task.query("clipart"), progress=False)
        seen = replace(task, directions=(("sketch", "photo"),), unseen_domain=False)
        assert found.serves(seen) and measure(found, seen)


def test_the_frozen_backbone_pools_its_maps(encoder, task):
    fitted = fit("frozen backbone", encoder, task, settings={"image_size": 64})
    (frozen,) = fitted.states[NOTHING_SELECTED]
    pixels = frozen.encoder.preprocess(task.images.image(3))[None]
    with torch.no_grad():
        pooled = encoder.model.forward_features(pixels).mean((2, 3))
    torch.testing.assert_close(frozen.embed(task.images.take([3])), pooled, atol=1e-3, rtol=1e-2)
    assert frozen.steps == 0 and frozen.settings == {"image_size": 64, "invert": []}
    (inverted,) = fit("frozen backbone", encoder, task, settings={"invert": ("photo",)}).states[NOTHING_SELECTED]
    assert not torch.allclose(inverted.embed(task.images.take([3])), frozen.embed(task.images.take([3])), atol=1e-2)


def test_the_frozen_start_is_the_encoder_itself(encoder, task):
    images = task.images.take(range(5))
    (plain,) = fit("frozen start", encoder, task).states[NOTHING_SELECTED]
    expected = encoder.embed_images(images, progress=False)
    torch.testing.assert_close(plain.embed(images), expected / expected.norm(dim=1, keepdim=True))
    (small,) = fit("frozen start", encoder, task, settings={"image_size": 48}).states[NOTHING_SELECTED]
    assert small.encoder.identity != plain.encoder.identity and small.settings == {"image_size": 48}
    clip = load_encoder("tiny-clip", device="cpu")
    (of_clip,) = fit("frozen start", clip, task, settings={"image_size": 48}).states[NOTHING_SELECTED]
    cosines = torch.nn.functional.cosine_similarity(of_clip.embed(images), clip.embed_images(images))
    torch.testing.assert_close(cosines, torch.ones(5))


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
    ("changed", "value"),
    [
        ({"train_domains": ("photo", "clipart")}, "clipart is held out"),
        ({"classes": CLASSES[3:]}, "query .*grey"),
        ({"validation": CLASSES[2:4]}, "validation .*blue, grey"),
        ({"train_domains": ("photo",)}, "got photo"),
        ({"seen": ()}, "toy-ucdr"),
        ({"seen": CLASSES[:5], "validation": ()}, r"toy.npz \[.*\] .*pink"),
    ],
)
def test_tasks_that_cannot_be_trained_on(encoder, task, semantics, changed, value):
    with pytest.raises(CdirError, match=value):
        train(encoder, replace(task, **changed), semantics)


@pytest.mark.parametrize(
    ("name", "model", "changed", "value"),
    [
        ("CVAE", "", {"semantics": ""}, "semantics"),
        ("SnMpNet", "", {"batch_size": 7}, "batch of 7"),
        ("SnMpNet", "", {"optimizer": "SGD", "learning_rate": 1e12}, "1e[+]12"),
        ("SnMpNet", "tiny-clip", {}, "tiny-clip"),
        ("SnMpNet", "timm:test_vit:random", {"image_size": 160}, "test_vit"),
        ("SAKE-512", "", {}, "timm:test_efficientnet"),
        ("CVAE", "", {"kappa": 2.0}, "kappa"),
    ],
)
def test_settings_and_encoders_that_cannot_be_trained(encoder, task, semantics, name, model, changed, value):
    with pytest.raises(CdirError, match=value):
        train(load_encoder(model) if model else encoder, task, **{"semantics": semantics, "name": name, **changed})
