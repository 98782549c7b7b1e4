"""Experiments: what a profile or the command line asks for becomes jobs; the notebook runs for several methods."""

import csv

import pytest
import torch.nn.functional as F
import yaml
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.conventions import BY_PSEUDO_LABELS
from cdir_nb.data import dataset_of, load_card, open_task
from cdir_nb.data.protocols import protocol_spec
from cdir_nb.encoders import load_encoder
from cdir_nb.errors import CdirError
from cdir_nb.notebook import read_parameters
from cdir_nb.results import load_records
from cdir_nb.run.options import experiment_from_options
from cdir_nb.run.parameters import MODELS, complete_parameters
from cdir_nb.run.plan import make_plan
from cdir_nb.run.profile import EXPERIMENT, Experiment, load_profile, profile_names, profile_of
from cdir_nb.run.runner import run_plan

BASE = {"method": "UCDIR", "task": "world-closed"}


def jobs_of(**fields):
    return make_plan(profile_of(Experiment(**BASE | fields))).jobs


def test_a_job_for_each_variant_seed_and_value():
    jobs = jobs_of(
        variants=["", "L_IW (v1)"], seeds=[0, 1], settings={"epochs": 3}, sweep={"learning_rate": [0.1, 0.3]}
    )
    found = {(j.parameters["variant"], j.parameters["seed"], j.parameters["settings"]["learning_rate"]) for j in jobs}
    assert len(jobs) == 8 and found == {(v, s, r) for v in ("", "L_IW (v1)") for s in (0, 1) for r in (0.1, 0.3)}
    assert {job.parameters["settings"]["epochs"] for job in jobs} == {3}
    assert len({job.folder for job in jobs}) == len({job.label for job in jobs}) == 8
    assert "learning_rate=0.1" in jobs[0].label


def test_several_experiments_and_numbered_notebooks_in_one_profile(tmp_path):
    content = {
        "name": "mine",
        "about": "a trial",
        "dataset": "world",
        "parameters": {"encoder": "tiny-clip"},
        "experiments": [
            {"method": "CLAIR", "task": "world-unseen", "directions": [["clipart", "sketch"]]},
            {"method": "UCDIR", "task": "world-closed", "encoders": ["mobilenet-v2"]},
            {"method": "UCDIR", "task": "world-closed", "name": "UCDIR again", "seeds": [1, 2]},
        ],
        "notebooks": [{"notebook": "A1_tables", "after": "all"}],
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    jobs = make_plan(load_profile(str(tmp_path / "mine.yaml"))).jobs
    assert [job.parameters.get("encoder") for job in jobs] == ["tiny-clip", "mobilenet-v2", *["tiny-clip"] * 3]
    assert [job.parameters.get("seed") for job in jobs] == [0, 0, 1, 2, 0]
    assert set(jobs[-1].after) == {job.folder for job in jobs[:-1]}
    content["experiments"][2].pop("name")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(CdirError, match="UCDIR, world-closed"):
        load_profile(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    "fields, value",
    [
        ({"method": "UCDRI"}, "UCDRI"),
        ({"task": "world-close"}, "world-close"),
        ({"variants": ["v9"]}, "v9"),
        ({"settings": {"lr": 0.1}}, "lr"),
        ({"sweep": {"learning_rate": [0.1, -1.0]}}, "-1"),
        ({"directions": [["clipart", "photo"]]}, "clipart to photo"),
        ({"settings": {"named": "as told"}}, "as told"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line_before_anything_runs(fields, value):
    with pytest.raises(CdirError, match=value) as error:
        jobs_of(**fields)
    assert "\n" not in str(error.value)


def test_the_command_line_becomes_an_experiment():
    found = experiment_from_options(
        "UCDIR",
        "pacs-closed",
        variants=["L_IW (v1)"],
        seeds="0,2",
        directions=["photo:sketch"],
        settings=["epochs=3", "least_confidence=none", "reduction=sum"],
        sweep=["learning_rate=0.01,0.03"],
    )
    assert found.seeds == [0, 2] and found.directions == [["photo", "sketch"]] and found.variants == ["L_IW (v1)"]
    assert found.settings == {"epochs": 3, "least_confidence": None, "reduction": "sum"}
    assert found.sweep == {"learning_rate": [0.01, 0.03]} and found.encoders == ["mobilenet-v2"]
    assert experiment_from_options("CLAIR", "world-unseen", encoder="real-clip").encoders == ["real-clip"]


@pytest.mark.parametrize(
    "words, value",
    [
        (["--method", "UCDIR"], "--task"),
        (["--method", "UCDIR", "--task", "world-closed", "--seeds", "a"], "a"),
        (["--method", "UCDIR", "--task", "world-closed", "--sweep", "learning_rate"], "learning_rate"),
        (["--method", "UCDIR", "--task", "world-closed", "--direction", "clipart"], "clipart"),
        (["--method", "UCDIR", "--task", "world-closed", "--profile", "world"], "world"),
        (["--sweep", "learning_rate=1"], "--method"),
    ],
)
def test_bad_options_end_in_one_line(words, value):
    shown = CliRunner().invoke(app, ["reproduce", *words])
    assert shown.exit_code == 2 and value in shown.output and len(shown.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "method, encoder",
    [("CLAIR", "mobilenet-v2"), ("TKI", "timm:resnet50"), ("SnMpNet", "real-clip"), ("CVAE", "ViT-B-32:openai")],
)
def test_an_encoder_of_the_wrong_kind_is_refused_before_anything_runs(method, encoder, tmp_path):
    words = ["--method", method, "--task", "world-unseen", "--encoder", encoder, "--out", str(tmp_path / "runs")]
    shown = CliRunner().invoke(app, ["reproduce", *words])
    assert shown.exit_code == 2 and len(shown.output.strip().splitlines()) == 1
    assert method in shown.output and encoder in shown.output and "choose" in shown.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", profile_names())
def test_every_bundled_profile_has_valid_experiments(name):
    """Methods, variants, settings and directions exist; images are not opened."""
    profile = load_profile(name)
    for entry in profile.notebooks:
        if entry.notebook == EXPERIMENT:
            defaults = read_parameters(profile.path(entry))
            for swept in entry.combinations({}):
                values = {**profile.parameters, **entry.parameters, **swept}
                complete_parameters(entry.name, values, defaults, MODELS[EXPERIMENT])
                assert dataset_of(values["task"]) == profile.dataset


@pytest.mark.parametrize("name", [n for n in profile_names() if n.startswith(("clair-grid", "tki-sensitivity"))])
def test_a_search_of_settings_reads_no_unseen_class(name):
    """Nothing is measured, or the queries are of training classes or of images that the encoder has seen."""
    for entry in load_profile(name).notebooks:
        spec = protocol_spec(entry.parameters["task"])
        card = load_card(load_profile(name).dataset)
        seen = (
            set(card.class_set(spec.train)) >= set(card.fractions(spec.query)) or spec.keys == "real_clip_seen.txt.gz"
        )
        assert seen or entry.parameters["test"] is False


@pytest.mark.slow
def test_another_task_is_measured_with_the_same_fit(tmp_path):
    fields = {"method": "CLIP + Q", "task": "world-unseen", "encoders": ["tiny-clip"]}
    experiment = Experiment(**fields, test_task="world-training-10", directions=[["clipart", "sketch"]])
    (outcome,) = run_plan(make_plan(profile_of(experiment)), tmp_path / "run")
    assert outcome.status == "done", outcome.reason
    records = load_records(outcome.folder)
    assert {record.protocol for record in records} == {"world-training-10"}
    named = {r.query_domain: r.value for r in records if r.metric == "accuracy:zero-shot, among the 10 query classes"}
    clip, task = load_encoder("tiny-clip"), open_task("world", protocol="world-training-10")[2]
    queries, names = task.query("sketch"), [f"A sketch of {'an' if c[0] == 'a' else 'a'} {c}" for c in task.classes]
    guessed = (clip.embed_images(queries) @ F.normalize(clip.embed_texts(names), dim=-1).T).argmax(1)
    right = [task.classes[i] == label for i, label in zip(guessed, queries.labels)]
    assert named["sketch"] == pytest.approx(sum(right) / len(right))
    with pytest.raises(CdirError, match="pacs-all"):
        make_plan(profile_of(Experiment(**fields, test_task="pacs-all")))


@pytest.mark.slow
def test_without_a_test_no_test_image_is_read(tmp_path):
    settings = {"epochs": 1, "train_images": 40}
    fields = {"method": "CLAIR", "task": "world-unseen", "encoders": ["tiny-clip"], "settings": settings}
    experiment = Experiment(**fields, directions=[["clipart", "sketch"]], test=False)
    (outcome,) = run_plan(make_plan(profile_of(experiment)), tmp_path / "run")
    assert outcome.status == "done", outcome.reason
    assert not load_records(outcome.folder) and not (outcome.folder / "grid.png").exists()
    rows = list(csv.DictReader((outcome.folder / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1"] and rows[0][BY_PSEUDO_LABELS] and int(rows[1]["steps"]) > 0


@pytest.mark.parametrize(
    "method, task, settings",
    [
        (
            "UCDIR",
            "world-closed",
            {"epochs": 2, "train_images": 40, "cluster_from": 0, "full_from": 1, "align_from": 1},
        ),
        ("TKI", "world-unseen", {"expansion_steps": 3, "aggregation_steps": 3, "words": 3}),
        ("CLIP + Q", "world-unseen", {}),
    ],
)
def test_the_experiment_notebook_runs(method, task, settings, tmp_path):
    experiment = experiment_from_options(method, task, directions=[] if method == "TKI" else ["clipart:sketch"])
    plan = make_plan(profile_of(experiment.model_copy(update={"settings": settings})))
    (outcome,) = run_plan(plan, tmp_path / "run")
    assert outcome.status == "done", outcome.reason
    records = load_records(outcome.folder)
    assert {method} < {record.method for record in records}
    assert all(record.settings is not None for record in records)
    figures = {path.name for path in outcome.folder.glob("*.png")}
    assert figures == {"grid.png", "confusions.png"} | ({"history.png"} if method != "CLIP + Q" else set())
    if method == "UCDIR":
        rows = list(csv.DictReader((outcome.folder / "history.csv").open()))
        assert [row["epoch"] for row in rows] == ["0", "1", "2"] and float(rows[-1]["L_IW"]) > 0
