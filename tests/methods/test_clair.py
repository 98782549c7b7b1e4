"""CLAIR's training on a small random CLIP: what moves, what it never reads, how it goes on, and bad input."""

import hashlib

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from cdir_nb.methods.clair.pair import Pair, mismatched, training_pair
from cdir_nb.methods.clair.state import kept_at
from cdir_nb.methods.clair.variants import LEAVE_ONE_OUT, TRIALS, VARIANTS, changes, variant
from PIL import Image
from small_clip import make_encoder, make_timm_encoder

from cdir_nb.data import load_protocol, open_dataset
from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError
from cdir_nb.methods.batches import pixel_batches, random_view
from cdir_nb.methods.clair import method as clair
from cdir_nb.methods.clair.losses import inter_cluster_loss, inter_domain_loss, inter_instance_loss
from cdir_nb.methods.clair.method import ClairTraining, fit
from cdir_nb.methods.clair.pseudo_labels import kl
from cdir_nb.methods.clair.settings import ClairConfig, RefinementConfig, named_config

NAMES = ("dog", "cat", "house")
QUICK = ClairConfig(prompts=2, epochs=2, batch_size=8, learning_rate=0.05, validation_per_class=4, patience=9)


def pictures(labels=None, seed=0) -> ImageSet:
    """20 sketches and 14 photos of noise."""
    rng = np.random.default_rng(seed)
    domains = np.array(["sketch"] * 20 + ["real"] * 14)
    pixels = {f"{d}/x/{i}.png": rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for i, d in enumerate(domains)}
    digests = tuple(hashlib.sha256(p.tobytes()).hexdigest() for p in pixels.values())
    labels = np.array(NAMES)[np.arange(34) % 3] if labels is None else np.array(labels)
    return ImageSet(tuple(pixels), domains, labels, lambda key: Image.fromarray(pixels[key]), digests)


def make_pair(**changed) -> Pair:
    return Pair(
        **{
            "images": pictures(),
            "domains": ("sketch", "real"),
            "words": {"sketch": "sketch", "real": "photo"},
            "names": NAMES,
            "objects": ("cup", "car", "tree", "boat"),
            **changed,
        }
    )


def run(config=QUICK, pair=None, **how):
    return fit(make_encoder(), pair or make_pair(), config, seed=3, progress=False, **how)


def started(config=QUICK) -> ClairTraining:
    return ClairTraining(make_encoder(), make_pair(), config, 3).begin()


def pixels_of(training: ClairTraining, rows: np.ndarray) -> torch.Tensor:
    return torch.cat(list(pixel_batches(training.encoder, training.pair.images, rows, 64)))


def weights(fitted) -> dict[str, torch.Tensor]:
    return fitted.model.state_dict()


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def last():
    """Trained to the last epoch: without a validation part nothing is selected."""
    return run(QUICK.changed(validation_per_class=0))


# ---- what it learns ------------------------------------------------------------------------------------------------


def test_a_seed_says_everything(last):
    again = run(QUICK.changed(validation_per_class=0))
    other = fit(make_encoder(), make_pair(), QUICK.changed(validation_per_class=0), seed=4, progress=False)
    assert same(weights(last), weights(again)) and not same(weights(last), weights(other))


def test_labels_of_images_are_never_read(last):
    hidden, config = make_pair(images=pictures(labels=["?"] * 34)), QUICK.changed(validation_per_class=0)
    assert same(weights(last), weights(run(config, hidden)))
    known, unknown = run(), run(pair=hidden)  # with a validation part
    assert same(weights(known), weights(unknown)) and [h["validation P@5"] for h in known.history] == [
        h["validation P@5"] for h in unknown.history
    ]


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
def test_ablations_train_what_they_say(changed, fixed, moving):
    config = QUICK.changed(validation_per_class=0, epochs=1, **changed)
    start = started(config).model.state_dict()
    trained = weights(run(config))
    assert torch.equal(start[fixed], trained[fixed]) and not torch.equal(start[moving], trained[moving])


def test_batch_norms_are_trained_with_their_statistics_frozen():
    config = QUICK.changed(prompts=0, validation_per_class=0, epochs=1)
    start = make_timm_encoder().model.state_dict()
    fitted = fit(make_timm_encoder(), make_pair(), config, seed=3, progress=False)
    end = fitted.model.encoder.model.state_dict()
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    norms = {name.removesuffix("running_mean") for name in start if name.endswith("running_mean")}
    assert moved == {norm + part for norm in norms for part in ("weight", "bias")}
    assert set(fitted.moved) == {"norms", "Q"}
    with pytest.raises(CdirError, match="TimmModel, .* set prompts=0"):
        fit(make_timm_encoder(), make_pair(), QUICK)


def test_losses_of_a_step_are_the_papers_on_its_features(monkeypatch):
    """The four losses, put together by hand from the tested functions: sides, banks and labels are the right ones."""
    monkeypatch.setattr(clair, "random_view", lambda pixels, generator, least: pixels)  # both views are the image
    training = started()
    generator = torch.Generator().manual_seed(0)
    batches = [
        (torch.tensor([0, 3, 4]), pixels_of(training, training.rows[0][[0, 3, 4]])),
        (torch.tensor([1, 2]), pixels_of(training, training.rows[1][[1, 2]])),
    ]
    expected = []
    for side, (rows, pixels) in enumerate(batches):
        raw = F.normalize(training.model.clip.encode_image(pixels), dim=-1)
        x = F.normalize(raw @ training.model.q.T, dim=-1) if side == 0 else raw
        labels = training.soft[side].argmax(dim=1)[rows]
        expected.append(
            (
                kl(training.soft[side][rows], raw @ training.texts[side].T, 100.0).mean(),
                inter_instance_loss(x, x, training.banks[side]),
                inter_cluster_loss(x, labels, training.banks[side]),
                inter_domain_loss(x, labels, training.banks[1 - side]),
            )
        )
    for found, first, second in zip(training.losses(batches, generator), *expected, strict=True):
        torch.testing.assert_close(found, (first + second) / 2)


def test_banks_hold_what_the_momentum_encoder_makes_of_every_image():
    training = started(QUICK.changed(refinement=RefinementConfig(steps=40, step_size=1.0)))
    before = training.banks[0].labels
    training.next_epoch()
    pixels = pixels_of(training, training.rows[0])
    with torch.no_grad():
        x = F.normalize(training.momentum.clip.encode_image(pixels), dim=-1)
        expected = F.normalize(x @ training.momentum.q.T, dim=-1)
    torch.testing.assert_close(training.banks[0].features, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(training.banks[0].labels, training.soft[0].argmax(dim=1))
    assert not torch.equal(training.banks[0].labels, before), "refinement has moved some, and the bank knows"


def test_each_epoch_takes_every_image_in_an_order_of_its_own():
    training, seen = started(QUICK.changed(validation_per_class=0)), []
    step = training.step

    def watched(batches, generator):
        seen.append([rows.tolist() for rows, _ in batches])
        return step(batches, generator)

    training.step = watched
    training.next_epoch(), training.next_epoch()
    half = len(seen) // 2
    larger = [[row for batches in epoch for row in batches[0]] for epoch in (seen[:half], seen[half:])]
    assert larger[0] != larger[1] and all(sorted(rows) == list(range(20)) for rows in larger)
    smaller = {row for batches in seen[:half] for row in batches[1]}
    assert smaller == set(range(14)), "the smaller domain comes round again"


def test_momentum_encoder_moves_by_its_share_and_only_then():
    training = started(QUICK.changed(encoder_momentum=0.75))
    old = {name: p.clone() for name, p in training.momentum.named_parameters()}
    training.next_epoch()
    for name, p in training.momentum.named_parameters():
        new = dict(training.model.named_parameters())[name]
        torch.testing.assert_close(p, 0.75 * old[name] + 0.25 * new)


def test_learning_rate_falls_to_zero_along_a_cosine():
    training = started()
    rates = [training.schedule.get_last_lr()[0]]
    while not training.finished:
        training.next_epoch(lambda: rates.append(training.schedule.get_last_lr()[0]))
    steps = np.arange(len(rates))
    assert rates == pytest.approx(0.05 * (1 + np.cos(np.pi * steps / steps[-1])) / 2, abs=1e-9)


def test_the_result_says_what_its_numbers_need(last):
    assert (last.name, last.similarity, last.seed, last.selection) == ("CLAIR", "cosine", 3, "last epoch")
    assert last.directions == (("sketch", "real"), ("real", "sketch"))
    assert last.train_set == "all unlabelled images of each of two domains; 3 class names"
    assert last.settings == {**last.config.plain(), "train_images": 0}
    few = run(QUICK.changed(epochs=0), make_pair().sample(9, 0), name="CLAIR w/o luck")
    assert few.train_set.startswith("at most 9 unlabelled images") and few.settings["train_images"] == 9
    assert (few.name, few.selection, few.steps, few.moved) == (
        "CLAIR w/o luck", "validation by pseudo-labels", 0, {})  # fmt: skip


def test_the_result_says_that_the_pretraining_saw_training_images(last, monkeypatch):
    monkeypatch.setattr("cdir_nb.encoders.pretraining.seen_in_pretraining", lambda *_: 7)
    assert "two domains; some seen in the encoder's pretraining; 3 class names" in last.train_set


def test_steps_and_movement_are_those_of_the_chosen_state(last):
    assert last.chosen == 2 and last.steps == 2 * 3  # 20 sketches in batches of 8
    start, end = started(QUICK.changed(validation_per_class=0)).model.state_dict(), weights(last)
    for group, names in {"Q": ["q"], "prompts": ["clip.visual.ln_pre.prompts"]}.items():
        change = sum((end[n] - start[n]).square().sum() for n in names).sqrt()
        assert last.moved[group] == pytest.approx(float(change / start[names[0]].norm()), rel=1e-5)
    assert set(last.moved) == {"norms", "prompts", "Q"} and all(by > 0 for by in last.moved.values())


@pytest.mark.parametrize(("group", "setting"), [("norms", "norms"), ("prompts", "prompts"), ("Q", "mapping")])
def test_each_group_has_a_learning_rate_of_its_own(last, group, setting):
    rates = {f"learning_rate_{setting}": 1e-9}
    moved = run(QUICK.changed(validation_per_class=0, epochs=1, **rates)).moved
    assert moved[group] < 1e-6 and all(by > 1e-5 for other, by in moved.items() if other != group)
    training = started(QUICK.changed(**rates))
    assert sorted({rate["lr"] for rate in training.optimizer.param_groups}) == [1e-9, 0.05]
    everything = {f"learning_rate_{name}": 0.05 for name in ("norms", "prompts", "mapping")}
    same_as_one = run(QUICK.changed(validation_per_class=0, learning_rate=1.0, **everything))
    assert same(weights(same_as_one), weights(last))


def test_the_scale_of_l_kl_is_that_of_the_refinement_unless_set():
    batches = [(torch.arange(3), pixels_of(started(), rows[:3])) for rows in started().rows]
    how = {"refinement.scale": 7.0}

    def l_kl(**changed):
        generator = torch.Generator().manual_seed(0)
        return float(started(QUICK.changed(**changed)).losses(batches, generator)[0].detach())

    assert l_kl(**how) == l_kl(**how, scale_kl=7.0) == pytest.approx(l_kl(scale_kl=7.0), rel=1e-6)
    assert l_kl(**how, scale_kl=1.0) < 0.1 * l_kl(**how)


def test_one_training_has_a_state_for_each_selection_rule(monkeypatch):
    by_labels, by_pseudo_labels = [0.1, 0.2, 0.9, 0.3], [0.1, 0.5, 0.3, 0.4]
    scores = (score for pair in zip(by_labels, by_pseudo_labels) for score in pair)
    monkeypatch.setattr(clair, "precision_at", lambda *_: next(scores))
    fitted = run(QUICK.changed(epochs=3))
    chosen = {rule: fitted.selected(rule).chosen for rule in fitted.states}
    assert (fitted.selection, fitted.chosen) == ("validation by pseudo-labels", 1)
    assert chosen == {fitted.selection: 1, "last epoch": 3, "validation by labels of seen classes": 2}
    assert [row["validation P@5, true labels"] for row in fitted.history] == by_labels[1:]
    whole = run(QUICK.changed(epochs=3, validation_per_class=0))
    states = {rule: fitted.selected(rule) for rule in chosen}
    assert len({id(state.model) for state in (fitted, *states.values())}) == 4  # each state is a model of its own
    for rule, epoch in chosen.items():
        state = states[rule]
        assert (state.selection, state.steps) == (rule, epoch * fitted.steps_per_epoch)
        assert same(weights(state), weights(fitted)) == (epoch == 1)
    with pytest.raises(CdirError, match='no state for "validation by pseudo-labels"; it has: last epoch'):
        whole.selected("validation by pseudo-labels")


def test_true_labels_have_the_same_numbers_in_both_domains():
    training = started(QUICK.changed(validation_per_class=6))
    names = np.unique(training.pair.images.labels)
    for found, rows in zip(training.true_labels(), training.validation):
        assert (names[found.numpy()] == training.pair.images.labels[rows]).all()


# ---- selection and going on ----------------------------------------------------------------------------------------


def test_the_state_that_is_best_on_validation_is_given_back(monkeypatch):
    scores = iter([0.1, 0.5, 0.3, 0.4])
    monkeypatch.setattr(ClairTraining, "validate", lambda self: next(scores))
    fitted = run(QUICK.changed(epochs=3))
    assert fitted.chosen == 1 and [h["validation P@5"] for h in fitted.history] == [0.5, 0.3, 0.4]


def test_training_stops_when_nothing_gets_better(monkeypatch):
    scores = iter([0.5, 0.4, 0.3, 0.2, 0.1])
    monkeypatch.setattr(ClairTraining, "validate", lambda self: next(scores))
    start = started()
    scores = iter([0.5, 0.4, 0.3, 0.2, 0.1])
    fitted = run(QUICK.changed(epochs=4, patience=2))
    assert fitted.chosen == 0 and len(fitted.history) == 2
    assert same(weights(fitted), start.model.state_dict())


def test_an_interrupted_training_goes_on_to_the_same_end(tmp_path, monkeypatch):
    whole = run(QUICK.changed(epochs=3))
    path, epochs = tmp_path / "clair.pt", []
    next_epoch = ClairTraining.next_epoch

    def interrupted(self, tick):
        if len(epochs) == 2:
            raise KeyboardInterrupt
        epochs.append(1)
        next_epoch(self, tick)

    monkeypatch.setattr(ClairTraining, "next_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(QUICK.changed(epochs=3), checkpoint=path)
    epochs.clear()
    resumed = run(QUICK.changed(epochs=3), checkpoint=path)
    assert len(epochs) == 1, "only the missing epoch is run"
    assert same(weights(whole), weights(resumed)) and whole.chosen == resumed.chosen
    assert all(np.array_equal(whole.labels[d], resumed.labels[d]) for d in whole.labels)
    assert [h["L_total"] for h in whole.history] == [h["L_total"] for h in resumed.history]
    kept = torch.load(path, weights_only=True)
    for name in ("encode", "_frozen", "texts"):  # a finished one is read, nothing is computed again
        monkeypatch.setattr(ClairTraining, name, None)
    monkeypatch.setattr(clair, "closed_form_mapping", None)
    again = run(QUICK.changed(epochs=3), checkpoint=path)
    assert same(weights(whole), weights(again)) and again.history == resumed.history
    assert not any("token_embedding" in name for name in (*kept["model"], *kept["momentum"], *kept["best"]))


@pytest.mark.parametrize("train_mapping", [True, False])
def test_a_finished_training_comes_back_with_its_mapping(tmp_path, train_mapping):
    config = QUICK.changed(epochs=1, train_mapping=train_mapping)
    first, again = run(config, checkpoint=tmp_path / "c.pt"), run(config, checkpoint=tmp_path / "c.pt")
    assert same(weights(first), weights(again)) and not torch.equal(again.model.q, torch.eye(len(again.model.q)))


def test_a_kept_training_has_a_name_for_all_that_makes_it(fresh_cache):
    encoder, pair = make_encoder(), make_pair()
    paths = [
        kept_at(encoder, pair, QUICK, 0),
        kept_at(encoder, pair, QUICK, 1),
        kept_at(encoder, pair, QUICK.changed(temperature=0.1), 0),
        kept_at(encoder, make_pair(objects=("cup", "car")), QUICK, 0),
        kept_at(encoder, make_pair(images=pictures(seed=1)), QUICK, 0),
    ]
    assert len(set(paths)) == 5 and paths[0] == kept_at(make_encoder(), make_pair(), QUICK, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": QUICK.changed(temperature=0.1)}, r"belongs to another training \(different settings\)"),
        ({"pair": make_pair(images=pictures(seed=1))}, r"belongs to another training \(different images\)"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, change, message):
    run(QUICK.changed(epochs=1), checkpoint=tmp_path / "c.pt")
    with pytest.raises(CdirError, match=message):
        run(**{"config": QUICK.changed(epochs=1), **change}, checkpoint=tmp_path / "c.pt")


def test_a_checkpoint_of_another_model_and_a_damaged_one(tmp_path):
    run(QUICK.changed(epochs=1), checkpoint=tmp_path / "c.pt")
    encoder = make_encoder()
    encoder.model.visual.proj.data.mul_(2)
    with pytest.raises(CdirError, match=r"different model"):
        fit(encoder, make_pair(), QUICK.changed(epochs=1), seed=3, checkpoint=tmp_path / "c.pt")
    torch.save([1, 2], tmp_path / "c.pt")
    with pytest.raises(CdirError, match="cannot be read"):
        run(QUICK.changed(epochs=1), checkpoint=tmp_path / "c.pt")
    (tmp_path / "c.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CdirError, match="cannot be read .* delete it to train from the start"):
        run(QUICK.changed(epochs=1), checkpoint=tmp_path / "c.pt")


def test_a_place_that_takes_no_file_costs_the_checkpoint_not_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="could not be saved"):
        fitted = run(QUICK.changed(epochs=1), checkpoint=tmp_path / "file" / "c.pt")
    assert len(fitted.history) == 1


def test_one_image_in_each_domain_is_enough():
    images = pictures()
    few = make_pair(images=images.take(np.array([0, 33])))
    assert len(run(QUICK.changed(batch_size=2), few).history) == 2


# ---- views, pairs, variants ----------------------------------------------------------------------------------------


def test_views_are_crops_of_the_image_mirrored_or_not():
    ramp = torch.linspace(0, 1, 32).expand(200, 3, 32, 32).contiguous()  # brighter to the right
    view = random_view(ramp, torch.Generator().manual_seed(0), 0.25)
    steps = (view[..., -1] - view[..., 0])[:, 0, 0]
    assert 0.3 < (steps < 0).float().mean() < 0.7, "about half are mirrored"
    assert steps.abs().min() >= 0.5 - 0.05 and steps.abs().max() <= 1 and view.min() >= 0 and view.max() <= 1
    whole = random_view(ramp, torch.Generator().manual_seed(0), 1.0)
    assert all(torch.allclose(w, r, atol=1e-5) or torch.allclose(w, r.flip(-1), atol=1e-5) for w, r in zip(whole, ramp))


def test_a_trial_is_one_only_where_settings_have_the_value_that_it_replaces():
    long = named_config("CLAIR-A, tiny-clip, long")
    trials = [m for m in TRIALS if changes(m, long)]
    assert trials == ["CLAIR with L_II", "CLAIR, wider prompts"] and not changes("CLAIR w/o L_II", long)
    assert not any(changes(m, ClairConfig()) for m in TRIALS), "L_II is on, and prompts are wider than that"
    assert [m for m in TRIALS if changes(m, named_config("CLAIR-A, real-clip"))] == ["CLAIR with L_II"]
    task = load_protocol("world-unseen", open_dataset("world"))
    configs = [variant(m, task, ("clipart", "sketch"), long)[1] for m in trials]
    assert configs == [long.changed(weight_ii=0.1), long.changed(prompt_std=0.1)]


def test_split_sets_half_of_the_validation_part_aside_in_each_domain():
    pair = make_pair()
    train, validation = pair.split("sketch", 2, seed=0)  # 2 a class, 3 classes, half of it: 3
    assert len(validation) == 3 and sorted([*train, *validation]) == list(range(20))
    assert len(pair.split("real", 100, seed=0)[1]) == 14 // 3, "never more than a third"
    assert len(make_pair(classes=2).split("sketch", 2, seed=0)[1]) == 2, "a class list may be longer than the classes"


def test_variants_change_one_thing():
    task = load_protocol("world-unseen", open_dataset("world"))
    domains, config = ("clipart", "sketch"), ClairConfig()
    pairs = {m: variant(m, task, domains, config, train_images=40, seed=1) for m in VARIANTS}
    full_pair, full = pairs["CLAIR"]
    assert len(full_pair.images) == 80 and full == config
    for method in LEAVE_ONE_OUT:
        pair, changed = pairs[method]
        different = [name for name, value in full if value != getattr(changed, name)]
        assert len(different) == 1 and pair.names == full_pair.names
        assert pair.images.fingerprint == full_pair.images.fingerprint
    expanded = set(pairs["CLAIR, expanded class list"][0].names)
    without = set(pairs["CLAIR, expanded list without training names"][0].names)
    assert expanded - without == set(full_pair.names) and not expanded & set(full_pair.unseen)


def test_mismatched_categories_share_half_and_own_a_quarter_each():
    labels = np.array([f"class {i}" for i in range(8)] * 2)
    domains = np.array(["sketch"] * 8 + ["real"] * 8)
    images = ImageSet(tuple(map(str, range(16))), domains, labels, Image.open, tuple(map(str, range(16))))
    kept = mismatched(images, ("sketch", "real"), sorted(set(labels)), seed=0)
    first, second = (set(kept.labels[kept.domains == d]) for d in ("sketch", "real"))
    assert (len(first), len(second), len(first & second)) == (6, 6, 4)


def test_training_pair_of_a_protocol_knows_no_test_class():
    pair = training_pair(load_protocol("world-unseen", open_dataset("world")), ("real", "quickdraw"))
    assert set(pair.images.domains) == {"real", "quickdraw"} and len(pair.names) == 30
    assert pair.words["real"] == "photo" and not set(pair.names) & set(pair.unseen)
    assert set(pair.images.labels.tolist()).isdisjoint(pair.unseen)


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"domains": ("sketch", "sketch")}, "two domains"),
        ({"domains": ("sketch",)}, "two domains"),
        ({"words": {"sketch": "sketch"}}, "domain real has no word"),
        (
            {"domains": ("sketch", "oil"), "words": {"sketch": "sketch", "oil": "oil"}},
            "domain oil has no training images",
        ),
        ({"names": ("dog",)}, "at least two class names"),
        ({"names": ("dog", "cat", "dog")}, '"dog" appears twice'),
        ({"unseen": ("cat", "hat")}, r"names include test classes \(cat\)"),
        ({"unseen": ("boat",)}, r"names include test classes \(boat\)"),
    ],
)
def test_bad_pairs(changed, message):
    with pytest.raises(CdirError, match=message):
        make_pair(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompts": -1}, "prompts should be .*, not -1"),
        ({"epochs": 1.5}, "epochs should be a valid integer, not 1.5"),
        ({"epochs": None}, "epochs should be .*, not None"),
        ({"learning_rate": None}, "learning_rate should be .*, not None"),
        ({"temperature": "0.1"}, "temperature should be a valid number, not '0.1'"),
        ({"learning_rate": 0.0}, "CLAIR: learning_rate should be greater than 0, not 0.0"),
        ({"weight_ic": -1.0}, "weight_ic should be greater than or equal to 0, not -1.0"),
        ({"encoder_momentum": 1.0}, "encoder_momentum should be less than 1, not 1.0"),
        ({"least_crop": 0.0}, "least_crop should be greater than 0, not 0.0"),
    ],
)
def test_bad_settings(changed, message):
    with pytest.raises(CdirError, match=message):
        ClairConfig(**changed)


def test_other_bad_input(last):
    task = load_protocol("world-unseen", open_dataset("world"))
    with pytest.raises(CdirError, match="world-unseen does not train on oil"):
        training_pair(task, ("real", "oil"))
    with pytest.raises(CdirError, match="unknown variant of CLAIR"):
        variant("CLAIR w/o luck", task, ("real", "sketch"), ClairConfig())
    with pytest.raises(CdirError, match='unknown settings "CLAIR-Z"; known: CLAIR-A'):
        named_config("CLAIR-Z")
    other = pictures().take([0])
    with pytest.raises(CdirError, match="trained for sketch and real, but there are images of oil"):
        last.embed(ImageSet(other.keys, np.array(["oil"]), other.labels, other.load, other.digests))
    with pytest.raises(CdirError, match="-3 training images"):
        make_pair().sample(-3, 0)
    resnet = make_encoder()
    resnet.model.visual = open_clip.model.ModifiedResNet([1, 1, 1, 1], 12, 1, 32, 8)
    with pytest.raises(CdirError, match="prompts=0, or choose a vision transformer"):
        fit(resnet, make_pair(), QUICK)


def test_every_setting_names_its_source():
    table = {row["setting"]: row for row in named_config("CLAIR-A, tiny-clip").table()}
    assert table["learning_rate"]["source"].startswith("set here; default 0.0002 (paper, section 5.2")
    assert all(row["source"] for row in table.values()) and "refinement.steps" in table
