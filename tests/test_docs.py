"""CONTRIBUTING, CITATION and glossary say what the code says."""

import re
import tomllib

import yaml

from cdir_nb.conventions import AVERAGE_PRECISION, PRECISION, SELECTION_RULES
from cdir_nb.paths import PACKAGE, ROOT

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def test_every_room_of_the_package_stands_in_contributing():
    rows = re.findall(r"^\| (`[^|]*`) \|", CONTRIBUTING, flags=re.M)
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    data = {"data_manifest", "notebooks"}  # inside the package only where it was installed
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert {name for name in rooms if not name.startswith(("_", "."))} - data <= named


def test_every_convention_and_selection_rule_stands_in_the_glossary():
    terms = set(re.findall(r"^\| `?([^|`]+?)`? \|", GLOSSARY, flags=re.M))
    assert {*PRECISION, *AVERAGE_PRECISION, *SELECTION_RULES} <= terms


def test_every_line_of_the_glossary_has_term_meaning_and_source():
    lines = [line for line in GLOSSARY.splitlines() if line.startswith("|")]
    assert [line for line in lines if not re.fullmatch(r"\|( [^|]+ \||---\|){3}", line)] == []
    terms = re.findall(r"^\| ([^|]+) \|", GLOSSARY, flags=re.M)
    assert len(terms) - terms.count("term") == len(set(terms) - {"term"})


def test_links_between_documents_lead_somewhere():
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "docs/glossary.md"):
        path = ROOT / name
        links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
        assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_citation_is_of_this_version_and_names_the_four_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"] and citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    first = [(paper["authors"][0]["family-names"], paper["year"]) for paper in citation["references"]]
    assert first == [("Tan", 2025), ("Yan", 2024), ("Hu", 2022), ("Paul", 2021)]
    assert all({"type", "title", "authors"} <= paper.keys() for paper in citation["references"])
