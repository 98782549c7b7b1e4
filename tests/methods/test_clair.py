"""CLAIR's training on a small random CLIP: what moves, what it never reads, how it continues, and bad input."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from small_clip import make_encoder, make_timm_encoder

from cdir_nb.conventions import BY_PSEUDO_LABELS, BY_SEEN_LABELS, LAST_EPOCH
from cdir_nb.data import load_protocol, object_names, open_dataset
from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError
from cdir_nb.methods.batches import pixel_batches, random_view
from cdir_nb.methods.checkpoints import cache_key
from cdir_nb.methods.clair import CLAIR, CLIP_Q, ClairSettings, ClairTraining
from cdir_nb.methods.clair import method as clair
from cdir_nb.methods.clair.data import Texts, images_of, mismatched, split, texts_of
from cdir_nb.methods.clair.losses import inter_cluster_loss, inter_domain_loss, inter_instance_loss
from cdir_nb.methods.clair.mapping import all_maps, text_pairs
from cdir_nb.methods.clair.pseudo_labels import RefinementConfig, kl
from cdir_nb.methods.frozen import VanillaClip
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
    return Protocol(
        name="noise", dataset="world", about="", paper="", zero_shot=True, seen=seen, unseen=("hat",),
        classes=("hat",), gallery_classes=("hat",), train_domains=DOMAINS, directions=(DOMAINS, DOMAINS[::-1]),
        metrics=(), images=images or pictures(),
    )  # fmt: skip


def prepared(settings=QUICK, task=None, encoder=None, seed=3, domains=DOMAINS, name="CLAIR") -> ClairTraining:
    how = {"name": name, "seed": seed, "progress": False}
    return ClairTraining(encoder or make_encoder(), task or make_task(), domains, settings, **how)


def started(settings=QUICK, **how) -> ClairTraining:
    training = prepared(settings, **how)
    training.begin()
    return training


def run(settings=QUICK, **how) -> ClairTraining:
    """A whole training, without the cache."""
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


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


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
    known, unknown = run(), run(task=hidden)  # with a validation part
    assert same(weights(known), weights(unknown))
    assert [row[BY_PSEUDO_LABELS] for row in known.history] == [row[BY_PSEUDO_LABELS] for row in unknown.history]
    assert [row[BY_SEEN_LABELS] for row in unknown.history] == [1.0, 1.0]


def test_only_norms_prompts_and_q_are_trained(last):
    start = started().model.state_dict()
    moved = {name for name in start if not torch.equal(start[name], weights(last)[name])}
    norms = {
        f"clip.visual.{norm}.{part}"
        for part in ("weight", "bias")
        for norm in ("ln_pre.ln_pre", "ln_post", "transformer.resblocks.0.ln_1", "transformer.resblocks.0.ln_2")
    }
    assert moved == norms | {"clip.visual.ln_pre.prompts", "q"}


@pytest.mark.parametrize(
    ("changed", "fixed", "moving"),
    [
        ({"train_mapping": False}, "q", "clip.visual.ln_post.weight"),
        ({"freeze": False}, "clip.token_embedding.weight", "clip.visual.conv1.weight"),
    ],
)
def test_ablations_train_what_their_settings_say(changed, fixed, moving):
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
    """The four losses, put together by hand from the tested functions: domains, banks and labels are the right ones."""
    monkeypatch.setattr(clair, "random_view", lambda pixels, generator, least: pixels)  # both views are the image
    training = started(QUICK.changed(weight_ii=0.5))
    training.generator = torch.Generator().manual_seed(0)
    batch = [
        (torch.tensor([0, 3, 4]), pixels_of(training, training.rows[0][[0, 3, 4]])),
        (torch.tensor([1, 2]), pixels_of(training, training.rows[1][[1, 2]])),
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
    found = training.losses(batch)
    assert list(found) == list(expected[0])
    for name, loss in found.items():
        torch.testing.assert_close(loss, (expected[0][name] + expected[1][name]) / 2)
    assert training.weights() == {"L_KL": 1.0, "L_II": 0.5, "L_IC": 1.0, "L_ID": 1.0}
    without = started(QUICK.changed(weight_ii=0.0))
    without.generator = torch.Generator().manual_seed(0)
    assert list(without.losses(batch)) == ["L_KL", "L_IC", "L_ID"]  # one view is enough


def test_banks_hold_what_the_momentum_encoder_makes_of_every_image():
    training = started(QUICK.changed(refinement=RefinementConfig(steps=40, step_size=1.0)))
    before = training.banks[0].labels
    training.run_epoch()
    pixels = pixels_of(training, training.rows[0])
    with torch.no_grad():
        x = F.normalize(training.momentum.clip.encode_image(pixels), dim=-1)
        expected = F.normalize(x @ training.momentum.q.T, dim=-1)
    torch.testing.assert_close(training.banks[0].features, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(training.banks[0].labels, training.soft[0].argmax(dim=1))
    assert not torch.equal(training.banks[0].labels, before), "refinement changed some, and the bank has them"


def test_each_epoch_takes_every_image_in_another_order(monkeypatch):
    training, seen = started(WHOLE), []
    losses = training.losses

    def watched(batch):
        seen.append([rows.tolist() for rows, _ in batch])
        return losses(batch)

    monkeypatch.setattr(training, "losses", watched)
    training.run_epoch(), training.run_epoch()
    half = len(seen) // 2
    larger = [[row for batch in epoch for row in batch[0]] for epoch in (seen[:half], seen[half:])]
    assert half == training.steps_per_epoch == 3
    assert larger[0] != larger[1] and all(sorted(rows) == list(range(20)) for rows in larger)
    smaller = {row for batch in seen[:half] for row in batch[1]}
    assert smaller == set(range(14)), "the smaller domain starts over"


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
    monkeypatch.setattr(training, "after_step", lambda: rates.append(training.schedule.get_last_lr()[0]))
    while not training.finished:
        training.run_epoch()
    steps = np.arange(len(rates))
    assert rates == pytest.approx(0.05 * (1 + np.cos(np.pi * steps / steps[-1])) / 2, abs=1e-9)


def test_the_embedder_describes_its_training(last):
    found = embedder(last)
    assert (found.name, found.similarity, found.seed, list(last.states())) == ("CLAIR", "cosine", 3, [LAST_EPOCH])
    assert found.directions == (("sketch", "real"), ("real", "sketch"))
    assert found.train_set == "all unlabelled images of each of two domains; 3 class names"
    assert found.settings == WHOLE.plain() and found.training_images.fingerprint == last.images.fingerprint
    few = run(QUICK.changed(epochs=0, train_images=9), name="CLAIR w/o luck")
    chosen = embedder(few, BY_PSEUDO_LABELS)
    assert chosen.train_set.startswith("at most 9 unlabelled images") and len(few.images) == 18
    assert (chosen.name, chosen.steps, chosen.moved) == ("CLAIR w/o luck", 0, {})


def test_q_is_applied_to_images_of_the_first_domain_only(last):
    found = embedder(last)
    images = last.images.take([0, 30])  # a sketch, a photo
    with torch.no_grad():
        raw = F.normalize(last.model.clip.encode_image(pixels_of(last, np.array([0, 30]))), dim=-1)
    expected = torch.stack([F.normalize(last.model.q.detach() @ raw[0], dim=0), raw[1]])
    torch.testing.assert_close(found.embed(images, progress=False), expected, rtol=1e-4, atol=1e-5)


def test_steps_and_movement_are_those_of_the_state(last):
    found = embedder(last)
    assert (found.epoch, found.steps) == (2, 2 * 3)  # 20 sketches in batches of 8
    start, end = started(WHOLE).model.state_dict(), weights(last)
    for group, names in {"Q": ["q"], "prompts": ["clip.visual.ln_pre.prompts"]}.items():
        change = sum((end[n] - start[n]).square().sum() for n in names).sqrt()
        assert found.moved[group] == pytest.approx(float(change / start[names[0]].norm()), rel=1e-5)
    assert set(found.moved) == {"norms", "prompts", "Q"} and all(by > 0 for by in found.moved.values())


@pytest.mark.parametrize(("group", "setting"), [("norms", "norms"), ("prompts", "prompts"), ("Q", "mapping")])
def test_each_group_has_its_learning_rate(last, group, setting):
    rates = {f"learning_rate_{setting}": 1e-9}
    training = run(WHOLE.changed(epochs=1, **rates))
    moved = embedder(training).moved
    assert moved[group] < 1e-6 and all(by > 1e-5 for other, by in moved.items() if other != group)
    assert sorted({rate["initial_lr"] for rate in training.optimizer.param_groups}) == [1e-9, 0.05]
    everything = {f"learning_rate_{name}": 0.05 for name in ("norms", "prompts", "mapping")}
    assert same(weights(run(WHOLE.changed(learning_rate=1.0, **everything))), weights(last))


def test_the_scale_of_l_kl_is_that_of_the_refinement_unless_set():
    batch = [(torch.arange(3), pixels_of(started(), rows[:3])) for rows in started().rows]
    how = {"refinement.scale": 7.0}

    def l_kl(**changed):
        training = started(QUICK.changed(**changed))
        training.generator = torch.Generator().manual_seed(0)
        return float(training.losses(batch)["L_KL"].detach())

    assert l_kl(**how) == l_kl(**how, scale_kl=7.0) == pytest.approx(l_kl(scale_kl=7.0), rel=1e-6)
    assert l_kl(**how, scale_kl=1.0) < 0.1 * l_kl(**how)


# ---- selection and resuming ----------------------------------------------------------------------------------------


def test_one_training_has_a_state_for_each_selection_rule(monkeypatch):
    by_pseudo_labels, by_labels = [0.1, 0.5, 0.3, 0.4], [0.1, 0.2, 0.9, 0.3]
    scores = (score for pair in zip(by_pseudo_labels, by_labels) for score in pair)
    monkeypatch.setattr(clair, "precision_at", lambda *_: next(scores))
    training = run(QUICK.changed(epochs=3))
    states = {rule: embedder(training, rule) for rule in training.states()}
    epochs = {rule: state.epoch for rule, state in states.items()}
    assert epochs == {BY_PSEUDO_LABELS: 1, BY_SEEN_LABELS: 2, LAST_EPOCH: 3}
    assert list(states)[0] == BY_PSEUDO_LABELS  # patience counts on the first
    assert [row[BY_SEEN_LABELS] for row in training.history] == by_labels[1:]
    assert training.initial_scores == {BY_PSEUDO_LABELS: 0.1, BY_SEEN_LABELS: 0.1}
    for rule, epoch in epochs.items():
        found = training.snapshots[epoch]
        model = states[rule].model.state_dict()
        assert states[rule].steps == epoch * training.steps_per_epoch
        assert all(torch.equal(model[name], tensor) for name, tensor in found.items())


def test_training_stops_after_epochs_without_a_better_score_by_pseudo_labels(monkeypatch):
    scores = iter([0.5, 0.1, 0.4, 0.2, 0.3, 0.3, 0.2, 0.4])  # the score by labels rises
    monkeypatch.setattr(clair, "precision_at", lambda *_: next(scores))
    training = run(QUICK.changed(epochs=4, patience=2))
    assert len(training.history) == 2 and embedder(training, BY_PSEUDO_LABELS).epoch == 0


def test_all_epochs_are_stored_if_only_norms_prompts_and_q_are_trained(last):
    assert sorted(last.snapshots) == [0, 1, 2]
    assert run(WHOLE.changed(freeze=False, epochs=1)).snapshots == {}


def test_true_labels_have_the_same_numbers_in_both_domains():
    training = started(QUICK.changed(validation_per_class=6))
    names = np.unique(training.images.labels)
    for found, rows in zip(training.true_labels, training.validation):
        assert (names[found.numpy()] == training.images.labels[rows]).all()


@pytest.mark.parametrize("train_mapping", [True, False])
def test_an_interrupted_training_continues_to_the_same_end(fresh_cache, monkeypatch, train_mapping):
    monkeypatch.setattr("cdir_nb.methods.training.CHECKPOINT_SECONDS", 0)
    settings = QUICK.changed(epochs=3, train_mapping=train_mapping)
    whole, epochs = run(settings), []
    run_epoch = ClairTraining.run_epoch

    def interrupted(self, bar):
        if len(epochs) == 2:
            raise KeyboardInterrupt
        epochs.append(1)
        run_epoch(self, bar)

    monkeypatch.setattr(ClairTraining, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepared(settings).run()
    epochs.clear()
    resumed = prepared(settings)
    resumed.run()
    assert len(epochs) == 1, "only the missing epoch is run"
    assert same(weights(whole), weights(resumed)) and same(whole.momentum.state_dict(), resumed.momentum.state_dict())
    for one, other in zip(whole.assigned, resumed.assigned):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert [row["L_total"] for row in whole.history] == [row["L_total"] for row in resumed.history]
    for name in ("encode", "_labels_of_clip", "text_features"):  # a finished one is read, nothing is computed again
        monkeypatch.setattr(ClairTraining, name, None)
    monkeypatch.setattr(clair, "closed_form_mapping", None)
    again = prepared(settings)
    again.run()
    assert same(weights(whole), weights(again)) and again.history == resumed.history
    assert not torch.equal(again.model.q, torch.eye(len(again.model.q)))


def test_the_key_of_a_training_follows_its_images_texts_and_classes(monkeypatch):
    keys = [cache_key(prepared())]
    keys.append(cache_key(prepared(QUICK.changed(temperature=0.1))))
    keys.append(cache_key(prepared(task=make_task(pictures(seed=1)))))
    keys.append(cache_key(prepared(task=make_task(seen=(*NAMES, "owl")))))
    assert cache_key(prepared()) == keys[0]
    monkeypatch.setattr("cdir_nb.methods.clair.data.object_names", lambda exclude: ["cup", "car"])
    keys.append(cache_key(prepared()))
    assert len({tuple(key.values()) for key in keys}) == 5


# ---- views, data, variants -----------------------------------------------------------------------------------------


def test_views_are_crops_of_the_image_mirrored_or_not():
    ramp = torch.linspace(0, 1, 32).expand(200, 3, 32, 32).contiguous()  # brighter to the right
    view = random_view(ramp, torch.Generator().manual_seed(0), 0.25)
    steps = (view[..., -1] - view[..., 0])[:, 0, 0]
    assert 0.3 < (steps < 0).float().mean() < 0.7, "about half are mirrored"
    assert steps.abs().min() >= 0.5 - 0.05 and steps.abs().max() <= 1 and view.min() >= 0 and view.max() <= 1
    whole = random_view(ramp, torch.Generator().manual_seed(0), 1.0)
    assert all(torch.allclose(w, r, atol=1e-5) or torch.allclose(w, r.flip(-1), atol=1e-5) for w, r in zip(whole, ramp))


def test_a_trial_is_one_only_where_settings_have_the_value_that_it_replaces():
    trials = list(CLAIR.replaces)
    long, real = CLAIR.named["CLAIR-A, tiny-clip, long"], CLAIR.named["CLAIR-A, real-clip"]
    assert [name for name in trials if CLAIR.applies(name, long)] == ["CLAIR with L_II", "CLAIR, wider prompts"]
    assert not CLAIR.applies("CLAIR w/o L_II", long)
    assert not any(CLAIR.applies(name, ClairSettings()) for name in trials), "L_II is on, and prompts are wider"
    assert [name for name in trials if CLAIR.applies(name, real)] == ["CLAIR with L_II"]
    changed = [CLAIR.configured(variant=name, settings=long) for name in trials]
    assert changed == [long.changed(weight_ii=0.1), long.changed(prompt_std=0.1)]


def test_a_split_sets_images_aside_at_most_a_third():
    train, validation = split(np.arange(20), 3, [0, 1])
    assert len(validation) == 3 and sorted([*train, *validation]) == list(range(20))
    assert len(split(np.arange(14), 150, [0, 1])[1]) == 14 // 3
    sizes = [len(rows) for rows in prepared(QUICK.changed(validation_per_class=2)).validation]
    assert sizes == [3, 3], "2 of each of 3 classes, half of them in each domain"
    longer = prepared(QUICK.changed(validation_per_class=2, class_names="seen and objects"))
    assert [len(rows) for rows in longer.validation] == [3, 3], "a class list may be longer than the classes"


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
    left = mismatched(images, ("sketch", "real"), sorted(set(labels)), seed=0)
    first, second = (set(left.labels[left.domains == d]) for d in ("sketch", "real"))
    assert (len(first), len(second), len(first & second)) == (6, 6, 4)


def test_texts_of_a_protocol_hold_no_test_class(all_objects):
    texts = texts_of(load_protocol("world-unseen", open_dataset("world")), ("real", "quickdraw"), "seen")
    assert texts.words == {"real": "photo", "quickdraw": "quickdraw"} and len(texts.names) == 30
    assert len(texts.unseen) == 10 and not {*texts.names, *texts.objects} & set(texts.unseen)


# ---- CLIP + Q and vanilla CLIP -------------------------------------------------------------------------------------


@pytest.mark.parametrize("null_space", ["svd", "identity"])
def test_clip_with_q_has_a_map_for_each_direction(monkeypatch, null_space, fresh_cache):
    monkeypatch.setattr("cdir_nb.methods.clair.mapped_clip.object_names", lambda exclude: OBJECTS)
    encoder, task = make_encoder(), make_task()
    settings = {} if null_space == "svd" else {"null_space": null_space}
    (embedders,) = fit("CLIP + Q", encoder, task, settings=settings, progress=False).states.values()
    expected = all_maps(text_pairs(encoder, OBJECTS, {"sketch": "sketch", "real": "photo"}), null_space)
    assert [one.directions for one in embedders] == [(direction,) for direction in task.directions]
    assert all(torch.equal(one.q, expected[one.direction]) for one in embedders)
    assert embedders[0].settings == {"names": "objects", "null_space": null_space}
    assert embedders[0].train_set == "no image; 4 pairs of texts for two domains (names: objects)"
    (seen,) = fit("CLIP + Q", encoder, task, settings={"names": "seen"}, directions=[DOMAINS]).states.values()
    assert torch.equal(seen[0].q, all_maps(text_pairs(encoder, NAMES, {"sketch": "sketch", "real": "photo"}))[DOMAINS])
    closed = dataclasses.replace(task, classes=NAMES)
    with pytest.raises(CdirError, match="no training classes besides its query classes: set names to objects"):
        fit("CLIP + Q", encoder, closed, settings={"names": "seen"})


def test_vanilla_clip_is_the_frozen_encoder(fresh_cache):
    encoder, task = make_encoder(), make_task()
    fitted = fit("vanilla CLIP", encoder, task)
    ((embedder,),) = fitted.states.values()
    images = pictures()
    assert torch.equal(embedder.embed(images), VanillaClip(encoder).embed(images)) and embedder.settings == {}
    assert torch.allclose(embedder.embed(images).norm(dim=1), torch.ones(len(images)))


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
        ({"domains": ("sketch", "oil")}, "noise does not train on oil"),
        ({"task": make_task(pictures().take(range(20)))}, "domain real has no training images"),
        ({"settings": QUICK.changed(mismatched=True)}, "mismatched categories need at least 4 classes, got 3"),
    ],
)
def test_bad_data(changed, message):
    with pytest.raises(CdirError, match=message):
        prepared(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"class_names": "all"}, "class_names.*'all'"),
        ({"epochs": 1.5}, "epochs.* 1.5"),
        ({"learning_rate": None}, "learning_rate.* None"),
        ({"weight_ic": -1.0}, "weight_ic.* -1.0"),
        ({"encoder_momentum": 1.0}, "encoder_momentum.* 1.0"),
    ],
)
def test_bad_settings(changed, message):
    with pytest.raises(CdirError, match=message):
        ClairSettings(**changed)


def test_other_bad_input(last):
    with pytest.raises(CdirError, match="'CLAIR w/o luck'"):
        CLAIR.configured(variant="CLAIR w/o luck")
    with pytest.raises(CdirError, match='"CLAIR-Z".*CLAIR-A'):
        CLAIR.configured(settings="CLAIR-Z")
    other = pictures().take([0])
    with pytest.raises(CdirError, match="sketch and real, .* oil"):
        embedder(last).embed(ImageSet(other.keys, np.array(["oil"]), other.labels, other.load, other.digests))
    assert CLIP_Q.encoders == CLAIR.encoders == "CLIP"


def test_settings_of_an_encoder_are_those_of_the_committed_records():
    tiny, real = (CLAIR.named[name] for name in ("CLAIR-A, tiny-clip, long", "CLAIR-A, real-clip"))
    assert CLAIR.for_encoder == {"tiny-clip": "CLAIR-A, tiny-clip, long", "real-clip": "CLAIR-A, real-clip"}
    assert (tiny.epochs, real.epochs, CLAIR.configured(make_encoder())) == (8, 12, ClairSettings())
