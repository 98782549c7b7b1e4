"""Every row of the table of methods through `fit`: a few steps, every state measured, resuming, what is refused."""

import re
import shutil

import pytest
import torch

from cdir_nb import paths
from cdir_nb.conventions import LAST_EPOCH, NOTHING_SELECTED, SELECTION_RULES
from cdir_nb.data import load_protocol
from cdir_nb.data.world import load_world
from cdir_nb.encoders import load_encoder
from cdir_nb.errors import CdirError
from cdir_nb.methods import METHODS, AlphaQE, Centre, Popularity, PostProcessed, QBNorm, Training, fit, fit_reference
from cdir_nb.methods import training as engine
from cdir_nb.methods.checkpoints import cache_key, checkpoint_file
from cdir_nb.methods.method import ALL_DOMAINS, BACKBONE, CLIP, PAIR
from cdir_nb.results import measure
from cdir_nb.retrieval import rank

FEW_STEPS = {  # a method uses those that it has
    "epochs": 2, "expansion_steps": 2, "aggregation_steps": 2, "classes_per_step": 3, "decay_epochs": 2,
    "cluster_from": 0, "full_from": 1, "align_from": 0, "clusters": 3, "views": 2, "pools": 1,
    "batch_size": 10, "train_images": 12, "image_size": 64,
}  # fmt: skip
TRAINED = [name for name, row in METHODS.items() if isinstance(row.build, type) and issubclass(row.build, Training)]

pytestmark = [pytest.mark.medium, pytest.mark.usefixtures("own_cache")]


@pytest.fixture(scope="module")
def images():
    return load_world(3)


def task_for(name: str, images):
    row = METHODS[name]
    protocol = "world-ucdr-quickdraw-mixed" if row.encoders == BACKBONE or "harness" in row.build.__module__ else ""
    if name == "SAKE-512":  # has no feature for an unseen domain
        protocol = "world-uccdr-sketch"
    return load_protocol(protocol or "world-unseen", images)


def encoder_for(name: str):
    return load_encoder("tiny-clip" if METHODS[name].encoders == CLIP else "mobilenet-v2")


def few_steps(name: str) -> dict:
    row = METHODS[name]
    settings = {key: value for key, value in FEW_STEPS.items() if key in row.settings.model_fields}
    if row.fitted_for == ALL_DOMAINS and "train_images" in settings:
        settings["train_images"] = 1  # of each class and domain
    if "labels" in row.learns_from and row.fitted_for == PAIR:
        settings["train_images"] = 40  # both domains need images of the same classes
    if name == "CLAIR":
        settings["train_images"] = 60  # a third is held out, in which some pseudo-labels must occur twice
    return settings


def directions_for(name: str, task) -> list | None:
    return None if METHODS[name].fitted_for == ALL_DOMAINS else [("clipart", "sketch")]


def fitted_by(name: str, images, **how):
    task = task_for(name, images)
    how = {"settings": few_steps(name), "directions": directions_for(name, task), **how}
    return task, fit(name, encoder_for(name), task, progress=False, **how)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_fits_and_every_state_is_measured(images, name):
    task, fitted = fitted_by(name, images)
    assert set(fitted.states) <= set(SELECTION_RULES) and fitted.name == name
    for rule, embedders in fitted.states.items():
        records = measure(embedders, task, fitted.seed)
        directions = {(record.query_domain, record.gallery_domain) for record in records}
        expected = {("clipart", "sketch"), ("sketch", "clipart")} if METHODS[name].fitted_for == PAIR else None
        fitted_for = set(embedders[0].directions or task.directions)
        assert directions == (expected or fitted_for & set(task.directions))
        assert {record.selection_rule for record in records} == {rule}
        settings = {key: value for key, value in records[0].settings.items() if key != "similarity"}
        assert set(fitted.settings.plain()) == set(settings)
    if name in TRAINED:
        assert LAST_EPOCH in fitted.states and fitted.history and fitted.states[LAST_EPOCH][0].steps > 0
        assert any(value > 0 for value in fitted.states[LAST_EPOCH][0].moved.values())
        learns = METHODS[name].learns_from
        assert (fitted.states[LAST_EPOCH][0].training_images is not None) == ("images" in learns)
    else:
        assert set(fitted.states) == {NOTHING_SELECTED} and not fitted.history


STEPS = (
    [Centre("training images"), AlphaQE(5, 3)],
    [Centre("all queries"), AlphaQE(5, 0)],
    [Centre("gallery")],
    [AlphaQE(3, 1), Popularity("mean", "training images")],
    [Popularity("top_k", "all queries", k=3)],
    [Popularity("softmax", "training images", tau=0.1)],
    [Popularity("sinkhorn", "all queries", tau=0.1)],
    [QBNorm(0.1)],
)


FAST = ("vanilla CLIP", "TKI", "frozen backbone")
ROWS = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in METHODS]


@pytest.mark.parametrize("name", ROWS)
def test_every_step_applies_to_every_method_and_needs_what_its_record_says(images, name):
    """One query at a time and all at once give the same ranking, or a single query is refused."""
    task, fitted = fitted_by(name, images)
    base = list(fitted.states.values())[-1][0]
    a, b = next(pair for pair in task.directions if pair in (base.directions or task.directions))
    query, gallery = task.query(a).take(range(4)), task.gallery(b)
    bank = None if base.training_images is not None else task.images.select((a, b), task.seen)
    for steps in [None, *STEPS]:
        method = base if steps is None else PostProcessed(base, steps, bank)
        needed = method.data_at_test_time
        if "training images" in needed and a not in method.training_images.domains:
            with pytest.raises(CdirError, match=f"no training images of {a}"):
                scores_of(method, query, gallery)
            continue
        scores = scores_of(method, query, gallery)
        assert torch.isfinite(scores).all() and scores.std() > 0
        if "all queries" in needed:
            with pytest.raises(CdirError, match="needs all queries at once, and there are 1"):
                scores_of(method, query.take([0]), gallery)
            continue
        alone = torch.cat([scores_of(method, query.take([row]), gallery) for row in range(len(query))])
        torch.testing.assert_close(alone, scores, rtol=1e-4, atol=1e-4)


def scores_of(method, query, gallery):
    """(Q, G) scores of the ranking, in the order of the gallery."""
    pair = (method.embed(images, progress=False) for images in (query, gallery))
    ranking = rank(*method.prepare(query, gallery, *pair), similarity=method.similarity)
    scores = torch.empty(ranking.scores.shape)
    return scores.scatter_(1, torch.from_numpy(ranking.indices).long(), torch.from_numpy(ranking.scores))


INTERRUPTED = ["CLAIR", "UCDIR", "SnMpNet", "TKI, domain expansion", "TKI", "CoDA", "SketchLVM"]


@pytest.mark.parametrize("stage", INTERRUPTED)
def test_an_interrupted_training_resumes_from_its_checkpoint(images, stage, monkeypatch):
    """The loop stops after its first checkpoint; the second call reads that file and gives the same result."""
    name = stage.partition(",")[0]
    _, complete = fitted_by(name, images, seed=3)
    (training,) = complete.trainings
    interrupted = training.expansion if stage == "TKI, domain expansion" else training
    shutil.rmtree(paths.cache_dir() / "trainings")
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", 0.0)
    run_epoch = Training.run_epoch

    def stop(self, bar=None):
        if self.name == stage and self.epoch == 1:
            raise KeyboardInterrupt
        run_epoch(self, bar)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "run_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            fitted_by(name, images, seed=3)
    assert checkpoint_file(stage, cache_key(interrupted)).is_file()
    monkeypatch.setattr(type(interrupted), "begin", lambda self: pytest.fail("began again"))
    _, resumed = fitted_by(name, images, seed=3)
    for rule, (embedder,) in complete.states.items():
        (other,) = resumed.states[rule]
        part = images.select("sketch", images.labels[:1])
        assert embedder.epoch == other.epoch and torch.equal(embedder.embed(part), other.embed(part))
    end, expected = resumed.trainings[0].state(), training.state()
    for network in ("model", "momentum"):
        assert end[network].keys() == expected[network].keys()
        assert all(torch.equal(tensor, expected[network][key]) for key, tensor in end[network].items())
    assert [row["L_total"] for row in end["history"]] == [row["L_total"] for row in expected["history"]]


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.encoders != "any"])
def test_an_encoder_that_a_method_cannot_use_is_refused(images, name):
    wrong = load_encoder("mobilenet-v2" if METHODS[name].encoders == CLIP else "tiny-clip")
    with pytest.raises(CdirError, match=re.escape(name)):
        fit(name, wrong, task_for(name, images))


@pytest.mark.parametrize("name", METHODS)
def test_variants_and_named_settings_are_valid_and_each_setting_has_a_source(name):
    row = METHODS[name]
    for variant in row.variants:
        bases = [row.configured(settings=named) for named in row.named] or [row.configured()]
        default = variant == "CLIP + Q, identity"  # under a name of its own, since committed rows have another
        assert default or any(row.applies(variant, base) for base in bases), variant
    for encoder, named in row.for_encoder.items():
        assert named in row.named, (encoder, named)
    assert all(line["source"] for settings in (row.settings(), *row.named.values()) for line in settings.table())


def test_names_of_methods_and_variants_are_unique():
    names = [name for row in METHODS.values() for name in (row.name, *row.variants)]
    assert len(set(names)) == len(names)


def test_the_reference_of_a_method_has_its_encoder_and_image_size(images):
    for name, reference in (("CLAIR", "vanilla CLIP"), ("UCDIR", "frozen start"), ("SnMpNet", "frozen backbone")):
        task, encoder = task_for(name, images), encoder_for(name)
        settings = METHODS[name].configured(encoder, settings=few_steps(name))
        fitted = fit_reference(METHODS[name], encoder, task, settings)
        assert fitted.name == reference
        if "image_size" in type(settings).model_fields:
            assert fitted.settings.image_size == 64
