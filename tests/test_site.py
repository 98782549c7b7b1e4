"""What can be checked of the documentation site without building it, which `make docs` does."""

import importlib
import importlib.util
import inspect
import re

import pytest

import cdir_nb
from cdir_nb.paths import ROOT

DOCS = ROOT / "docs"
PARTS = cdir_nb.MODULES[:-1]  # the last is the command line
MADE = {"commands", *(f"api/{name}" for name in PARTS)}  # by the build
PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if not {"_build", "examples"} & set(path.relative_to(DOCS).parts)
    and str(path.relative_to(DOCS).with_suffix("")) not in MADE
)
TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.S)


def text_of(path) -> str:
    return path.read_text(encoding="utf-8")


def listed() -> set[str]:
    """The pages in a toctree, relative to docs/."""
    found = set()
    for page in PAGES:
        for block in TOCTREE.findall(text_of(page)):
            names = re.findall(r"^(?:.* <)?([^\s:<>]+)>?$", block, flags=re.M)  # name, or title <name>
            found |= {str((page.parent / name).resolve().relative_to(DOCS)) for name in names}
    return found


def test_every_page_and_every_notebook_is_in_a_toctree_and_nothing_else():
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in PAGES} - {"index"}
    notebooks = {f"course/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")} | {
        f"course/{path.stem}" for path in (DOCS / "examples").glob("*.ipynb")
    }
    notebooks |= {f"exercises/{path.stem}" for path in (ROOT / "exercises").glob("*.ipynb")}
    assert listed() == pages | notebooks | MADE


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_internal_links_resolve(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)|href=\"(?!https?:)([^\"#]+)\"", text_of(page))
    made = {"results/browser.html", *(f"{name}.md" for name in MADE)}  # by the build
    for link in (a or b for a, b in links):
        target = (page.parent / link).resolve()
        if target.parent.name == "course" and target.suffix == ".ipynb":
            target = ROOT / "notebooks" / target.name
        assert target.exists() or str(target.relative_to(DOCS)) in made, f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_included_sections_exist(page):
    for file, options in re.findall(r"```\{include\} (\S+)\n(.*?)```", text_of(page), flags=re.S):
        included = text_of((page.parent / file).resolve())
        marks = re.findall(r':(?:start-after|end-before): "(.*)"', options)
        assert marks and all(mark.replace("\\n", "\n") in included for mark in marks)


@pytest.fixture(scope="module")
def conf():
    """docs/conf.py as a module."""
    pytest.importorskip("sphinx")
    spec = importlib.util.spec_from_file_location("conf", DOCS / "conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.medium
@pytest.mark.parametrize("part", PARTS)
def test_the_page_of_a_part_has_each_of_its_modules_and_each_public_name_once(conf, part):
    page, package = conf.part_page(f"cdir_nb.{part}"), importlib.import_module(f"cdir_nb.{part}")
    files = [path for path in (ROOT / "cdir_nb" / part).rglob("*.py") if not re.match("_[^_]", path.name)] or [
        ROOT / "cdir_nb" / f"{part}.py"
    ]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    names = [name for name in names if "chapter_" not in name]  # solutions of exercises are no reference
    assert sorted(re.findall(r"^##? `(.+)`$", page, flags=re.M)) == sorted(names)
    listed = re.findall(r"auto(?:class|function):: (\S+)", page)
    for module in map(importlib.import_module, names):
        defined = re.findall(r"^(?:def|class) ([a-z]\w*|[A-Z]\w*)", inspect.getsource(module), flags=re.M)
        for name in defined:
            exported = module is package or getattr(package, name, None) is getattr(module, name)
            assert listed.count(f"{module.__name__}.{name}") == (not exported), (module.__name__, name)


@pytest.mark.medium
def test_the_page_of_commands_has_the_help_of_each(conf):
    page = conf.commands_page()
    commands = re.findall(r"^## `cdir ([\w-]+)`$", page, flags=re.M)
    assert {"search", "reproduce", "check-method", "fetch"} <= set(commands)
    assert "--query" in page.split("## `cdir search`")[1].split("## `")[0]


@pytest.mark.medium
@pytest.mark.parametrize("part", PARTS)
def test_every_public_name_has_a_docstring(conf, part):
    package = importlib.import_module(f"cdir_nb.{part}")
    missing = []
    for module in (package, *conf.modules_below(package)):
        missing += [module.__name__] * (not inspect.getdoc(module))
        for name, item in conf.public(module).items():
            missing += [f"{module.__name__}.{name}"] * (not inspect.getdoc(item))
            members = vars(item).items() if inspect.isclass(item) else ()
            methods = [n for n, m in members if n[0] != "_" and (inspect.isfunction(m) or isinstance(m, property))]
            missing += [f"{module.__name__}.{name}.{n}" for n in methods if not inspect.getdoc(getattr(item, n))]
    assert missing == []


@pytest.mark.medium
@pytest.mark.parametrize("part", PARTS)
def test_constants_that_a_part_exports_are_named_in_its_description(conf, part):
    package = importlib.import_module(f"cdir_nb.{part}")
    exports = {name: getattr(package, name) for name in getattr(package, "__all__", ())}
    plain = [name for name, item in exports.items() if not (inspect.isclass(item) or conf.is_function(item))]
    assert [name for name in plain if name not in package.__doc__] == []
