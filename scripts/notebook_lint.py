"""Rules for committed notebooks: each rule is a function (book) -> complaints, and all rules are applied."""

import ast
import html
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

LARGEST = 520_000  # bytes
EXERCISES = range(2, 5)
WIDEST_LINE = 110  # characters of code: longer lines are cut off on web pages
COMMON = {"dataset": "str", "data_root": "str", "encoder": "str", "protocol": "str", "seed": "int", "out_dir": "str"}
TASK = "task"  # a notebook with this parameter needs no `protocol`
ABSOLUTE = re.compile(r"(?<![\w.:/~-])/(?:home|root|Users|tmp|work|mnt|workspace|opt|usr|var)/\w|\b[A-Z]:\\{1,2}\w")
WIDGET_MIMES = ("application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json")
PICTURES = {"image/png", "image/jpeg"}
CELL_METADATA = {"tags"}


def problems(path: Path) -> list[str]:
    """All complaints about one notebook; an empty list if it is in order."""
    size = path.stat().st_size
    try:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
    except (nbformat.ValidationError, nbformat.reader.NotJSONError, ValueError, KeyError, AttributeError) as error:
        return [f"not a notebook: {str(error).splitlines()[0]}"]
    found = [f"{size / 1000:.0f} kB, the maximum is {LARGEST / 1000:.0f}"] if size > LARGEST else []
    rules = RULES + (CHAPTER_RULES if path.stem[:2].isdigit() else ())
    return found + [complaint for rule in rules for complaint in rule(book)]


def code_cells(book: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def kernel(book: NotebookNode) -> Iterator[str]:
    name = book.metadata.get("kernelspec", {}).get("name")
    if name != "python3":
        yield f"kernel is {name!r}, not 'python3'"


def title(book: NotebookNode) -> Iterator[str]:
    first = book.cells[0] if book.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "the first cell must be text that begins with a title (# ...)"
    if sum(line.startswith("# ") for c in book.cells if c.cell_type == "markdown" for line in text_lines(c)) > 1:
        yield "more than one title (# ...): use ## for sections"


def text_lines(cell: NotebookNode) -> list[str]:
    """Lines of a text cell outside fenced code."""
    return re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL).splitlines()


def parameters(book: NotebookNode) -> Iterator[str]:
    """The first code cell, and only that, is tagged `parameters`: typed literals, each with a trailing comment."""
    tagged = [i for i, cell in enumerate(code_cells(book)) if "parameters" in tags(cell)]
    if tagged != [0]:
        yield "exactly one code cell, the first, must be tagged 'parameters'"
        return
    source = code_cells(book)[0].source
    given = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.AnnAssign) or not is_literal(node.value):
            yield f"parameters: line {node.lineno} is not `name: type = literal`"
            continue
        given[ast.unparse(node.target)] = ast.unparse(node.annotation)
        if node.lineno not in comment_lines(source):
            yield f"parameters: {ast.unparse(node.target)} has no trailing comment"
    needed = {name: kind for name, kind in COMMON.items() if not (name == "protocol" and TASK in given)}
    yield from (f"parameters: `{n}: {t}` is missing" for n, t in needed.items() if given.get(n) != t)


def is_literal(node: ast.expr | None) -> bool:
    try:
        return node is not None and ast.literal_eval(node) is not ...
    except ValueError:
        return False


def comment_lines(source: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0] for token in tokens if token.type == tokenize.COMMENT and len(token.string) > 3}


def narrated(book: NotebookNode) -> Iterator[str]:
    """A text cell before each code cell, and at least as many text cells as code cells."""
    text = sum(cell.cell_type == "markdown" for cell in book.cells)
    if text < len(code_cells(book)):
        yield f"{text} text cells for {len(code_cells(book))} code cells: expected at least as many"
    for before, cell in zip(book.cells, book.cells[1:]):
        if before.cell_type == cell.cell_type == "code":
            yield f"no text between two code cells, at `{first_line(cell)}`"


def narrow(book: NotebookNode) -> Iterator[str]:
    """No line of code is cut off on a web page."""
    for cell in code_cells(book):
        wide = max(map(len, cell.source.splitlines()), default=0)
        if wide > WIDEST_LINE:
            yield f"a line of {wide} characters, the maximum is {WIDEST_LINE}, at `{first_line(cell)}`"


def executed(book: NotebookNode) -> Iterator[str]:
    """Executed from top to bottom in one run; golden cells have output to compare; no cell has an error."""
    counts = [cell.execution_count for cell in code_cells(book)]
    if counts != list(range(1, len(counts) + 1)):
        yield "not executed in order from a fresh kernel: run `python scripts/notebooks.py run`"
    for cell in code_cells(book):
        if "nbval-check-output" in tags(cell) and not cell.outputs:
            yield f"a golden cell without output, at `{first_line(cell)}`"
        if any(output.output_type == "error" for output in cell.outputs):
            yield f"an error among the outputs, at `{first_line(cell)}`"
    if not any("nbval-check-output" in tags(cell) for cell in code_cells(book)):
        yield "no golden cell (tag nbval-check-output)"


def figures(book: NotebookNode) -> Iterator[str]:
    """Each cell that saves or explores a figure shows it; there is at least one figure."""
    shown = [any(PICTURES & set(x.get("data", {})) for x in cell.outputs) for cell in code_cells(book)]
    if not any(shown):
        yield "no figure among the outputs"
    for cell, has_figure in zip(code_cells(book), shown):
        if not has_figure and re.search(r"^\s*(save_figure|explore)\(", cell.source, flags=re.MULTILINE):
            yield f"a figure that is not shown, at `{first_line(cell)}`"


def foldable(book: NotebookNode) -> Iterator[str]:
    """Converters keep <details> folded only if it is one block of HTML, without blank lines."""
    for cell in book.cells:
        for block in re.findall(r"<details>.*?</details>", cell.source, flags=re.DOTALL):
            if re.search(r"\n\s*\n", block):
                yield f"a blank line inside <details>, at `{first_line(cell)}`: write HTML lists without one"


def no_widgets(book: NotebookNode) -> Iterator[str]:
    if "widgets" in book.metadata:
        yield "widget state in the notebook's metadata"
    if any(mime in output.get("data", {}) for c in code_cells(book) for output in c.outputs for mime in WIDGET_MIMES):
        yield "a widget among the outputs: keep only its static figure"


def no_volatile(book: NotebookNode) -> Iterator[str]:
    extra = set(book.metadata) - {"kernelspec", "language_info", "widgets"}
    extra |= {key for cell in book.cells for key in set(cell.metadata) - CELL_METADATA}
    if extra:
        yield f"metadata that differs from run to run: {', '.join(sorted(extra))}"
    if any(output.get("name") == "stderr" for cell in code_cells(book) for output in cell.outputs):
        yield "warnings or progress bars (stderr) among the outputs"


def no_absolute_paths(book: NotebookNode) -> Iterator[str]:
    """In sources and outputs, except images (base64 may contain anything)."""
    for cell in book.cells:
        texts = [cell.source]
        for output in cell.get("outputs", []):
            data = {m: d for m, d in output.get("data", {}).items() if not m.startswith("image/")}
            texts += [json.dumps(data, ensure_ascii=False), str(output.get("text", ""))]
        hit = next((match for text in texts if (match := ABSOLUTE.search(text))), None)
        if hit:
            yield f"an absolute path ({hit.group()}…), at `{first_line(cell)}`"


def no_global_seed(book: NotebookNode) -> Iterator[str]:
    pattern = r"\b(np\.random\.seed|random\.seed|torch\.manual_seed|seed_everything)\("
    for cell in code_cells(book):
        if re.search(pattern, cell.source):
            yield f"a global seed, at `{first_line(cell)}`: pass seeds as arguments"


def sections(book: NotebookNode) -> Iterator[str]:
    """The closing sections that every notebook has."""
    text = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown").lower()
    yield from (
        f"no section '{name}'" for name in ("what we saw", "exercises", "references") if f"## {name}" not in text
    )


def practised(book: NotebookNode) -> Iterator[str]:
    """Two to four exercises, each with a solution whose code compiles (`scripts/exercises.py` runs it)."""
    asked, solved = exercises(book), solutions(book)
    if len(asked) not in EXERCISES or len(solved) != len(asked):
        yield f"{len(asked)} exercises with {len(solved)} solutions: expected two to four, each with one"
    for number, code in enumerate(solved, start=1):
        try:
            ast.parse(code)
        except SyntaxError as error:
            yield f"solution {number} is no Python: {error}"
        if not code.strip():
            yield f"solution {number} has no code in <pre><code>"


def exercises(book: NotebookNode) -> list[str]:
    """The texts of the numbered exercises."""
    return re.findall(r"^\d+\. (.+)$", _practice(book).partition("<details>")[0], flags=re.MULTILINE)


def solutions(book: NotebookNode) -> list[str]:
    """The code of each solution: what is in <pre><code>; empty where a solution is text alone."""
    listed = re.findall(r"<li>(.*?)</li>", _practice(book).partition("<details>")[2], flags=re.DOTALL)
    return ["\n".join(map(html.unescape, re.findall(r"<pre><code>(.*?)</code></pre>", x, re.DOTALL))) for x in listed]


def _practice(book: NotebookNode) -> str:
    text = "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    return text.partition("## Exercises")[2].partition("\n## ")[0]


def first_line(cell: NotebookNode) -> str:
    return (cell.source.splitlines() or [""])[0][:60]


RULES = (
    kernel,
    title,
    parameters,
    narrated,
    narrow,
    executed,
    figures,
    foldable,
    no_widgets,
    no_volatile,
    no_absolute_paths,
    no_global_seed,
)
CHAPTER_RULES = (sections, practised)  # of the numbered notebooks; `experiment` is no chapter
