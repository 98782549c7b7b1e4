"""CLAIR's training on a small random CLIP: what moves, what it never reads, how it continues, and bad input."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from small_clip import make_encoder, make_timm_encoder
from toy_task import toy_task

from cdir_nb.conventions import BY_PSEUDO_LABELS, BY_SEEN_LABELS, LAST_EPOCH
from cdir_nb.data import load_protocol, object_names, open_dataset
from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError
from cdir_nb.methods.batches import pixel_batches, random_view
from cdir_nb.methods.checkpoints import cache_key
from cdir_nb.methods.clair import CLAIR, ClairSettings, ClairTraining
from cdir_nb.methods.clair import method as clair
from cdir_nb.methods.clair.data import Texts, images_of, mismatched, split, texts_of
from cdir_nb.methods.clair.losses import inter_cluster_loss, inter_domain_loss, inter_instance_loss
from cdir_nb.methods.clair.mapping import all_maps, text_pairs
from cdir_nb.methods.clair.pseudo_labels import RefinementConfig, kl
from cdir_nb.methods.table import fit
from cdir_nb.methods.training import TrainedEmbedder

pytestmark = pytest.mark.medium

NAMES = ("dog", "cat", "house")
OBJECTS = ["cup", "car", "tree", "boat"]
DOMAINS = ("sketch", "real")
QUICK = ClairSettings(prompts=2, epochs=2, batch_size=8, learning_rate=0.05, validation_per_class=4, patience=9)
WHOLE = QUICK.changed(validation_per_class=0)  # without a validation part


@pytest.fixture(autouse=True)
def few_objects(monkeypatch):
    """Four object names instead of the package's list."""
    monkeypatch.setattr("cdir_nb.methods.clair.data.object_names", lambda exclude: OBJECTS)


@pytest.fixture
def all_objects(few_objects, monkeypatch):
    monkeypatch.setattr("cdir_nb.methods.clair.data.object_names", object_names)


def pictures(labels=None, seed=0) -> ImageSet:
    """20 sketches and 14 photos of noise."""
    rng = np.random.default_rng(seed)
    domains = np.array(["sketch"] * 20 + ["real"] * 14)
    pixels = {f"{d}/x/{i}.png": rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for i, d in enumerate(domains)}
    digests = tuple(hashlib.sha256(p.tobytes()).hexdigest() for p in pixels.values())
    labels = np.array(NAMES)[np.arange(34) % 3] if labels is None else np.array(labels)
    return ImageSet(tuple(pixels), domains, labels, lambda key: Image.fromarray(pixels[key]), digests)


def make_task(images=None, seen=NAMES) -> Protocol:
    """A task of the drawn world's domains with training images of noise."""
    hat = ("hat",)
    classes = {"zero_shot": True, "seen": seen, "unseen": hat, "classes": hat, "gallery_classes": hat}
    directions = (DOMAINS, DOMAINS[::-1])
    return toy_task(images or pictures(), name="noise", train_domains=DOMAINS, directions=directions, **classes)


def prepared(settings=QUICK, task=None, encoder=None, seed=3, domains=DOMAINS, name="CLAIR") -> ClairTraining:
    how = {"name": name, "seed": seed, "progress": False}
    return ClairTraining(encoder or make_encoder(), task or make_task(), domains, settings, **how)


def started(settings=QUICK, **how) -> ClairTraining:
    training = prepared(settings, **how)
    training.begin()
    return training


def run(settings=QUICK, **how) -> ClairTraining:
    """A complete training, without the cache."""
    training = started(settings, **how)
    while not training.finished:
        training.run_epoch()
    return training


def embedder(training: ClairTraining, rule=LAST_EPOCH) -> TrainedEmbedder:
    return TrainedEmbedder(training, rule, *training.states()[rule])


def pixels_of(training: ClairTraining, rows: np.ndarray) -> torch.Tensor:
    return torch.cat(list(pixel_batches(training.encoder, training.images, rows, 64)))


def weights(training) -> dict[str, torch.Tensor]:
    return training.model.state_dict()


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def last():
    """Trained to the last epoch: without a validation part nothing is selected."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cdir_nb.methods.clair.data.object_names", lambda exclude: OBJECTS)
        return run(WHOLE)


# ---- what it learns ------------------------------------------------------------------------------------------------


def test_the_result_is_a_function_of_the_seed(last):
    assert same(weights(last), weights(run(WHOLE))) and not same(weights(last), weights(run(WHOLE, seed=4)))


def test_labels_of_images_are_never_read(last):
    hidden = make_task(pictures(labels=["dog"] * 34))
    assert same(weights(last), weights(run(WHOLE, task=hidden)))
    labelled, unlabelled = run(), run(task=hidden)  # with a validation part
    assert same(weights(labelled), weights(unlabelled))
    scores = [[row[BY_PSEUDO_LABELS] for row in training.history] for training in (labelled, unlabelled)]
    assert scores[0] == scores[1] and BY_SEEN_LABELS in labelled.best and BY_SEEN_LABELS not in unlabelled.best


def test_only_norms_prompts_and_q_are_trained(last):
    start = started().model.state_dict()
    moved = {name for name in start if not torch.equal(start[name], weights(last)[name])}
    norms = {name for name in start if name.startswith("clip.visual.") and "ln_" in name}
    assert "clip.visual.ln_pre.prompts" in norms and moved == norms | {"q"}


@pytest.mark.parametrize(
    ("changed", "fixed", "moving"),
    [
        ({"train_mapping": False}, "q", "clip.visual.ln_post.weight"),
        ({"freeze": False}, "clip.token_embedding.weight", "clip.visual.conv1.weight"),
    ],
)
def test_ablations_train_the_parameters_of_their_settings(changed, fixed, moving):
    settings = WHOLE.changed(epochs=1, **changed)
    start = started(settings).model.state_dict()
    trained = weights(run(settings))
    assert torch.equal(start[fixed], trained[fixed]) and not torch.equal(start[moving], trained[moving])


def test_batch_norms_are_trained_with_their_statistics_frozen():
    settings = WHOLE.changed(prompts=0, epochs=1)
    start = make_timm_encoder().model.state_dict()
    training = run(settings, encoder=make_timm_encoder())
    end = training.model.encoder.model.state_dict()
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    norms = {name.removesuffix("running_mean") for name in start if name.endswith("running_mean")}
    assert moved == {norm + part for norm in norms for part in ("weight", "bias")}
    assert set(embedder(training).moved) == {"norms", "Q"} and not training.model.training
    with pytest.raises(CdirError, match="TimmModel.*prompts=0"):
        prepared(encoder=make_timm_encoder())


def test_losses_of_a_step_are_the_papers_on_its_features(monkeypatch):
    """The four losses, composed by hand from the tested functions: domains, banks and labels are the right ones."""
    monkeypatch.setattr(clair, "random_view", lambda pixels, generator, least: pixels)  # both views are the image
    training = started(QUICK.changed(weight_ii=0.5))
    training.generator = torch.Generator().manual_seed(0)
    batch = [
        (torch.tensor(indices), pixels_of(training, training.rows[d][indices]))
        for d, indices in enumerate(([0, 3, 4], [1, 2]))
    ]
    expected = []
    for d, (rows, pixels) in enumerate(batch):
        raw = F.normalize(training.model.clip.encode_image(pixels), dim=-1)
        x = F.normalize(raw @ training.model.q.T, dim=-1) if d == 0 else raw
        labels = training.soft[d].argmax(dim=1)[rows]
        expected.append(
            {
                "L_KL": kl(training.soft[d][rows], raw @ training.text_features[d].T, 100.0).mean(),
                "L_II": inter_instance_loss(x, x, training.banks[d]),
                "L_IC": inter_cluster_loss(x, labels, training.banks[d]),
                "L_ID": inter_domain_loss(x, labels, training.banks[1 - d]),
            }
        )
    losses = training.losses(batch)
    assert list(losses) == list(expected[0])
    for name, loss in losses.items():
        torch.testing.assert_close(loss, (expected[0][name] + expected[1][name]) / 2)
    assert training.weights() == {"L_KL": 1.0, "L_II": 0.5, "L_IC": 1.0, "L_ID": 1.0}
    without = started(QUICK.changed(weight_ii=0.0))
    without.generator = torch.Generator().manual_seed(0)
    assert list(without.losses(batch)) == ["L_KL", "L_IC", "L_ID"]  # one view is enough


def test_banks_store_the_momentum_encoders_features_of_every_image():
    training = started(QUICK.changed(refinement=RefinementConfig(steps=40, step_size=1.0)))
    before = training.banks[0].labels
    training.run_epoch()
    pixels = pixels_of(training, training.rows[0])
    with torch.no_grad():
        x = F.normalize(training.momentum.clip.encode_image(pixels), dim=-1)
        expected = F.normalize(x @ training.momentum.q.T, dim=-1)
    torch.testing.assert_close(training.banks[0].features, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(training.banks[0].labels, training.soft[0].argmax(dim=1))
    assert not torch.equal(training.banks[0].labels, before), "refinement must change some labels"


def test_momentum_encoder_is_updated_once_per_epoch():
    training = started(QUICK.changed(encoder_momentum=0.75))
    old = {name: p.clone() for name, p in training.momentum.named_parameters()}
    training.run_epoch()
    for name, p in training.momentum.named_parameters():
        new = dict(training.model.named_parameters())[name]
        torch.testing.assert_close(p, 0.75 * old[name] + 0.25 * new)


def test_learning_rate_falls_to_zero_along_a_cosine(monkeypatch):
    training = started()
    rates = [training.schedule.get_last_lr()[0]]
    step = training._step

    def recorded(*arguments):
        step(*arguments)
        rates.append(training.schedule.get_last_lr()[0])

    monkeypatch.setattr(training, "_step", recorded)
    while not training.finished:
        training.run_epoch()
    steps = np.arange(len(rates))
    assert rates == pytest.approx(0.05 * (1 + np.cos(np.pi * steps / steps[-1])) / 2, abs=1e-9)


def test_q_is_applied_to_images_of_the_first_domain_only(last):
    images = last.images.take([0, 30])  # a sketch, a photo
    with torch.no_grad():
        raw = F.normalize(last.model.clip.encode_image(pixels_of(last, np.array([0, 30]))), dim=-1)
    expected = torch.stack([F.normalize(last.model.q.detach() @ raw[0], dim=0), raw[1]])
    torch.testing.assert_close(embedder(last).embed(images, progress=False), expected, rtol=1e-4, atol=1e-5)


def test_each_group_has_its_learning_rate():
    training = prepared(QUICK.changed(learning_rate_norms=0.1, learning_rate_prompts=0.2, learning_rate_mapping=0.3))
    names = {id(parameter): name for name, parameter in training.model.named_parameters()}
    rates = {
        training.group_of(names[id(parameter)]): group["lr"]
        for group in training.optimizer.param_groups
        for parameter in group["params"]
    }
    assert rates == {"norms": 0.1, "prompts": 0.2, "Q": 0.3}


def test_the_scale_of_l_kl_is_that_of_the_refinement_unless_set():
    batch = [(torch.arange(3), pixels_of(started(), rows[:3])) for rows in started().rows]

    def l_kl(**changed):
        training = started(QUICK.changed(**changed))
        training.generator = torch.Generator().manual_seed(0)
        return float(training.losses(batch)["L_KL"].detach())

    refined = {"refinement.scale": 7.0}
    assert l_kl(**refined) == l_kl(**refined, scale_kl=7.0) == pytest.approx(l_kl(scale_kl=7.0), rel=1e-6)
    assert l_kl(**refined, scale_kl=1.0) < 0.1 * l_kl(**refined)


# ---- selection and resuming ----------------------------------------------------------------------------------------


def test_each_selection_rule_has_its_state_and_patience_counts_on_pseudo_labels(monkeypatch):
    by_pseudo_labels, by_labels = [0.1, 0.5, 0.3, 0.4], [0.1, 0.2, 0.9, 0.3]
    scores = (score for pair in zip(by_pseudo_labels, by_labels) for score in pair)
    monkeypatch.setattr(clair, "precision_at", lambda *_: next(scores))
    training = run(QUICK.changed(epochs=9, patience=2))
    epochs = {rule: epoch for rule, (epoch, _) in training.states().items()}
    assert epochs == {BY_PSEUDO_LABELS: 1, BY_SEEN_LABELS: 2, LAST_EPOCH: 3}
    for rule, epoch in epochs.items():
        model = embedder(training, rule).model.state_dict()
        assert all(torch.equal(model[name], tensor) for name, tensor in training.snapshots[epoch].items())


def test_all_epochs_are_stored_if_only_norms_prompts_and_q_are_trained(last):
    assert sorted(last.snapshots) == [0, 1, 2]
    assert run(WHOLE.changed(freeze=False, epochs=1)).snapshots == {}


def test_a_fixed_q_is_restored_from_the_cache(fresh_cache, monkeypatch):
    settings = WHOLE.changed(epochs=1, train_mapping=False)
    first, again = prepared(settings), prepared(settings)
    first.run()
    monkeypatch.setattr(clair, "closed_form_mapping", lambda *_: pytest.fail("computed again"))
    again.run()
    assert same(weights(first), weights(again)) and not torch.equal(again.model.q, torch.eye(len(again.model.q)))


def test_the_key_of_a_training_follows_its_images_texts_and_classes(monkeypatch):
    other_images, more_classes = make_task(pictures(seed=1)), make_task(seen=(*NAMES, "owl"))
    trainings = prepared(), prepared(task=other_images), prepared(task=more_classes)
    keys = [cache_key(training) for training in trainings]
    assert cache_key(prepared()) == keys[0]
    monkeypatch.setattr("cdir_nb.methods.clair.data.object_names", lambda exclude: ["cup", "car"])
    keys.append(cache_key(prepared()))
    assert len({tuple(key.values()) for key in keys}) == 4


# ---- views, data, variants -----------------------------------------------------------------------------------------


def test_views_are_crops_of_the_image_mirrored_or_not():
    ramp = torch.linspace(0, 1, 32).expand(200, 3, 32, 32).contiguous()  # brighter to the right
    view = random_view(ramp, torch.Generator().manual_seed(0), 0.25)
    steps = (view[..., -1] - view[..., 0])[:, 0, 0]
    assert 0.3 < (steps < 0).float().mean() < 0.7, "about half are mirrored"
    assert steps.abs().min() >= 0.5 - 0.05 and steps.abs().max() <= 1 and view.min() >= 0 and view.max() <= 1
    whole = random_view(ramp, torch.Generator().manual_seed(0), 1.0)
    assert all(torch.allclose(w, r, atol=1e-5) or torch.allclose(w, r.flip(-1), atol=1e-5) for w, r in zip(whole, ramp))


def test_validation_takes_at_most_a_third_of_the_images():
    train, validation = split(np.arange(20), 3, [0, 1])
    assert len(validation) == 3 and sorted([*train, *validation]) == list(range(20))
    assert len(split(np.arange(14), 150, [0, 1])[1]) == 14 // 3
    sizes = [len(rows) for rows in prepared(QUICK.changed(validation_per_class=2)).validation]
    assert sizes == [3, 3], "2 of each of 3 classes, half of them in each domain"


def test_a_validation_part_that_cannot_choose_an_epoch_is_refused():
    few = QUICK.changed(validation_per_class=2)
    with pytest.raises(CdirError, match="queries: 3, gallery: 3.*validation_per_class, now 2"):
        started(few)
    assert started(few.changed(validation_per_class=0)).validate() == {}


def test_variants_change_one_thing(all_objects):
    task = load_protocol("world-unseen", open_dataset("world"))
    domains, full = ("clipart", "sketch"), ClairSettings(train_images=40)
    for name in CLAIR.variants:
        changed = CLAIR.configured(variant=name, settings=full)
        different = [field for field, value in full if value != getattr(changed, field)]
        assert len(different) == 1, name
        images = images_of(task, domains, changed, 1)
        assert (len(images) == 80) == (name != "CLAIR, mismatched categories")
    lists = {choice: texts_of(task, domains, choice) for choice in ("seen", "seen and objects", "objects")}
    expanded, without = set(lists["seen and objects"].names), set(lists["objects"].names)
    assert expanded - without == set(lists["seen"].names) and not expanded & set(lists["seen"].unseen)


def test_mismatched_categories_share_half_of_the_classes():
    labels = np.array([f"class {i}" for i in range(8)] * 2)
    domains = np.array(["sketch"] * 8 + ["real"] * 8)
    images = ImageSet(tuple(map(str, range(16))), domains, labels, Image.open, tuple(map(str, range(16))))
    remaining = mismatched(images, ("sketch", "real"), sorted(set(labels)), seed=0)
    sketches, photos = (set(remaining.labels[remaining.domains == domain]) for domain in ("sketch", "real"))
    assert (len(sketches), len(photos), len(sketches & photos)) == (6, 6, 4)


def test_texts_of_a_protocol_contain_no_test_class(all_objects):
    texts = texts_of(load_protocol("world-unseen", open_dataset("world")), ("real", "quickdraw"), "seen")
    assert texts.words == {"real": "photo", "quickdraw": "quickdraw"} and len(texts.names) == 30
    assert len(texts.unseen) == 10 and not {*texts.names, *texts.objects} & set(texts.unseen)


# ---- CLIP + Q and vanilla CLIP -------------------------------------------------------------------------------------


@pytest.mark.parametrize("null_space", ["svd", "identity"])
def test_clip_with_q_has_a_map_for_each_direction(monkeypatch, null_space, fresh_cache):
    monkeypatch.setattr("cdir_nb.methods.clair.mapped_clip.object_names", lambda exclude: OBJECTS)
    encoder, task = make_encoder(), make_task()
    settings = {} if null_space == "identity" else {"null_space": null_space}
    (embedders,) = fit("CLIP + Q", encoder, task, settings=settings, progress=False).states.values()
    expected = all_maps(text_pairs(encoder, OBJECTS, {"sketch": "sketch", "real": "photo"}), null_space)
    assert [one.directions for one in embedders] == [(direction,) for direction in task.directions]
    assert all(torch.equal(one.q, expected[one.direction]) for one in embedders)
    (seen,) = fit("CLIP + Q", encoder, task, settings={"names": "seen"}, directions=[DOMAINS]).states.values()
    assert torch.equal(seen[0].q, all_maps(text_pairs(encoder, NAMES, {"sketch": "sketch", "real": "photo"}))[DOMAINS])
    closed = dataclasses.replace(task, classes=NAMES)
    with pytest.raises(CdirError, match="no training classes besides its query classes: set names to objects"):
        fit("CLIP + Q", encoder, closed, settings={"names": "seen"})


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"words": {"sketch": "sketch", "real": " "}}, "domain real"),
        ({"names": ("dog",)}, "CLAIR.*'dog'"),
        ({"names": ("dog", "cat", "dog")}, '"dog" appears twice'),
        ({"unseen": ("cat", "hat")}, r"test classes \(cat\)"),
        ({"unseen": ("boat",)}, r"test classes \(boat\)"),
    ],
)
def test_bad_texts(changed, message):
    texts = {"words": {"sketch": "sketch", "real": "photo"}, "names": NAMES, "objects": tuple(OBJECTS)}
    with pytest.raises(CdirError, match=message):
        Texts(**texts | changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"domains": ("sketch",)}, "two domains"),
        ({"task": make_task(pictures().take(range(20)))}, "domain real has no training images"),
        ({"settings": QUICK.changed(mismatched=True)}, "mismatched categories need at least 4 classes, got 3"),
    ],
)
def test_bad_data(changed, message):
    with pytest.raises(CdirError, match=message):
        prepared(**changed)


def test_images_of_another_domain_are_refused(last):
    other = pictures().take([0])
    with pytest.raises(CdirError, match="sketch and real, .* oil"):
        embedder(last).embed(ImageSet(other.keys, np.array(["oil"]), other.labels, other.load, other.digests))


def test_settings_of_an_encoder_are_those_of_the_committed_records():
    assert CLAIR.for_encoder == {"tiny-clip": "CLAIR-A, tiny-clip, long", "real-clip": "CLAIR-A, real-clip"}
    assert [CLAIR.named[name].epochs for name in CLAIR.for_encoder.values()] == [8, 12]
    assert CLAIR.configured(make_encoder()) == ClairSettings()
