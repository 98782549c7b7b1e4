"""Sphinx: `make docs` builds the site from these pages, the notebooks as committed, and the docstrings.

It needs no network, and the built pages load nothing from another host: equations become MathML with the converter of
the report, widget scripts are left out, and the check at the end of the build refuses any other address.
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

from docutils import nodes  # noqa: E402
from sphinx import addnodes  # noqa: E402

import cdir_nb  # noqa: E402
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
IN_STYLE = re.compile(r"""(?:url\(|@import )["']?(?:https?:)?//""")


# ---- docstrings ---------------------------------------------------------------------------------------------------

ENTRY = re.compile(r"(\S.*?)  +(\S.*)")


def docstring_to_rst(app, what, name, obj, options, lines) -> None:
    """Rewrite a docstring in place: paragraphs, code, and lists of `name   meaning`, whose names are aligned."""
    blocks = re.split(r"\n[ ]*\n", "\n".join(lines).strip())
    lines[:] = [line for block in blocks for line in (*_block(block.split("\n")), "")]


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


# ---- equations ----------------------------------------------------------------------------------------------------


def visit_inline(self, node) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_block(self, node) -> None:
    self.body.append(equation(node.astext()))
    raise nodes.SkipNode


# ---- build --------------------------------------------------------------------------------------------------------


def copy_notebooks(app, config) -> None:
    """The notebooks lie outside of this folder, where Sphinx cannot read them; links to other folders follow."""
    sources = {"course": (ROOT / "notebooks", DOCS / "examples"), "exercises": (ROOT / "exercises",)}
    for name, folders in sources.items():
        for path in (path for folder in folders for path in folder.glob("*.ipynb")):
            text = (
                path.read_text(encoding="utf-8")
                .replace("](../docs/", "](../")
                .replace("](../notebooks/", "](../course/")
            )
            target = DOCS / name / path.name
            if not target.exists() or target.read_text(encoding="utf-8") != text:
                target.parent.mkdir(exist_ok=True)
                target.write_text(text, encoding="utf-8")


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


def setup(app) -> None:
    app.connect("config-inited", copy_notebooks)
    app.connect("autodoc-process-docstring", docstring_to_rst)
    app.connect("build-finished", finish)
    app.connect("doctree-read", link_in_included_text)
    app.add_node(nodes.math, override=True, html=(visit_inline, None))
    app.add_node(nodes.math_block, override=True, html=(visit_block, None))
