"""pyproject, lock and environment.yml say the same thing."""

import re
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from cdir_nb.paths import ROOT

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
