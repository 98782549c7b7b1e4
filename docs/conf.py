"""Sphinx: `make docs` builds the site from these pages, the notebooks as committed, and the docstrings.

It needs no network, and the built pages load nothing from another host: equations become MathML with the converter of
the report, widget scripts are left out, and the check at the end of the build refuses any other address.
"""

import inspect
import json
import pkgutil
import re
import sys
from html import unescape
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

import click  # noqa: E402
import typer  # noqa: E402
from docutils import nodes  # noqa: E402
from sphinx import addnodes  # noqa: E402

import cdir_nb  # noqa: E402
from cdir_nb.cli import app as cdir  # noqa: E402
from cdir_nb.pages.browser import write_browser  # noqa: E402
from cdir_nb.pages.html import equation, mathml  # noqa: E402
from cdir_nb.results import reproduced_records  # noqa: E402

project = "Cross-domain image retrieval"
copyright = "the contributors of cdir-nb, MIT licence"
version = release = cdir_nb.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "examples"]  # the example is copied into course/
myst_enable_extensions = ["dollarmath", "amsmath", "html_image"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a notebook may begin below level 1
nb_execution_mode = "off"  # notebooks are shown as committed
nb_ipywidgets_js = {}  # would be loaded from the web
nb_mime_priority_overrides = [("*", "application/vnd.jupyter.widget-view+json", None)]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
html_theme = "pydata_sphinx_theme"
html_title = project
html_theme_options = {
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "navbar_end": ["theme-switcher"],
    "show_nav_level": 2,
}
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
LOADED = re.compile(
    r"""<(?:img|script|iframe|source|video|audio|embed|link)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//"""
)
LINK = re.compile(r"""<a\b[^>]*\bhref="([^"]*)\"""")
ID = re.compile(r"""\bid="([^"]+)\"""")
IN_STYLE = re.compile(r"""(?:url\(|@import )["']?(?:https?:)?//""")


# ---- docstrings ---------------------------------------------------------------------------------------------------

ENTRY = re.compile(r"(\S.*?)  +(\S.*)")


def docstring_to_rst(app, what, name, obj, options, lines) -> None:
    """Rewrite a docstring in place: paragraphs, code, and lists of `name   meaning`, whose names are aligned."""
    lines[:] = _paragraphs("\n".join(lines))


def _paragraphs(text: str) -> list[str]:
    return [line for block in re.split(r"\n[ ]*\n", text.strip()) for line in (*_block(block.split("\n")), "")]


def _block(block: list[str]) -> list[str]:
    if all(line.startswith("    ") for line in block):
        return ["::", "", *("    " + line for line in block)]
    entries: list[tuple[str, str]] = []
    text: list[str] = []
    for line in block:
        entry = ENTRY.fullmatch(line)
        if entry and not line.startswith(" ") and len(entry[1]) < 60 and not entry[1].endswith((".", ":")):
            entries.append((entry[1], entry[2]))
        elif entries and line.startswith("  "):
            entries[-1] = (entries[-1][0], f"{entries[-1][1]} {line.strip()}")
        elif entries:
            text.append(line)
        else:
            text.append(line)
    if not entries:
        return [_escaped(" ".join(line.strip() for line in block))]
    before = text[: next((i for i, line in enumerate(block) if ENTRY.fullmatch(line)), 0)]
    after = text[len(before) :]
    found = [_escaped(" ".join(before)), ""] if before else []
    for term, meaning in entries:
        found += [f"**{_escaped(term, code=False)}**", f"    {_escaped(meaning)}", ""]
    return [*found, *([_escaped(" ".join(after))] if after else [])]


def _escaped(text: str, code: bool = True) -> str:
    """Text without markup of reStructuredText; `code` in backticks stays code."""
    parts = text.split("`") if code and text.count("`") % 2 == 0 else [text]
    plain = [re.sub(r"([\\*`_|<>@])", r"\\\1", part) for part in parts[::2]]
    codes = [f"\\ ``{part.strip()}``\\ " if part.strip() else "" for part in parts[1::2]]
    return "".join(part for pair in zip(plain, [*codes, ""]) for part in pair).strip()


# ---- reference ----------------------------------------------------------------------------------------------------


def write_reference(app, config) -> None:
    """A page for each part of the package, and one with the help of each command."""
    for name in cdir_nb.MODULES[:-1]:  # the last is `cli`
        _write(DOCS / "api" / f"{name}.md", part_page(f"cdir_nb.{name}"))
    _remove_others(DOCS / "api", "*.md", ["index.md", *(f"{name}.md" for name in cdir_nb.MODULES[:-1])])
    _write(DOCS / "commands.md", commands_page())


def part_page(name: str) -> str:
    """What a module exports, and the public names of each module below it that it does not export."""
    part = import_module(name)
    exports = ["   :imported-members:"] if hasattr(part, "__all__") else []
    blocks = [f"# `{name}`", _rst(f".. automodule:: {name}", "   :members:", *exports)]
    for module in modules_below(part):
        own = {name: item for name, item in public(module).items() if vars(part).get(name) is not item}
        blocks += [f"## `{module.__name__}`", _rst(*_paragraphs(inspect.getdoc(module) or ""))]
        for name, item in own.items():  # not `automodule`: a part may export a function with the name of its module
            kind = "autoclass" if inspect.isclass(item) else "autofunction"
            blocks.append(_rst(f".. {kind}:: {module.__name__}.{name}", *["   :members:"] * inspect.isclass(item)))
    return "\n\n".join(blocks) + "\n"


def modules_below(part) -> list:
    """The modules of a package and of its packages, imported, without private ones."""
    found = pkgutil.walk_packages(getattr(part, "__path__", []), f"{part.__name__}.")
    return [import_module(info.name) for info in found if "._" not in info.name]


def undocumented(app) -> list[str]:
    """The public names of the package that have no entry on a page."""
    entries, missing = app.env.get_domain("py").objects, []
    for part in (import_module(f"cdir_nb.{name}") for name in cdir_nb.MODULES[:-1]):
        for module in (part, *modules_below(part)):
            names = [f"{module.__name__}.{name}" for name in public(module)]
            exported = [f"{part.__name__}.{name}" for name in public(module)]
            missing += [name for name, other in zip(names, exported) if not {name, other} & entries.keys()]
    return missing


def public(module) -> dict[str, object]:
    """{name: class or function} that a module defines, without private ones."""
    own = {name: item for name, item in vars(module).items() if getattr(item, "__module__", "") == module.__name__}
    return {name: x for name, x in own.items() if name[0] != "_" and (inspect.isclass(x) or is_function(x))}


def is_function(item) -> bool:
    """Whether it is a function, also one that `functools.cache` wraps."""
    return inspect.isfunction(getattr(item, "__wrapped__", item))


def _rst(*lines: str) -> str:
    return "\n".join(["```{eval-rst}", *lines, "```"])


def commands_page() -> str:
    """The text of `--help` of `cdir` and of each of its commands."""
    group = typer.main.get_command(cdir)
    commands = {"cdir": group, **{f"cdir {name}": command for name, command in group.commands.items()}}
    blocks = ["# Commands"]
    for name, command in commands.items():
        with click.Context(command, info_name=name, max_content_width=74, terminal_width=74) as context:
            blocks += [f"## `{name}`" * (command is not group), f"```text\n{command.get_help(context)}\n```"]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:  # an unchanged page is not built again
        path.write_text(text, encoding="utf-8")


def _remove_others(folder: Path, pattern: str, names: list[str]) -> None:
    """Remove files that an earlier build wrote, such as copies of notebooks that have been renamed since."""
    for path in folder.glob(pattern):
        if path.name not in names:
            path.unlink()


# ---- equations ----------------------------------------------------------------------------------------------------


def visit_inline(self, node) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_block(self, node) -> None:
    self.body.append(equation(node.astext()))
    raise nodes.SkipNode


# ---- build --------------------------------------------------------------------------------------------------------


def copy_notebooks(app, config) -> None:
    """The notebooks lie outside of this folder, where Sphinx cannot read them; links to other folders follow.

    Sphinx turns links to notebooks into links to their pages, but not in outputs.
    """
    sources = {"course": (ROOT / "notebooks", DOCS / "examples"), "exercises": (ROOT / "exercises",)}
    for name, folders in sources.items():
        for path in (path for folder in folders for path in folder.glob("*.ipynb")):
            text = path.read_text(encoding="utf-8")
            book = json.loads(text.replace("](../docs/", "](../").replace("](../notebooks/", "](../course/"))
            for output in (output for cell in book["cells"] for output in cell.get("outputs", ())):
                if lines := output.get("data", {}).get("text/markdown"):
                    output["data"]["text/markdown"] = re.sub(r"\((\w+)\.ipynb\)", r"(\1.html)", "".join(lines))
            _write(DOCS / name / path.name, json.dumps(book))
        _remove_others(DOCS / name, "*.ipynb", [path.name for folder in folders for path in folder.glob("*.ipynb")])


PAGES = {"CONTRIBUTING.md": "/built", "docs/glossary.md": "/glossary", "CHANGELOG.md": None}  # None: not on the site


def link_in_included_text(app, doctree) -> None:
    """Links of README and CONTRIBUTING, which pages here include, lead to the pages of the site."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        target = node.get("reftarget", "")
        if target in PAGES and PAGES[target] is None:
            node.replace_self(node.children)
        elif target in PAGES:
            found = {"refdomain": "std", "reftype": "doc", "reftarget": PAGES[target], "refexplicit": True}
            node.replace_self(addnodes.pending_xref("", *node.children, refdoc=app.env.docname, refwarn=True, **found))


def finish(app, error) -> None:
    """Add the browser of records; end the build if a page would load anything from another host."""
    if error is None and app.builder.name == "html":
        out = Path(app.outdir)
        write_browser(reproduced_records(), out / "results" / "browser.html", "the records that come with the workbook")
        found = [
            f"{path.relative_to(out)}: {match[0][:120]}"
            for suffix, pattern in ((".html", LOADED), (".css", IN_STYLE))
            for path in sorted(out.rglob(f"*{suffix}"))
            for match in pattern.finditer(path.read_text(encoding="utf-8"))
        ]
        if found:
            raise RuntimeError("pages load from other hosts:\n" + "\n".join(found))
        if broken := broken_links(out):
            raise RuntimeError("links lead nowhere:\n" + "\n".join(broken))
        if missing := undocumented(app):
            raise RuntimeError("names without an entry in the reference:\n" + "\n".join(missing))


def broken_links(folder: Path) -> list[str]:
    """`page: link` of each link to a file of the site, or to a place on a page, that does not exist."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.html"))}
    places = {path: {"", *ID.findall(text)} for path, text in texts.items()}
    broken = []
    for page, text in texts.items():
        for link in map(unescape, LINK.findall(text)):
            url = urlsplit(link)
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            found = target.exists() and unquote(url.fragment) in places.get(target, {unquote(url.fragment)})
            broken += [] if url.scheme or found else [f"{page.relative_to(folder)}: {link}"]
    return broken


def setup(app) -> None:
    app.connect("config-inited", copy_notebooks)
    app.connect("config-inited", write_reference)
    app.connect("autodoc-process-docstring", docstring_to_rst)
    app.connect("build-finished", finish)
    app.connect("doctree-read", link_in_included_text)
    app.add_node(nodes.math, override=True, html=(visit_inline, None))
    app.add_node(nodes.math_block, override=True, html=(visit_block, None))
