"""What can be checked of the documentation site without building it, which `make docs` does."""

import importlib
import inspect
import re

import pytest

import cdir_nb
from cdir_nb.paths import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not {"_build", "examples"} & set(path.relative_to(DOCS).parts))
PACKAGES = re.findall(r"^\w+$", (DOCS / "api" / "index.md").read_text(), flags=re.M)
TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.S)


def text_of(path) -> str:
    return path.read_text(encoding="utf-8")


def listed() -> set[str]:
    """The pages in a toctree, relative to docs/."""
    found = set()
    for page in PAGES:
        for block in TOCTREE.findall(text_of(page)):
            names = [line for line in block.split("\n") if line and not line.startswith(":")]
            found |= {str((page.parent / name).resolve().relative_to(DOCS)) for name in names}
    return found


def test_every_page_and_every_notebook_is_in_a_toctree_and_nothing_else():
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in PAGES} - {"index"}
    notebooks = {f"course/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")} | {
        f"course/{path.stem}" for path in (DOCS / "examples").glob("*.ipynb")
    }
    notebooks |= {f"exercises/{path.stem}" for path in (ROOT / "exercises").glob("*.ipynb")}
    assert listed() == pages | notebooks


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_internal_links_resolve(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)|href=\"(?!https?:)([^\"#]+)\"", text_of(page))
    made = {"browser.html": "results/browser.html"}  # by the build
    for link in (a or b for a, b in links):
        target = (page.parent / link).resolve()
        if target.parent.name == "course" and target.suffix == ".ipynb":
            target = ROOT / "notebooks" / target.name
        assert target.exists() or str(target.relative_to(DOCS)) in made.values(), f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_included_sections_exist(page):
    for file, options in re.findall(r"```\{include\} (\S+)\n(.*?)```", text_of(page), flags=re.S):
        included = text_of((page.parent / file).resolve())
        marks = re.findall(r':(?:start-after|end-before): "(.*)"', options)
        assert marks and all(mark.replace("\\n", "\n") in included for mark in marks)


def test_the_reference_has_a_page_for_each_package_it_lists():
    assert PACKAGES and set(PACKAGES) <= set(cdir_nb.MODULES)
    assert all(f"automodule:: cdir_nb.{name}\n" in text_of(DOCS / "api" / f"{name}.md") for name in PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_a_docstring(package):
    module = importlib.import_module(f"cdir_nb.{package}")
    own = [n for n, item in vars(module).items() if getattr(item, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", [name for name in own if not name.startswith("_")])
    missing = []
    for name in names:
        item = getattr(module, name)
        if inspect.isclass(item) or inspect.isfunction(item):
            missing += [name] * (not inspect.getdoc(item))
        if inspect.isclass(item):
            methods = {n: m for n, m in vars(item).items() if inspect.isfunction(m) and not n.startswith("_")}
            missing += [f"{name}.{n}" for n in methods if not inspect.getdoc(getattr(item, n))]
    assert names and missing == []
