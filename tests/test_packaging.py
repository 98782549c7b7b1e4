"""pyproject, lock and environment.yml say the same thing; what pip installs runs without the checkout."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from nbformat import read
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from run.tiny_notebooks import save, write_notebook, write_profile

from cdir_nb.paths import ROOT
from cdir_nb.results import load_records
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


def test_conda_and_pip_users_get_the_same_ranges():
    assert ranges(pip_part()) == ranges(PROJECT["dependencies"])


def test_packages_that_the_workbook_promises_are_there():
    assert {normal(name) for name in FIXED_BY_USERS} <= set(ranges(PROJECT["dependencies"]))


def test_every_conda_dependency_has_its_reason():
    lines = (ROOT / "environment.yml").read_text().split("- pip:")[1].strip().splitlines()
    assert [line for line in lines if "#" not in line] == []


def test_lock_pins_every_dependency_inside_its_range_and_names_no_host():
    pins = {normal(r.name): str(next(iter(r.specifier)).version) for r in map(Requirement, LOCK)}
    wanted = PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), [])
    for name, specifier in ranges(wanted).items():
        assert specifier.contains(pins[name]), f"{name}: lock has {pins[name]}, pyproject wants {specifier}"
    assert not [line for line in LOCK if "://" in line or "--hash" in line or line.startswith("-")]


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


@pytest.mark.slow
def test_the_installed_package_holds_all_that_determines_a_number(python):
    code = "from cdir_nb.run.digests import package_digest; print(package_digest())"
    assert python("-c", code).strip() == package_digest()


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


def test_no_module_needs_a_unix_only_library_to_be_imported():
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
