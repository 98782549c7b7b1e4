"""Documents, workflows and package metadata agree with the code."""

import re
import tomllib

import pytest
import yaml

import cdir_nb
from cdir_nb.conventions import AVERAGE_PRECISION, PRECISION, SELECTION_RULES
from cdir_nb.paths import ROOT
from cdir_nb.results.published import papers

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))


def section(title: str) -> str:
    """The text of CONTRIBUTING below a heading, up to the next heading of level 2."""
    return re.split(r"^## ", CONTRIBUTING.split(f"\n## {title}\n")[1], flags=re.M)[0]


def test_contributing_lists_the_modules_in_order():
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", section("Modules"), flags=re.M)
    assert tuple(rows) == cdir_nb.MODULES


def test_files_that_contributing_names_exist():
    paths = re.findall(r"`((?:cdir_nb|tests|scripts|docs|data_manifest|notebooks)/[\w./]+)`", CONTRIBUTING)
    templates = ("NAME", "KIND", "NN_", "_NN")
    assert [path for path in paths if not any(word in path for word in templates) and not (ROOT / path).exists()] == []


def test_every_convention_and_selection_rule_is_in_the_glossary():
    terms = set(re.findall(r"^\| `?([^|`]+?)`? \|", GLOSSARY, flags=re.M))
    assert {*PRECISION, *AVERAGE_PRECISION, *SELECTION_RULES} <= terms


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files_that_exist(name):
    path = ROOT / name
    links = re.findall(r"(?:\]\(|src=\")(?!https?:)([^)#\"]+)", path.read_text(encoding="utf-8"))
    assert links and [link for link in links if not (path.parent / link).exists()] == []


def test_all_files_state_the_same_version():
    release = re.search(r"^## \[(\d[^]]*)\] - (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert release and (release[1], release[2]) == (cdir_nb.__version__, str(CITATION["date-released"]))
    assert CITATION["version"] == PROJECT["project"]["version"] == cdir_nb.__version__


def test_the_citation_has_a_reference_for_each_reproduced_paper():
    assert len(CITATION["references"]) >= len(papers())
    assert all({"type", "title", "authors", "year"} <= paper.keys() for paper in CITATION["references"])


# --- files for GitHub, which cannot run here


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_workflows_parse_and_call_targets_that_exist(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["jobs"] and workflow[True]  # YAML 1.1 reads the key `on` as True
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert {name for command in commands for name in re.findall(r"make ([a-z-]+)", command)} <= TARGETS
    scripts = [name for command in commands for name in re.findall(r"scripts/\w+\.py", command)]
    assert commands and all((ROOT / name).is_file() for name in scripts)


def test_every_mark_is_described():
    marks = {line.partition(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    assert {f"`{mark}`" for mark in marks} <= set(re.findall(r"`\w+`", section("Set up and test")))
