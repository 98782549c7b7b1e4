"""pyproject, lock and environment.yml say the same thing; what pip installs runs without the checkout."""

import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from nbformat import read
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from run.tiny_notebooks import save, write_notebook, write_profile

from cdir_nb.analysis import project
from cdir_nb.errors import CdirError
from cdir_nb.paths import ROOT
from cdir_nb.results import load_records
from cdir_nb.run.cluster import cluster_pool
from cdir_nb.run.digests import package_digest

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
LOCK = (ROOT / "requirements.lock").read_text().splitlines()
FIXED_BY_USERS = [
    "torch",
    "open_clip_torch",
    "jupyterlab",
    "ipywidgets",
    "matplotlib",
    "seaborn",
    "umap-learn",
    "papermill",
    "nbval",
]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def ranges(lines: list[str]) -> dict[str, SpecifierSet]:
    return {normal(r.name): r.specifier for r in map(Requirement, lines)}


def pip_part() -> list[str]:
    return next(entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))


def requirements(*extras: str) -> dict[str, SpecifierSet]:
    """The ranges of the base install and of extras; an extra may contain others, as `cdir-nb[a,b]`."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    nested = [name for line in lines for name in Requirement(line).extras if Requirement(line).name == "cdir-nb"]
    packages = ranges([line for line in lines if Requirement(line).name != "cdir-nb"])
    return {**packages, **requirements(*nested)} if nested else packages


def test_conda_and_pip_users_get_the_same_ranges():
    assert ranges(pip_part()) == requirements("all")


def test_packages_that_the_workbook_promises_are_there():
    assert {normal(name) for name in FIXED_BY_USERS} <= set(requirements("all"))


def test_every_conda_dependency_has_its_reason():
    lines = (ROOT / "environment.yml").read_text().split("- pip:")[1].strip().splitlines()
    assert [line for line in lines if "#" not in line] == []


def test_lock_pins_every_dependency_inside_its_range_and_names_no_host():
    pins = {normal(r.name): str(next(iter(r.specifier)).version) for r in map(Requirement, LOCK)}
    for name, specifier in requirements("dev").items():
        assert specifier.contains(pins[name]), f"{name}: lock has {pins[name]}, pyproject wants {specifier}"
    assert not [line for line in LOCK if "://" in line or "--hash" in line or line.startswith("-")]


# --- extras

IMPORT_NAMES = {"umap-learn": "umap", "jupyter-scatter": "jscatter"}
BASE = ("data", "retrieval", "analysis", "encoders", "methods", "results", "cache", "cli")


def blocked(extra: str) -> str:
    """Code that makes the packages of an extra impossible to import, except those of the base install."""
    names = requirements(extra).keys() - requirements().keys()
    return f"import sys\nsys.modules.update(dict.fromkeys({[IMPORT_NAMES.get(name, name) for name in names]}))\n"


def run_code(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.medium
def test_the_base_install_imports_no_package_of_an_extra():
    modules = ", ".join(f"cdir_nb.{name}" for name in BASE)
    done = run_code(blocked("all") + f"import {modules}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "package,extra,command",
    [
        ("matplotlib", "notebooks", ["report", "runs/a"]),
        ("papermill", "notebooks", ["reproduce", "--list"]),
        ("wigglystuff", "explorer", ["explore"]),
        ("fastparquet", "fetch", ["fetch", "pacs", "--to", "pacs"]),
    ],
)
@pytest.mark.medium
def test_a_command_without_its_extra_names_the_package_and_the_remedy(package, extra, command):
    code = f"import sys\nsys.modules[{package!r}] = None\nfrom cdir_nb.cli import app\napp({command})"
    done = run_code(code)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert package in done.stderr and f'pip install "cdir-nb[{extra}]"' in done.stderr


def test_a_cluster_and_umap_without_their_extra_name_the_package(monkeypatch):
    for package, call in (("distributed", lambda: cluster_pool(None, 1).__enter__()), ("umap", umap_of_noise)):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(CdirError, match=package):
            call()


def umap_of_noise():
    return project(np.random.default_rng(0).normal(size=(20, 4)), "umap")


# --- set-up without make


def test_the_set_up_script_imports_the_standard_library_only_and_installs_the_lock(tmp_path, monkeypatch):
    script = ROOT / "scripts" / "setup_env.py"
    imported = re.findall(r"^(?:import|from) (\w+)", script.read_text(), flags=re.M)
    assert imported and set(imported) <= sys.stdlib_module_names
    commands = []
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: commands.append(command) or SimpleNamespace(returncode=0)
    )
    runpy.run_path(str(script))["main"](tmp_path / "env")
    assert commands[0][1:] == ["-m", "venv", str(tmp_path / "env")]
    assert [command[-2:] for command in commands[1:]] == [["-r", "requirements.lock"], ["-e", "."]]


def test_the_set_up_script_refuses_other_pythons_in_one_line(monkeypatch):
    main = runpy.run_path(str(ROOT / "scripts" / "setup_env.py"))["main"]
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    with pytest.raises(SystemExit, match="3.13"):
        main()


# --- what pip installs

OWN_FILES = """
import sys, cdir_nb
from cdir_nb import paths
modules = [vars(module).get("__file__") for name, module in sys.modules.items() if name.startswith("cdir_nb")]
print(*{str(path) for path in [paths.MANIFEST, paths.NOTEBOOKS, paths.PROFILES, paths.TINY_CLIP, *modules] if path},
      sep="\\n")
"""
UNIX_ONLY = ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog")
IMPORT_ALL = f"""
import builtins, importlib, pkgutil
real = builtins.__import__
def refuse(name, globals=None, *rest, **more):
    if name in {UNIX_ONLY} and (globals or {{}}).get("__name__", "").startswith("cdir_nb"):
        raise ImportError(f"{{globals['__name__']}} imports {{name}}")
    return real(name, globals, *rest, **more)
builtins.__import__ = refuse
import cdir_nb
for module in pkgutil.walk_packages(cdir_nb.__path__, "cdir_nb."):
    importlib.import_module(module.name)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder of packages with the workbook in it, built and installed by pip as a wheel, without a network."""
    site = tmp_path_factory.mktemp("installed") / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    done = subprocess.run([*pip, "--no-build-isolation", "--target", site, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site


@pytest.fixture
def python(site, tmp_path):
    """Runs Python in an empty folder, the installed package before any other."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    environment.pop("CDIR_RUNS", None)
    (tmp_path / "empty").mkdir()

    def run(*words) -> str:
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path / "empty", env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.medium
def test_the_installed_package_holds_all_that_determines_a_number(python):
    code = "from cdir_nb.run.digests import package_digest; print(package_digest())"
    assert python("-c", code).strip() == package_digest()


@pytest.mark.slow
def test_the_source_distribution_installs_the_same_package(tmp_path):
    build = "import sys; from hatchling.build import build_sdist; print(build_sdist(sys.argv[1]))"
    made = subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    archive = tmp_path / made.stdout.split()[-1]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    done = subprocess.run(
        [*pip, "--no-build-isolation", "--target", tmp_path / "site", archive], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    code = "from cdir_nb.run.digests import package_digest; print(package_digest())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert said.stdout.strip() == package_digest(), said.stderr


@pytest.mark.medium
def test_the_notice_and_the_emoji_are_installed(site):
    assert {path.name for path in site.glob("*.dist-info/licenses/*")} == {"LICENSE", "NOTICE"}
    zips = sorted(path.stem for path in (site / "cdir_nb/data_manifest/emoji/images").iterdir())
    assert zips == ["3d", "flat", "noto", "openmoji", "silhouette", "twemoji"]


@pytest.mark.slow
def test_the_installed_package_reproduces_from_any_folder(python, site, tmp_path):
    (tmp_path / "mine").mkdir()
    write_notebook(tmp_path / "mine" / "where.ipynb", save(), OWN_FILES)
    profile = write_profile(tmp_path / "mine", notebooks=[{"notebook": "where.ipynb"}, {"notebook": "00_tour"}])
    said = python("-m", "cdir_nb.cli", "reproduce", "--profile", profile)
    (run,) = (tmp_path / "empty" / "runs").iterdir()
    assert f"report: {run / 'report' / 'index.html'}" in said and (run / "report" / "index.html").is_file()
    assert said.rstrip().endswith(f"cdir results {run} --all")
    assert [record.value for record in load_records(run)] == [0.5]
    where = next(run.glob("where-*/where.ipynb"))
    printed = "".join(output.get("text", "") for cell in read(where, 4).cells[2:] for output in cell.outputs).split()
    assert len(printed) > 5 and [path for path in printed if not Path(path).is_relative_to(site)] == []


@pytest.mark.slow
def test_the_description_of_the_installed_package_is_the_readme(site):
    (file,) = site.glob("*.dist-info/METADATA")
    head, text = file.read_text(encoding="utf-8").split("\n\n", 1)
    assert "Description-Content-Type: text/markdown" in head
    assert text.strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


@pytest.mark.medium
def test_no_module_needs_a_unix_only_library_to_be_imported():
    done = run_code(IMPORT_ALL)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
