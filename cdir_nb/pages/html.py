"""Executed notebooks as HTML that works offline: equations become MathML, nothing is loaded from the web."""

import re
from pathlib import Path

import latex2mathml.converter
from jinja2 import pass_context
from markupsafe import escape
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from cdir_nb.notebook import read_notebook
from cdir_nb.paths import atomic_write

# What a browser may do with a page of a notebook, whose outputs may contain any HTML: no script, frame, form or plugin
# runs, and nothing is loaded. It is effective only for what follows it in the page. It does not forbid a `<meta>` that
# leads to another page after a moment (http-equiv="refresh"), so that `without_scripts` disables those.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; media-src data:; '
    "font-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
)
HEAD = re.compile(r'\s*<!DOCTYPE html>\s*<html( lang="\w+")?>\s*<head>', re.I)
META = re.compile(r'<meta\b(?! charset="utf-8"/>| content="width=[^"]*" name="viewport"/>)', re.I)
HEADING = re.compile(r"(#+) .*")
HEADINGS = re.compile(r"\n(?=#{1,4} )")
NOTE = "**What to see.**"  # begins the text below a figure
OVERWRITTEN = re.compile(r"[^\n]*\r(?!\n)")  # what a terminal overwrites: all lines of a progress bar but its last
# nbconvert's lab template without RequireJS, MathJax and Mermaid, which it would load from the web.
PAGE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}<style>
main { max-width: 68rem; margin: 0 auto; padding: 0 .5rem; }
img, svg { max-width: 100%; height: auto; }
.jp-OutputArea-output .highlight pre { font-family: var(--jp-code-font-family); }
math { font-size: 1.1em; }
math [mathvariant="bold"] { font-weight: bold; }
.equation { display: block; overflow-x: auto; overflow-y: hidden; margin: .8em 0; }
.jp-OutputArea-output { overflow-x: auto; }
math mtd { padding-left: .1em; padding-right: .1em; }
details.code > summary { color: #666; cursor: pointer; margin-left: .4em; }
</style>{%- endblock -%}
{%- block input_group -%}
{%- if cell.metadata.get("jupyter", {}).get("source_hidden") -%}
<details class="code"><summary>code</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock -%}"""
SLIDES = (
    PAGE.replace(
        "</style>",
        """html { scroll-snap-type: y mandatory; }
main { max-width: none; padding: 0; }
.slide { min-height: 100vh; box-sizing: border-box; scroll-snap-align: start;
  padding: 2rem max(2rem, calc(50vw - 34rem));
  display: flex; flex-direction: column; justify-content: center; border-bottom: 1px solid #ccc; break-after: page; }
.slide:empty { display: none; }
.slide img { max-height: 60vh; width: auto; display: block; margin: 0 auto; }
.slide .jp-RenderedHTMLCommon { font-size: 1.25rem; }
.slide .jp-RenderedText pre { font-size: 1rem; }
.jp-InputPrompt, .jp-OutputPrompt { display: none; }
@media print { .slide { min-height: 0; height: 100vh; border: 0; } }
</style>""",
    )
    + """{%- block body_loop -%}<section class="slide">
{%- for cell in nb.cells -%}
{%- if cell.metadata.starts_slide -%}</section><section class="slide">{%- endif -%}
{%- block any_cell scoped -%}{{ super() }}{%- endblock -%}
{%- endfor -%}</section>{%- endblock -%}"""
)
REWRITES = (  # TeX that latex2mathml 3.81 does not support -> TeX that it does
    (r"\\begin\{(?:aligned|split|align)\}", r"\\begin{align*}"),
    (r"\\end\{(?:aligned|split|align)\}", r"\\end{align*}"),
    (r"\\operatorname\*?\{((?:[^{}]|\{[^{}]*\})*)\}", r"\\mathrm{\1}"),
    (r"\\mathbb\{1\}|\\mathbf\{1\}|\\mathbb 1", "𝟙"),
    (r"\\label\{[^}]*\}", ""),
    (r"\\[dt]frac\b", r"\\frac"),
    (r"\\(?:bigl?|bigr|Bigl?|Bigr)\b", ""),
)


class MathRenderer(IPythonRenderer):
    """nbconvert's Markdown with equations as MathML, which browsers display without JavaScript."""

    def inline_math(self, body: str) -> str:
        return mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return equation(body)

    def latex_environment(self, name: str, body: str) -> str:
        return equation(f"\\begin{{{name}}}{body}\\end{{{name}}}")


class OfflineExporter(HTMLExporter):
    """nbconvert's HTML exporter for pages that work offline."""

    embed_images = True
    raw_template = PAGE

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        path = context.get("resources", {}).get("metadata", {}).get("path", "")
        renderer = MathRenderer(
            escape=False, attachments=attachments, embed_images=True, path=path, anchor_link_text=self.anchor_link_text
        )
        return MarkdownWithMath(renderer=renderer).render(source)


class SlideExporter(OfflineExporter):
    """Slides without a script: each is as high as the window, and scrolling stops at it."""

    raw_template = SLIDES
    exclude_input = True


def equation(tex: str) -> str:
    """A displayed formula, which scrolls horizontally if it is wider than the page."""
    return f'<span class="equation" tabindex="0">{mathml(tex, "block")}</span>'


def mathml(tex: str, display: str) -> str:
    """A TeX formula as MathML; its source as code if it cannot be converted."""
    rewritten = tex.strip()
    for pattern, replacement in REWRITES:
        rewritten = re.sub(pattern, replacement, rewritten)
    try:
        return latex2mathml.converter.convert(rewritten, display=display)
    except Exception:  # one formula that cannot be parsed must not break the page
        return f"<code>{escape(tex)}</code>"


def to_html(notebook: NotebookNode, title: str, folder: Path) -> str:
    """An executed notebook as an HTML page in which no script runs. Images in its text are embedded from `folder`."""
    resources = {"metadata": {"name": title, "path": str(folder)}}
    page, _ = OfflineExporter().from_notebook_node(notebook, resources=resources)
    return without_scripts(page)


def write_page(notebook: Path, out: Path, *, slides: bool = False) -> Path:
    """Write a notebook with its outputs as one HTML file, atomically, as a page or as slides. Returns `out`."""
    book = read_notebook(notebook)
    strip(book)
    title = book.cells[0].source.splitlines()[0].lstrip("# ") if book.cells and book.cells[0].source else notebook.stem
    page = to_slides(book, title, notebook.parent) if slides else to_html(book, title, notebook.parent)
    with atomic_write(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def to_slides(notebook: NotebookNode, title: str, folder: Path) -> str:
    """A notebook as slides: text, the outputs of the code below it, and what to see in them; without the code."""
    divide(notebook)
    resources = {"metadata": {"name": title, "path": str(folder)}}
    page, _ = SlideExporter().from_notebook_node(notebook, resources=resources)
    return without_scripts(page)


def divide(notebook: NotebookNode) -> None:
    """Mark, in place, the cells that start a slide after the first: `starts_slide` in their metadata.

    A text starts one, unless it says what to see in the figure above it, or only headings are above it; a figure does
    below a text that says so. Texts are divided at headings. Code without outputs, and headings below which nothing is
    shown, are removed.
    """
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cells += [_part(cell, source, number) for number, source in enumerate(HEADINGS.split(cell.source))]
        elif cell.get("outputs"):
            cells.append(cell)
    following = [*cells[1:], None]
    notebook.cells = [cell for cell, after in zip(cells, following) if not _is_empty(cell, after)]
    bare, below_note = True, False
    for cell in notebook.cells:
        is_text = cell.cell_type == "markdown"
        is_note = is_text and cell.source.startswith(NOTE)
        starts = not bare and (not is_note if is_text else below_note)
        cell.metadata["starts_slide"] = starts
        bare = (bare or starts) and is_text and bool(HEADING.fullmatch(cell.source.strip()))
        below_note = is_note


def _part(cell: NotebookNode, source: str, number: int) -> NotebookNode:
    part = NotebookNode({**cell, "source": source, "metadata": {}})
    if "id" in cell:
        part["id"] = f"{cell['id']}-{number}"
    return part


def _is_empty(cell: NotebookNode, after: NotebookNode | None) -> bool:
    """Whether a cell is a heading alone, and the next cell a heading that is not below it."""
    if cell.cell_type != "markdown" or not HEADING.fullmatch(cell.source.strip()):
        return cell.cell_type == "markdown" and not cell.source.strip()
    other = HEADING.match(after.source) if after else None
    return after is None or (other is not None and len(other[1]) <= len(cell.source.split()[0]))


def without_scripts(page: str) -> str:
    """The page with `POLICY` at the start of its head, or before everything else if there is no plain head.

    Only nbconvert's `<meta>` tags remain tags; all others become text.
    """
    match = HEAD.match(page)
    start, remainder = (match[0], page[match.end() :]) if match else ("<!DOCTYPE html>\n", page)
    return start + POLICY + META.sub("&lt;meta", remainder.removeprefix(POLICY))


def strip(notebook: NotebookNode) -> None:
    """Remove in place what only the run needs: widget state and views, papermill's paths, out_dir, run_folders, and all
    lines of a progress bar but its last.

    (This is done here because nbclient 0.11 crashes with `store_widget_state=False` if an Output widget is used.)
    """
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("papermill", None)
    view = "application/vnd.jupyter.widget-view+json"
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.outputs = [output for output in cell.outputs if view not in output.get("data", {})]
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = OVERWRITTEN.sub("", output.text)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = re.sub(r"(?m)^(out_dir|run_folders) = .*$", r'\1 = ""', cell.source)
