"""What is wrong is refused before anything runs; a digest changes with what makes a result, only then."""

import datetime
import os
import shutil
import time

import pandas as pd
import pytest
from tiny_notebooks import PARAMETERS, write_notebook, write_pacs, write_profile
from try_profiles import NOT_TRIED

from cdir_nb import sources
from cdir_nb.data import open_task
from cdir_nb.errors import CdirError
from cdir_nb.notebook import read_parameters
from cdir_nb.paths import MANIFEST, NOTEBOOKS, PACKAGE, ROOT
from cdir_nb.run import digests, plan
from cdir_nb.run.parameters import MODELS, Shared, complete_parameters
from cdir_nb.run.plan import make_plan
from cdir_nb.run.profile import load_profile, profile_names


@pytest.fixture
def folder(tmp_path):
    write_notebook(tmp_path / "01_first.ipynb", "seed + 1")
    write_notebook(
        tmp_path / "02_second.ipynb", "seed + 2", parameters='dataset = "world"\nencoder = "tiny-clip"\nk = None'
    )
    return tmp_path


def planned(folder, fields=None, **options):
    return make_plan(load_profile(str(write_profile(folder, **(fields or {})))), **options)


def refusal(folder, fields=None, **options) -> str:
    with pytest.raises(CdirError) as caught:
        planned(folder, fields, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def parameters(made):
    return {job.name: job.parameters for job in made.jobs}


# --- parameters


@pytest.mark.parametrize(
    "setting,values",
    [
        ("sead=1", ["sead", "01_first", "layers, lr, seed"]),
        ("01.k=1", ["'k'"]),
        ("03.seed=1", ["'03'", "02_second"]),
        ("seed=one", ["01_first: seed", "'one'"]),
        ("seed=1.5", ["seed", "1.5"]),
        ("seed=true", ["seed", "True"]),
        ("seed=-1", ["seed", "-1"]),
        ("lr=true", ["lr", "True"]),
        ("lr=1e999", ["lr", "inf"]),
        ("layers=[1,'a']", ["layers.1", "'a'"]),
        ("seed", ["NAME=VALUE"]),
        ("out_dir=/tmp", ["out_dir"]),
        ("data_root=/tmp", ["data_root", "--data"]),
    ],
)
def test_wrong_settings_are_refused(folder, setting, values):
    message = refusal(folder, settings=[setting])
    assert all(value in message for value in values)


def test_right_settings_are_taken(folder):
    made = parameters(
        planned(folder, settings=["seed=3", "01.lr=1", "layers=[4]", "02_second.k=5"], encoder="ViT-B-32:random")
    )
    assert made["01_first"] == {"dataset": "world", "data_root": "", "seed": 3, "lr": 1, "layers": [4]}
    assert made["02_second"] == {"dataset": "world", "encoder": "ViT-B-32:random", "k": 5}


def test_parameters_of_a_profile_are_checked(folder):
    for values in ({"lr": "1e-3"}, {"epochs": 3}):
        message = refusal(folder, {"notebooks": [{"notebook": "01_first.ipynb", "parameters": values}]})
        assert "01_first" in message and next(iter(values)) in message
    assert "sead" in refusal(folder, {"parameters": {"sead": 3}})


def test_an_entrys_parameters_win_over_common_ones_and_settings_over_both(folder):
    notebooks = [{"notebook": "01_first.ipynb", "parameters": {"seed": 7}}]
    fields = {"notebooks": notebooks, "parameters": {"seed": 5, "lr": 0.5}}
    assert parameters(planned(folder, fields))["01_first"]["seed"] == 7
    assert parameters(planned(folder, fields))["01_first"]["lr"] == 0.5
    assert parameters(planned(folder, fields, settings=["seed=9"]))["01_first"]["seed"] == 9


@pytest.mark.parametrize(
    "source, line",
    [
        ("import os", 1),
        ("seed = 0\nroot = os.sep", 2),
        ("seed = (", 1),
        ("seed = " + "-" * 20_000 + "1", 1),
        ("seed = " + "(" * 5_000, 1),
        ("seed = 0\0", 1),
        ("x = [" * 3000, 1),
    ],
)
def test_a_parameters_cell_holds_literals_only(folder, source, line):
    write_notebook(folder / "01_first.ipynb", parameters=source)
    assert f"01_first.ipynb: parameters cell, line {line}" in refusal(folder)


@pytest.mark.parametrize("value", [datetime.date(2026, 1, 2), [float("nan")], {1: {2, 3}}, "a\nb"])
def test_values_that_a_digest_cannot_hold_are_refused(value):
    with pytest.raises(CdirError, match="02_second: k"):
        complete_parameters("02_second", {"k": value}, {"k": None}, Shared)


# --- notebooks, data and checkpoints


def test_a_missing_or_damaged_notebook_is_named(folder):
    assert "gone.ipynb" in refusal(folder, {"notebooks": [{"notebook": "gone.ipynb"}]})
    for damaged in (
        "{}}",
        "[]",
        '{"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [{"cell_type": "code"}]}',
    ):
        (folder / "01_first.ipynb").write_text(damaged)
        assert "01_first.ipynb" in refusal(folder)
    (folder / "01_first.ipynb").unlink()
    os.mkfifo(folder / "01_first.ipynb")
    assert "01_first.ipynb" in refusal(folder)


@pytest.mark.parametrize(
    "dataset,data,value",
    [
        ("pacs", [], "--data pacs=PATH"),
        ("pacs", ["pacs=/no/where"], "/no/where"),
        ("pacs", ["pacs=/tmp", "pacs=/"], "pacs=/"),
        ("pacs", ["pacs"], "NAME=PATH"),
        ("pacs", ["world=/tmp"], "world=/tmp"),
        ("world", ["world=/tmp"], "world=/tmp"),
    ],
)
def test_data_must_be_there(folder, dataset, data, value):
    assert value in refusal(folder, {"dataset": dataset}, data=data)


def test_a_missing_checkpoint_is_named(folder):
    assert "checkpoint /no/where.pt" in refusal(folder, encoder="ViT-B-32:/no/where.pt")


def test_paths_are_absolute_for_the_notebook(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "w.pt").write_bytes(b"1")
    write_pacs(folder / "images")
    made = parameters(planned(folder, {"dataset": "pacs"}, data=["pacs=images"], encoder="ViT-B-32:w.pt"))
    assert made["01_first"]["data_root"] == str(folder / "images")
    assert made["02_second"]["encoder"] == f"ViT-B-32:{folder / 'w.pt'}"
    backbone = parameters(planned(folder, encoder="timm:resnet50:w.pt"))
    assert backbone["02_second"]["encoder"] == f"timm:resnet50:{folder / 'w.pt'}"


# --- digests


def digest(folder, *, job=0, **options):
    return planned(folder, **options).jobs[job].digest


def test_the_digest_is_stable_and_follows_parameters(folder):
    assert digest(folder) == digest(folder)
    assert digest(folder, settings=["seed=1"]) != digest(folder)
    assert digest(folder, settings=["seed=0"]) == digest(folder)
    assert planned(folder).folder == planned(folder).folder != planned(folder, settings=["seed=1"]).folder


def test_the_digest_follows_code_cells_not_text(folder):
    before = digest(folder)
    write_notebook(folder / "01_first.ipynb", "seed + 1", text="# Other words")
    assert digest(folder) == before
    write_notebook(folder / "01_first.ipynb", "seed + 3")
    assert digest(folder) != before


def test_another_training_of_real_clip_by_its_folder(folder, monkeypatch):
    mine = folder / "models" / "mine"
    mine.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (mine / name).write_text(name)
    monkeypatch.chdir(folder)
    relative, absolute = (planned(folder, encoder=f"real-clip:{path}") for path in ("models/mine", mine))
    assert parameters(relative)["02_second"]["encoder"] == f"real-clip:{mine}"
    assert relative.jobs == absolute.jobs
    (mine / "model.safetensors").write_text("other weights")
    assert planned(folder, encoder="real-clip:models/mine").jobs[1].digest != relative.jobs[1].digest
    (mine / "config.json").unlink()
    assert str(mine / "config.json") in refusal(folder, encoder="real-clip:models/mine")


@pytest.mark.parametrize("encoder", ["tinyclip", "tiny-clip,pool=mean", "timm:"])
def test_a_bad_encoder_is_refused_before_anything_runs(folder, encoder):
    assert encoder.rpartition("=")[2] in refusal(folder, encoder=encoder)


@pytest.mark.parametrize("encoder", ["ViT-B32:openai", "ViT-B-32:opnai", "timm:resnet5", "ViT-B-32:/nowhere/a.pt"])
def test_a_wrong_encoder_is_refused_before_any_image_is_read(folder, encoder, monkeypatch):
    monkeypatch.setattr(plan, "open_dataset", lambda *_, **__: pytest.fail("images were read"))
    root = write_pacs(folder / "images")
    message = refusal(folder, {"dataset": "pacs"}, data=[f"pacs={root}"], encoder=encoder)
    assert encoder.partition(":")[2] in message


def test_the_digest_follows_checkpoint_content_wherever_it_lies(folder):
    (folder / "other").mkdir()
    for name, content in [("a.pt", b"1"), ("other/a.pt", b"1")]:
        (folder / name).write_bytes(content)
    before = digest(folder, job=1, encoder=f"ViT-B-32:{folder}/a.pt")
    assert digest(folder, job=1, encoder=f"ViT-B-32:{folder}/other/a.pt") == before
    (folder / "a.pt").write_bytes(b"2")
    assert digest(folder, job=1, encoder=f"ViT-B-32:{folder}/a.pt") != before


def pacs_digest(folder, root) -> str:
    return digest(folder, fields={"dataset": "pacs"}, data=[f"pacs={root}"])


def test_the_digest_follows_the_images_wherever_they_lie(folder, tmp_path):
    first = pacs_digest(folder, write_pacs(folder / "images"))
    assert pacs_digest(folder, folder / "images") == first
    os.rename(folder / "images", folder / "moved")
    (folder / "images").symlink_to(folder / "moved")
    assert pacs_digest(folder, folder / "images") == first
    shutil.copyfile(folder / "moved/photo/dog/1.png", folder / "moved/photo/dog/2.png")
    assert pacs_digest(folder, folder / "moved") != first


def test_content_decides_not_times_nor_files_that_are_no_images(folder):
    picture = write_pacs(folder / "images") / "photo" / "dog" / "1.png"
    first, stat = pacs_digest(folder, folder / "images"), picture.stat()
    os.utime(picture, ns=(1, 1))
    (folder / "images/photo/dog/Thumbs.db").write_bytes(b"x")
    (folder / "images/notes.txt").write_text("bought in Paris")
    assert pacs_digest(folder, folder / "images") == first
    whole = picture.read_bytes()
    picture.write_bytes((folder / "images/sketch/house/1.png").read_bytes()[: len(whole)].ljust(len(whole), b"\0"))
    os.utime(picture, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert picture.stat().st_size == stat.st_size and pacs_digest(folder, folder / "images") != first


# --- images: wrong ones are found before anything runs


def test_wrong_images_are_refused_once_with_an_option_that_can_be_given(folder):
    root = write_pacs(folder / "images")
    options = {"fields": {"dataset": "pacs"}, "data": [f"pacs={root}"]}
    whole = planned(folder, **options)
    (root / "photo/dog/2.png").write_bytes(b"no image")
    (root / "photo/cat").mkdir()
    message = refusal(folder, **options)
    assert "photo/cat" in message and "--skip-unknown" in message
    assert "--skip-bad" in refusal(folder, **options, skip=["unknown"])
    skipping = planned(folder, **options, skip=["bad", "unknown"])
    assert skipping.skip == "bad,unknown" and skipping.jobs[0].digest == whole.jobs[0].digest


def test_notebooks_skip_what_the_run_skips(folder, monkeypatch):
    root = write_pacs(folder / "images")
    (root / "photo/dog/2.png").write_bytes(b"no image")
    with pytest.raises(CdirError, match="1 of 29"):
        open_task("pacs", root)
    monkeypatch.setenv("CDIR_SKIP", "bad")
    assert len(open_task("pacs", root)[1]) == 28


def test_a_folder_that_is_another_dataset_is_refused(folder):
    (folder / "images/dogs").mkdir(parents=True)
    message = refusal(folder, {"dataset": "pacs"}, data=[f"pacs={folder}/images"])
    assert "photo" in message and "dogs" in message


def test_images_that_the_protocol_needs_are_there(folder):
    write_notebook(folder / "01_first.ipynb", parameters=PARAMETERS + '\nprotocol = ""')
    shutil.rmtree(write_pacs(folder / "images") / "sketch" / "house")
    message = refusal(folder, {"dataset": "pacs"}, data=[f"pacs={folder}/images"])
    assert "pacs-all" in message and "sketch/house" in message


# --- digests of code


@pytest.fixture
def changes(tmp_path, monkeypatch):
    """Whether a change of a file in a copy of the package changes the digest of a notebook with this code."""
    package = tmp_path / "site" / "cdir_nb"
    skip = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(PACKAGE, package, ignore=skip)
    shutil.copytree(MANIFEST, tmp_path / "site" / "data_manifest")
    for folder in ("tiny_clip", "real_clip", "mobilenet_v2"):
        (package / "encoders" / folder / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(sources, "PACKAGE", package)
    moved = {
        reader: tuple(tmp_path / "site" / path.relative_to(PACKAGE.parent) for path in files)
        for reader, files in digests.READ_BY.items()
    }
    monkeypatch.setattr(digests, "READ_BY", moved)

    def changes(code: str, file: str) -> bool:
        notebook, path = write_notebook(tmp_path / "n.ipynb", code), tmp_path / "site" / file
        before, content = digests.source_digest(notebook), path.read_bytes()
        path.write_bytes(content + b"\nNEW = 1\n")
        try:
            return digests.source_digest(notebook) != before
        finally:
            path.write_bytes(content)

    return changes


LOSSES = "from cdir_nb.methods.ucdir import losses"
STYLE = "cdir_nb/show/style.py"
COMMITTED = next((PACKAGE / "results" / "reproduced").iterdir()).relative_to(PACKAGE.parent).as_posix()
CLAIMS = "cdir_nb/results/claims/claims.yaml"
CARD, WEIGHTS = "data_manifest/pacs/card.yaml", "cdir_nb/encoders/tiny_clip/model.safetensors"


@pytest.mark.parametrize(
    "code,file,expected",
    [
        (LOSSES, "cdir_nb/methods/ucdir/losses.py", True),
        (LOSSES, STYLE, False),
        (LOSSES, "cdir_nb/cli.py", False),
        ("%time\n!ls\nfrom cdir_nb import show\nshow.save_figure", STYLE, True),
        ("from cdir_nb import show", STYLE, True),
        ("from cdir_nb.results import reproduced_records", COMMITTED, True),
        ("from cdir_nb import results\nresults.reproduced_records()", COMMITTED, True),
        ("from cdir_nb.results import measure, save_records", COMMITTED, False),
        ("from cdir_nb import show\nshow.running_table('06')", COMMITTED, True),
        ("from cdir_nb import show\nshow.save_figure", COMMITTED, False),
        ("from cdir_nb.results import load_claims", CLAIMS, True),
        ("from cdir_nb.results import measure, save_records", CLAIMS, False),
        ("from cdir_nb.results.published import published", "cdir_nb/results/published/clair.yaml", True),
        ("from cdir_nb.results import measure, save_records", "cdir_nb/results/published/clair.yaml", False),
        ("from cdir_nb.data import open_task", CARD, True),
        ("from cdir_nb.retrieval import rank", CARD, False),
        ("from cdir_nb.encoders import load_encoder", WEIGHTS, True),
        ("from cdir_nb.data import open_task", WEIGHTS, False),
    ],
)
def test_a_job_follows_what_its_notebook_imports_and_reads(changes, code, file, expected):
    assert changes(code, file) == expected


def test_only_notebooks_that_compare_with_committed_records_read_them():
    reader = next(name for name in digests.READ_BY if name.endswith("reproduced_records"))
    texts = {path.stem: digests.python_of(path) for path in NOTEBOOKS.glob("*.ipynb")}
    reading = {name for name, text in texts.items() if sources.used([reader], text=text)}
    frozen = {"02_conventions", "04_domain_mapping", "05_pseudo_labels"}
    trained = {"06_prompt_learning", "07_data_free_tki", "08_unsupervised_ucdir", "09_universal_snmpnet"}
    assert reading == frozen | trained | {"10_sketchlvm", "12_which_ideas_hold", "A1_tables"}


def test_every_data_file_of_the_package_has_its_reader():
    listed = [path for files in digests.READ_BY.values() for path in files]
    elsewhere = [PACKAGE / name for name in digests.NO_NUMBER]
    for path in PACKAGE.rglob("*"):
        data = path.is_file() and path.suffix not in (".py", ".pyc") and path.name not in digests.NOT_READ
        if data and not set(elsewhere).intersection(path.parents):
            assert set(listed).intersection((path, *path.parents)), f"who reads {path}?"


def test_a_module_beside_the_notebook_counts(folder):
    write_notebook(folder / "01_first.ipynb", "import mine")
    (folder / "mine.py").write_text("x = 1")
    before = digest(folder)
    (folder / "mine.py").write_text("x = 2")
    changed = digest(folder)
    (folder / "mine.py").write_text("x = 2  # a remark")
    assert digest(folder) == changed != before


def test_jobs_follow_the_source_and_the_libraries(folder, monkeypatch):
    before = digest(folder)
    monkeypatch.setattr(digests, "library_versions", lambda *_: {"torch": "0.0"})
    other = digest(folder)
    monkeypatch.setattr(plan, "source_digest", lambda notebook: "x")
    assert len({before, other, digest(folder)}) == 3


# --- profiles

FIELDS = "name: a\nabout: b\ndataset: c\n"


@pytest.mark.parametrize(
    "content,value",
    [
        ("name: [", "line 2"),
        ("- a", "field: value"),
        (FIELDS + "notebooks: []", "notebooks"),
        (FIELDS + "notebook: []", "notebook: unknown name"),
        (FIELDS + "notebooks: [{notebook: x, params: {}}]", "notebooks.0.params"),
        (FIELDS + "notebooks: [{notebook: x}, {notebook: ./x.ipynb}]", "x appears twice"),
        (FIELDS + "dataset: d\nnotebooks: [{notebook: x}]", "'dataset' appears twice"),
        (FIELDS + "folder: /tmp\nnotebooks: [{notebook: x}]", "folder"),
        (FIELDS + "notebooks: [{notebook: x, sweep: {seed: [1]}, cases: [{seed: 2}]}]", "x: seed"),
        ("name: a/b\nabout: b\ndataset: c\nnotebooks: [{notebook: x}]", "name"),
        ("name: " + "[" * 100_000, "20 deep"),
        (b"name: mine\nabout: Stra\xdfe", "UTF-8"),
    ],
)
def test_a_wrong_profile_is_named_with_its_field(tmp_path, content, value):
    (tmp_path / "mine.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CdirError) as caught:
        load_profile(str(tmp_path / "mine.yaml"))
    assert "mine.yaml" in str(caught.value) and value in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_profile_lists_the_known():
    with pytest.raises(CdirError, match=r"'moon'.*pacs.*world"):
        load_profile("moon")


def test_the_workbooks_profiles_load():
    for name in profile_names():
        assert load_profile(name).name == name
    assert load_profile("world").needs == "" and load_profile("pacs").needs == "--data pacs=PATH"


# --- sweeps, and jobs that come after others

SECOND = 'dataset = "world"\nencoder = "tiny-clip"\nk = None\nrun_folders = ""'


def swept(folder, sweep, *, cases=(), parameters=None, after=None, **options):
    """The plan of 01_first swept and 02_second, which may come after it."""
    write_notebook(folder / "02_second.ipynb", parameters=SECOND)
    first = {"notebook": "01_first.ipynb", "sweep": sweep, "cases": list(cases), "parameters": parameters or {}}
    second = {"notebook": "02_second.ipynb", **({"after": after} if after else {})}
    return planned(folder, {"notebooks": [first, second]}, **options)


def test_a_sweep_is_one_job_for_each_combination(folder):
    *jobs, last = swept(folder, {"seed": [0, 1], "lr": [0.1, 1]}, parameters={"layers": [7]}).jobs
    assert [(job.parameters["seed"], job.parameters["lr"]) for job in jobs] == [(0, 0.1), (0, 1), (1, 0.1), (1, 1)]
    assert all(job.parameters["layers"] == [7] and job.name == "01_first" for job in jobs)
    assert [job.label for job in jobs][1:3] == ["01_first seed=0 lr=1", "01_first seed=1 lr=0.1"]
    assert last.label == "02_second" and len({job.folder for job in jobs}) == 4


def test_parameters_that_belong_together_are_cases(folder):
    cases = [{"lr": 0.5, "layers": [1]}, {"lr": 2.0, "layers": [1]}, {"lr": 0.5, "layers": [2]}]
    jobs = swept(folder, {"seed": [0, 1]}, cases=cases).jobs[:-1]
    expected = [(seed, case["lr"], case["layers"]) for seed in (0, 1) for case in cases]
    assert [tuple(job.parameters[name] for name in ("seed", "lr", "layers")) for job in jobs] == expected
    assert jobs[0].label == "01_first seed=0 lr=0.5 layers=[1]"
    jobs = swept(folder, {}, cases=cases, settings=["layers=[5]"]).jobs[:-1]
    found = [(job.parameters["lr"], job.parameters["layers"]) for job in jobs]
    assert found == [(0.5, [5]), (2.0, [5])], "an override applies, and no job comes twice"


def test_a_job_of_a_sweep_has_the_folder_that_the_same_job_has_alone(folder):
    assert swept(folder, {"seed": [0, 1]}).jobs[1].folder == swept(folder, {}, settings=["seed=1"]).jobs[0].folder


def test_a_setting_takes_the_place_of_a_swept_parameter(folder):
    jobs = swept(folder, {"seed": [0, 1], "lr": [0.1, 1]}, settings=["01.seed=5"]).jobs[:-1]
    assert [(job.parameters["seed"], job.parameters["lr"]) for job in jobs] == [(5, 0.1), (5, 1)]


@pytest.mark.parametrize(
    "sweep,value",
    [
        ({"sead": [1]}, "'sead'"),
        ({"seed": [1, "2"]}, "'2'"),
        ({"data_root": ["/tmp"]}, "data_root"),
        ({"seed": []}, "sweep.seed"),
        ({"seed": 3}, "sweep.seed"),
        ({"layers": [[7]]}, "layers"),
        ({"seed": list(range(399)), "k": list(range(399)), "lr": list(range(399))}, "1,000"),
    ],
)
def test_a_wrong_sweep_is_refused_at_once(folder, sweep, value):
    start = time.process_time()
    with pytest.raises(CdirError, match=value):
        swept(folder, sweep, parameters={"layers": [7]})
    assert time.process_time() - start < 2


def test_cases_set_the_same_parameters(folder):
    with pytest.raises(CdirError, match="01_first: cases"):
        swept(folder, {}, cases=[{"lr": 0.5}, {"seed": 1}])


def test_a_job_after_others_follows_their_digests(folder):
    first, second = swept(folder, {}, after="all").jobs
    assert second.after == (first.folder,) and "run_folders" not in second.parameters
    assert swept(folder, {}, after="all", settings=["seed=1"]).jobs[1].digest != second.digest
    assert swept(folder, {}, settings=["seed=1"]).jobs[1].digest == swept(folder, {}).jobs[1].digest
    *both, last = swept(folder, {"seed": [0, 1]}, after=["01_first"]).jobs
    assert last.after == tuple(job.folder for job in both)


@pytest.mark.parametrize("after", ["03_third", "02_second", ["01_first", "01"]])
def test_a_job_comes_only_after_what_stands_above_it(folder, after):
    with pytest.raises(CdirError, match=r"02_second: after has '\w+'"):
        swept(folder, {}, after=after)


def test_a_job_after_others_must_have_a_parameter_for_their_folders(folder):
    assert "02_second" in refusal(folder, {"notebooks": [{"notebook": "02_second.ipynb", "after": "all"}]})
    entries = [{"notebook": "02_second.ipynb"}, {"notebook": "01_first.ipynb", "after": "all"}]
    assert "01_first has no parameter 'run_folders'" in refusal(folder, {"notebooks": entries})
    assert "run_folders" in refusal(folder, settings=["run_folders=x"])


@pytest.mark.parametrize("name", ["out_dir", "data_root", "dataset", "run_folders"])
def test_reserved_names_are_refused_wherever_they_stand(folder, name):
    for fields in (
        {"parameters": {name: "x"}},
        {"notebooks": [{"notebook": "01_first.ipynb", "parameters": {name: "x"}}]},
    ):
        assert repr(name) in refusal(folder, fields)


def test_a_parameter_called_runs_is_like_any_other(folder):
    write_notebook(folder / "02_second.ipynb", parameters='dataset = "world"\nruns = 5\nrun_folders = ""')
    entries = [{"notebook": "01_first.ipynb"}, {"notebook": "02_second.ipynb", "after": "all"}]
    made = parameters(planned(folder, {"notebooks": entries}, settings=["runs=2"]))
    assert made["02_second"]["runs"] == 2 and "run_folders" not in made["02_second"]


# --- what a notebook's parameters may be


def bundled(**options):
    return make_plan(load_profile("world"), **options)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_has_a_model_that_accepts_its_defaults(path):
    defaults = read_parameters(path)
    assert complete_parameters(path.stem, defaults, defaults, MODELS[path.stem]) == defaults


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_takes_the_emoji(path):
    defaults = read_parameters(path)
    values = {"dataset": "emoji", "task": "emoji-same", "protocol": "emoji-unseen-style-3d", "held_out": "3d"}
    values |= {"query_domain": "3d", "gallery_domain": "noto"}
    values |= {"directions": [["flat", "noto"]]}
    values = {name: value for name, value in values.items() if name in defaults}
    made = complete_parameters(path.stem, values, defaults, MODELS[path.stem])
    assert {name: made[name] for name in values} == values


def test_every_bundled_profile_that_needs_no_folder_makes_a_plan():
    for name in profile_names():
        if not load_profile(name).needs:
            assert make_plan(load_profile(name)).jobs


@pytest.mark.parametrize(
    "setting",
    [
        "seed=-1",
        "seed=99999999999",
        "sheet_classes=0",
        "00.k=0",
        "03.k=-3",
        "06.variants=ful",
        "label_strategy=3",
        "label_strategy=True",
        "radius=0",
        "radius=" + "-" * 5000 + "1",
        "protocol=moon",
        "settings=CLAIR-Z",
        "table=Table 99",
        "template=A photo",
        "template=A {class}\n<script>",
        "held_out=moon",
        "methods=all, moon",
        "protocol=pacs-all",
        "06.query_domain=nowhere",
        "06.query_domain=real",
        "06.gallery_domain=",
        "03.query_domain=sketch",
        "02.gallery_domain=sketch",
        "11.runs=0",
    ],
)
def test_values_that_a_notebook_cannot_take_are_refused_when_the_plan_is_made(setting):
    with pytest.raises(CdirError) as caught:
        bundled(settings=[setting])
    name, value = setting.rpartition(".")[2].split("=", 1)
    assert (name in str(caught.value) or value in str(caught.value)) and "\n" not in str(caught.value)


def test_values_that_a_notebook_can_take_are_taken():
    made = bundled(settings=["02.query_domain=sketch", "11.runs=1", "01.k=0", "radius=2"])
    assert parameters(made)["11_chance_and_selection"]["runs"] == 1


def test_every_profile_of_the_papers_was_tried_and_ended_with_its_table():
    tried = pd.read_csv(ROOT / "docs" / "results" / "profiles-tried.csv").set_index("profile")["ended"]
    needed = {name for name in profile_names() if load_profile(name).needs}
    assert set(tried.index) == needed - NOT_TRIED
    assert set(tried) == {"with its table"}
