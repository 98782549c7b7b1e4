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
from cdir_nb.run import declared, digests, plan
from cdir_nb.run.parameters import check
from cdir_nb.run.plan import make_plan
from cdir_nb.run.profile import Entry, load_profile, profile_names


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
    "setting,message",
    [
        ("sead=1", "no notebook has a parameter 'sead'; known: 01_first has layers, lr, seed; 02_second has encoder"),
        ("01.k=1", "no notebook has a parameter 'k'; known: 01_first has layers, lr, seed"),
        ("03.seed=1", "no notebook '03' in this profile; known: 01_first, 02_second"),
        ("seed=one", "01_first: seed must be int (default 0), not str 'one'"),
        ("seed=1.5", "01_first: seed must be int (default 0), not float 1.5"),
        ("seed=true", "01_first: seed must be int (default 0), not bool True"),
        ("lr=true", "01_first: lr must be float (default 0.1), not bool True"),
        ("layers=[1,'a']", "01_first: layers must be list (default [1, 2]), not list [1, 'a']"),
        ("seed", "--set seed: write NAME=VALUE or NOTEBOOK.NAME=VALUE"),
        ("out_dir=/tmp", "parameter 'out_dir' cannot be set by hand: the runner sets it"),
        ("data_root=/tmp", "parameter 'data_root' cannot be set by hand: use --data NAME=PATH"),
    ],
)
def test_wrong_settings_are_refused(folder, setting, message):
    assert message in refusal(folder, settings=[setting])


def test_right_settings_are_taken(folder):
    made = parameters(
        planned(folder, settings=["seed=3", "01.lr=1", "layers=[4]", "02_second.k=5"], encoder="ViT-B-32:random")
    )
    assert made["01_first"] == {"dataset": "world", "data_root": "", "seed": 3, "lr": 1, "layers": [4]}
    assert made["02_second"] == {"dataset": "world", "encoder": "ViT-B-32:random", "k": 5}


def test_parameters_of_a_profile_are_checked(folder):
    entry = {"notebook": "01_first.ipynb", "parameters": {"lr": "1e-3"}}
    assert "01_first: lr must be float (default 0.1), not str '1e-3'" in refusal(folder, {"notebooks": [entry]})
    entry["parameters"] = {"epochs": 3}
    assert "01_first has no parameter 'epochs'; known: layers, lr, seed" in refusal(folder, {"notebooks": [entry]})
    assert "profile mine: no notebook has a parameter 'sead'" in refusal(folder, {"parameters": {"sead": 3}})


def test_an_entrys_parameters_win_over_common_ones_and_settings_over_both(folder):
    notebooks = [{"notebook": "01_first.ipynb", "parameters": {"seed": 7}}]
    fields = {"notebooks": notebooks, "parameters": {"seed": 5, "lr": 0.5}}
    assert parameters(planned(folder, fields))["01_first"]["seed"] == 7
    assert parameters(planned(folder, fields))["01_first"]["lr"] == 0.5
    assert parameters(planned(folder, fields, settings=["seed=9"]))["01_first"]["seed"] == 9


def test_a_parameters_cell_holds_literals_only(folder):
    write_notebook(folder / "01_first.ipynb", parameters="import os")
    assert "01_first.ipynb: parameters cell, line 1: only `name = literal` is allowed" in refusal(folder)
    write_notebook(folder / "01_first.ipynb", parameters="seed = 0\nroot = os.sep")
    assert "parameters cell, line 2: only" in refusal(folder)
    write_notebook(folder / "01_first.ipynb", parameters="seed = (")
    assert "parameters cell, line 1: invalid Python, fix the syntax" in refusal(folder)


def test_values_that_a_digest_cannot_hold_are_refused(folder):
    for value in (datetime.date(2026, 1, 2), [float("nan")], {1: {2, 3}}):
        with pytest.raises(CdirError, match="02_second: k must be numbers, text, lists or mappings of them"):
            check("02_second", {"k": value}, {"k": None})


@pytest.mark.parametrize(
    "source", ["seed = " + "-" * 20_000 + "1", "seed = " + "(" * 5_000, "seed = 0\0", "x = [" * 3000]
)
def test_a_hostile_parameters_cell_is_one_line(folder, source):
    write_notebook(folder / "01_first.ipynb", parameters=source)
    assert "01_first.ipynb: parameters cell, line 1: " in refusal(folder)


# --- notebooks, data and checkpoints


def test_a_missing_or_damaged_notebook_is_named(folder):
    assert "gone.ipynb not found: check its name" in refusal(folder, {"notebooks": [{"notebook": "gone.ipynb"}]})
    for damaged in (
        "{}}",
        "[]",
        '{"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [{"cell_type": "code"}]}',
    ):
        (folder / "01_first.ipynb").write_text(damaged)
        assert "01_first.ipynb is not a valid notebook (" in refusal(folder)
    (folder / "01_first.ipynb").unlink()
    os.mkfifo(folder / "01_first.ipynb")
    assert "01_first.ipynb not found" in refusal(folder)


@pytest.mark.parametrize(
    "data,message",
    [
        ([], "profile mine needs the images of pacs: add --data pacs=PATH"),
        (["pacs=/no/where"], "--data pacs=/no/where: folder not found"),
        (["pacs=/tmp", "pacs=/"], "--data pacs=/: the folder of pacs is given twice"),
        (["pacs"], "--data pacs: write NAME=PATH, such as pacs=/data/PACS"),
        (["world=/tmp"], "--data world=/tmp: profile mine uses dataset pacs"),
    ],
)
def test_data_must_be_there(folder, data, message):
    assert message in refusal(folder, {"dataset": "pacs"}, data=data)


def test_the_world_takes_no_folder(folder):
    assert "uses dataset world, which needs no folder" in refusal(folder, data=["world=/tmp"])


def test_a_missing_checkpoint_is_named(folder):
    message = refusal(folder, encoder="ViT-B-32:/no/where.pt")
    assert message == "checkpoint /no/where.pt not found: give --encoder ViT-B-32:FILE with an existing file"


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
    assert "1 folder not in the card: photo/cat. Fix" in refusal(folder, **options)
    assert "(`cdir reproduce`: --skip-unknown)" in refusal(folder, **options)
    assert "(`cdir reproduce`: --skip-bad)" in refusal(folder, **options, skip=["unknown"])
    skipping = planned(folder, **options, skip=["bad", "unknown"])
    assert skipping.skip == "bad,unknown" and skipping.jobs[0].digest == whole.jobs[0].digest


def test_notebooks_skip_what_the_run_skips(folder, monkeypatch):
    root = write_pacs(folder / "images")
    (root / "photo/dog/2.png").write_bytes(b"no image")
    with pytest.raises(CdirError, match="1 of 29 images bad"):
        open_task("pacs", root)
    monkeypatch.setenv("CDIR_SKIP", "bad")
    assert len(open_task("pacs", root)[1]) == 28


def test_a_folder_that_is_another_dataset_is_refused(folder):
    (folder / "images/dogs").mkdir(parents=True)
    message = refusal(folder, {"dataset": "pacs"}, data=[f"pacs={folder}/images"])
    assert "has no domain folder photo, art_painting, cartoon, sketch; it holds dogs" in message


def test_images_that_the_protocol_needs_are_there(folder):
    write_notebook(folder / "01_first.ipynb", parameters=PARAMETERS + '\nprotocol = ""')
    shutil.rmtree(write_pacs(folder / "images") / "sketch" / "house")
    message = refusal(folder, {"dataset": "pacs"}, data=[f"pacs={folder}/images"])
    assert "pacs-all needs images that are missing: sketch/house" in message


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


def test_only_the_notebook_of_tables_reads_committed_records():
    reader = next(name for name in digests.READ_BY if name.endswith("reproduced_records"))
    texts = {path.stem: digests.python_of(path) for path in NOTEBOOKS.glob("*.ipynb")}
    assert [name for name, text in texts.items() if sources.used([reader], text=text)] == ["10_tables"]


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


@pytest.mark.parametrize(
    "content,message",
    [
        ("name: [", "mine.yaml: not valid YAML, line 2: did not find"),
        ("- a", "mine.yaml: it must consist of `field: value` lines"),
        ("name: a\nabout: b\ndataset: c\nnotebooks: []", "notebooks: List should have at least 1 item"),
        ("name: a\nabout: b\ndataset: c\nnotebook: []", "mine.yaml: notebooks: missing; notebook: unknown name"),
        ("name: a\nabout: b\ndataset: c\nnotebooks: [{notebook: x, params: {}}]", "notebooks.0.params: unknown name"),
        (
            "name: a\nabout: b\ndataset: c\nnotebooks: [{notebook: x}, {notebook: ./x.ipynb}]",
            "notebooks: x appears twice: remove one, or use a sweep",
        ),
        ("name: a\nabout: b\ndataset: c\ndataset: d\nnotebooks: [{notebook: x}]", "line 4: 'dataset' appears twice"),
        ("name: a\nabout: b\ndataset: c\nfolder: /tmp\nnotebooks: [{notebook: x}]", "mine.yaml: folder: unknown name"),
        (
            "name: a\nabout: b\ndataset: c\nnotebooks: [{notebook: x, sweep: {seed: [1], 'seed, k': [[2, 3]]}}]",
            "x: seed is swept twice: remove one",
        ),
        ("name: a/b\nabout: b\ndataset: c\nnotebooks: [{notebook: x}]", "mine.yaml: name: "),
    ],
)
def test_a_wrong_profile_is_named_with_its_field(tmp_path, content, message):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(CdirError) as caught:
        load_profile(str(tmp_path / "mine.yaml"))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_profile_lists_the_known():
    with pytest.raises(CdirError, match=r"unknown profile 'moon'; known: .*pacs, .*world, .*or give a .yaml file"):
        load_profile("moon")


def test_the_workbooks_profiles_load():
    for name in profile_names():
        assert load_profile(name).name == name
    assert load_profile("world").needs == "" and load_profile("pacs").needs == "--data pacs=PATH"


# --- sweeps, and jobs that come after others

SECOND = 'dataset = "world"\nencoder = "tiny-clip"\nk = None\nrun_folders = ""'


def swept(folder, sweep, *, parameters=None, after=None, **options):
    """The plan of 01_first swept and 02_second, which may come after it."""
    write_notebook(folder / "02_second.ipynb", parameters=SECOND)
    first = {"notebook": "01_first.ipynb", "sweep": sweep, "parameters": parameters or {}}
    second = {"notebook": "02_second.ipynb", **({"after": after} if after else {})}
    return planned(folder, {"notebooks": [first, second]}, **options)


def test_a_sweep_is_one_job_for_each_combination(folder):
    *jobs, last = swept(folder, {"seed": [0, 1], "lr": [0.1, 1]}, parameters={"layers": [7]}).jobs
    assert [(job.parameters["seed"], job.parameters["lr"]) for job in jobs] == [(0, 0.1), (0, 1), (1, 0.1), (1, 1)]
    assert all(job.parameters["layers"] == [7] and job.name == "01_first" for job in jobs)
    assert [job.label for job in jobs][1:3] == ["01_first seed=0 lr=1", "01_first seed=1 lr=0.1"]
    assert last.label == "02_second" and len({job.folder for job in jobs}) == 4


def test_parameters_that_belong_together_are_swept_together(folder):
    sweep = {"lr, seed": [[0.5, 1], [2.0, 1], [0.5, 2]]}
    jobs = [job for job in swept(folder, sweep).jobs if job.name == "01_first"]
    assert [(job.parameters["lr"], job.parameters["seed"]) for job in jobs] == [(0.5, 1), (2.0, 1), (0.5, 2)]
    assert jobs[0].label == "01_first lr=0.5 seed=1"
    one = swept(folder, sweep, settings=["seed=5"])
    found = [(job.parameters["lr"], job.parameters["seed"]) for job in one.jobs if job.name == "01_first"]
    assert found == [(0.5, 5), (2.0, 5)], "the user's word stands, and no job comes twice"


def test_a_job_of_a_sweep_has_the_folder_that_the_same_job_has_alone(folder):
    assert swept(folder, {"seed": [0, 1]}).jobs[1].folder == swept(folder, {}, settings=["seed=1"]).jobs[0].folder


def test_a_setting_takes_the_place_of_a_swept_parameter(folder):
    jobs = swept(folder, {"seed": [0, 1], "lr": [0.1, 1]}, settings=["01.seed=5"]).jobs[:-1]
    assert [(job.parameters["seed"], job.parameters["lr"]) for job in jobs] == [(5, 0.1), (5, 1)]


@pytest.mark.parametrize(
    "sweep,message",
    [
        ({"sead": [1]}, "01_first has no parameter 'sead'; known: layers, lr, seed"),
        ({"seed": [1, "2"]}, "01_first: seed must be int (default 0), not str '2'"),
        ({"data_root": ["/tmp"]}, "parameter 'data_root' cannot be set by hand"),
        ({"seed": []}, "notebooks.0.sweep.seed: List should have at least 1 item"),
        ({"lr, seed": [[0.5]]}, "01_first: each value in sweep must be a list with one value per name in lr, seed"),
        ({"lr, seed": [0.5]}, "01_first: each value in sweep must be a list with one value per name in lr, seed"),
        ({"seed": 3}, "notebooks.0.sweep.seed: should be a valid list, not 3"),
        ({"seed": [1, 2, 1]}, "01_first: a value of seed appears twice in sweep"),
        ({"layers": [[7]]}, "01_first: layers appears in both parameters and sweep"),
    ],
)
def test_a_wrong_sweep_is_refused(folder, sweep, message):
    with pytest.raises(CdirError) as caught:
        swept(folder, sweep, parameters={"layers": [7]})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_job_after_others_follows_their_digests(folder):
    first, second = swept(folder, {}, after="all").jobs
    assert second.after == (first.folder,) and "run_folders" not in second.parameters
    assert swept(folder, {}, after="all", settings=["seed=1"]).jobs[1].digest != second.digest
    assert swept(folder, {}, settings=["seed=1"]).jobs[1].digest == swept(folder, {}).jobs[1].digest
    *both, last = swept(folder, {"seed": [0, 1]}, after=["01_first"]).jobs
    assert last.after == tuple(job.folder for job in both)


@pytest.mark.parametrize("after", ["03_third", "02_second", ["01_first", "01"]])
def test_a_job_comes_only_after_what_stands_above_it(folder, after):
    with pytest.raises(CdirError, match=r"02_second: after '\w+' must be an entry above: 01_first"):
        swept(folder, {}, after=after)


def test_the_first_job_comes_after_nothing(folder):
    entries = [{"notebook": "02_second.ipynb", "after": "all"}]
    assert "02_second: after 'all' must be an entry above: none" in refusal(folder, {"notebooks": entries})


def test_a_job_after_others_must_have_a_place_for_their_folders(folder):
    entries = [{"notebook": "02_second.ipynb"}, {"notebook": "01_first.ipynb", "after": "all"}]
    assert "01_first has no parameter 'run_folders'" in refusal(folder, {"notebooks": entries})
    assert "cannot be set by hand: `after` in a profile sets it" in refusal(folder, settings=["run_folders=x"])


@pytest.mark.parametrize("name", ["out_dir", "data_root", "dataset", "run_folders"])
def test_reserved_names_are_refused_wherever_they_stand(folder, name):
    for fields in (
        {"parameters": {name: "x"}},
        {"notebooks": [{"notebook": "01_first.ipynb", "parameters": {name: "x"}}]},
    ):
        assert f"parameter {name!r} cannot be set by hand: " in refusal(folder, fields)


def test_a_parameter_called_runs_is_like_any_other(folder):
    write_notebook(folder / "02_second.ipynb", parameters='dataset = "world"\nruns = 5\nrun_folders = ""')
    entries = [{"notebook": "01_first.ipynb"}, {"notebook": "02_second.ipynb", "after": "all"}]
    made = parameters(planned(folder, {"notebooks": entries}, settings=["runs=2"]))
    assert made["02_second"]["runs"] == 2 and "run_folders" not in made["02_second"]


def test_a_sweep_of_millions_is_refused_at_once():
    values = list(range(399))
    start = time.process_time()
    with pytest.raises(ValueError, match="the sweep has more than 1,000 combinations"):
        Entry(notebook="x", sweep={"seed": values, "k": values, "lr": values})
    assert time.process_time() - start < 1


def test_a_hostile_profile_is_one_line_at_once(tmp_path):
    (tmp_path / "mine.yaml").write_bytes("name: mine\nabout: Stra\xdfe".encode("latin-1"))
    with pytest.raises(CdirError, match="not UTF-8 text"):
        load_profile(str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text("name: " + "[" * 100_000)
    with pytest.raises(CdirError, match="nested more than 20 deep"):
        load_profile(str(tmp_path / "mine.yaml"))


# --- what a notebook's parameters may be


def bundled(**options):
    return make_plan(load_profile("world"), **options)


def test_every_parameter_of_the_workbooks_notebooks_is_declared_and_its_default_allowed():
    checked = 0
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        free = {"data_root", "out_dir", "encoder", "run_folders"} | {name for pair in declared.PAIRS for name in pair}
        known = declared.COMMON | declared.DECLARED.get(path.stem, {})
        for name, default in read_parameters(path).items():
            assert name in free or name in known, f"{path.name}: declare {name} in run/declared.py"
            declared.check_declared(path.stem, name, default)
            checked += 1
    assert checked > 80
    assert set(declared.DECLARED) <= {path.stem for path in NOTEBOOKS.glob("*.ipynb")}


def test_every_bundled_profile_that_needs_no_folder_makes_a_plan():
    for name in profile_names():
        if not load_profile(name).needs:
            assert make_plan(load_profile(name)).jobs


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed=-1", "04_prompt_learning: seed should be greater than or equal to 0, not -1"),
        ("seed=99999999999", "04_prompt_learning: seed should be less than or equal to 2147483647, not 99999999999"),
        ("sheet_classes=0", "00_tour: sheet_classes should be greater than or equal to 1, not 0"),
        ("00.k=0", "00_tour: k should be greater than or equal to 1, not 0"),
        ("05.k=-3", "05_retrieval_grids: k should be greater than or equal to 1, not -3"),
        ("04.variants=ful", "04_prompt_learning: variants should be 'full', 'some' or 'all', not 'ful'"),
        ("label_strategy=3", "06_data_free_tki: label_strategy should be 1 or 2, not 3"),
        ("radius=0", "06_data_free_tki: radius should be greater than 0, not 0"),
        ("radius=1e999", "06_data_free_tki: radius must be a finite number, not inf"),
        ("radius=" + "-" * 5000 + "1", "06_data_free_tki: radius must be float (default 1.0), not str"),
        ("protocol=moon", "04_prompt_learning: protocol should be one of domainnet-zs, "),
        ("settings=CLAIR-Z", "04_prompt_learning: settings should be one of CLAIR-A, CLAIR-A, tiny-clip, "),
        ("table=Table 99", "10_tables: table should be one of "),
        ("template=A photo", "01_clip_zero_shot: template: "),
        ("template=A {class}\n<script>", "template must be one line of printable text"),
        (
            "protocol=pacs-all",
            "04_prompt_learning: protocol pacs-all needs art_painting, cartoon, photo, which world does not have",
        ),
        (
            "04.query_domain=nowhere",
            "query_domain should be one of real, painting, clipart, infograph, sketch, quickdraw",
        ),
        ("04.query_domain=real", "04_prompt_learning: 'real' to 'real' is no direction of world-"),
        ("04.gallery_domain=", "04_prompt_learning: 'infograph' to '' is no direction of world-"),
        ("05.query_domain=sketch", "05_retrieval_grids: 'sketch' to '' is no direction of world-"),
        ("09.gallery_domain=sketch", "09_why_does_my_number_differ: '' to 'sketch' is no direction of world-"),
        ("first_domain=real", "05_retrieval_grids: first_domain and second_domain should be two of real, "),
        ("first_domain=moon", "05_retrieval_grids: first_domain and second_domain should be two of real, "),
    ],
)
def test_values_that_a_notebook_cannot_take_are_refused_when_the_plan_is_made(setting, message):
    with pytest.raises(CdirError) as caught:
        bundled(settings=[setting])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_values_that_a_notebook_can_take_are_taken():
    made = bundled(settings=["09.query_domain=sketch", "09.runs=1", "01.k=0", "first_domain=sketch", "radius=2"])
    assert parameters(made)["09_why_does_my_number_differ"]["runs"] == 1


def test_every_profile_of_the_papers_was_tried_and_ended_with_its_table():
    tried = pd.read_csv(ROOT / "docs" / "results" / "profiles-tried.csv").set_index("profile")["ended"]
    needed = {name for name in profile_names() if load_profile(name).needs}
    assert set(tried.index) == needed - NOT_TRIED
    assert set(tried) == {"with its table"}
