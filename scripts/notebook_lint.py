"""Rules for committed notebooks. A rule is a function from a notebook to complaints; all rules are applied."""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

LARGEST = 520_000  # bytes
WIDEST_LINE = 110  # characters of code: longer lines are cut off on web pages
COMMON = {"dataset": "str", "data_root": "str", "encoder": "str", "protocol": "str", "seed": "int", "out_dir": "str"}
TASK = "task"  # a notebook with this parameter needs no `protocol`
FOLDED = {"source_hidden": True}  # the `jupyter` metadata of a cell whose code JupyterLab hides
GOLDEN = "nbval-check-output"  # tag of cells whose output is compared
ABSOLUTE = re.compile(r"(?<![\w.:/~-])/(?:home|root|Users|tmp|work|mnt|workspace|opt|usr|var)/\w|\b[A-Z]:\\{1,2}\w")
GLOBAL_SEED = re.compile(r"\b(np\.random\.seed|random\.seed|torch\.manual_seed|seed_everything)\(")
WIDGET_MIMES = {"application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"}
IMAGE_MIMES = {"image/png", "image/jpeg"}


def problems(path: Path) -> list[str]:
    """All complaints about a notebook; empty if it follows all rules."""
    size = path.stat().st_size
    try:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
    except (nbformat.ValidationError, nbformat.reader.NotJSONError, ValueError, KeyError, AttributeError) as error:
        return [f"not a notebook: {str(error).splitlines()[0]}"]
    too_large = [f"{size / 1000:.0f} kB, the maximum is {LARGEST / 1000:.0f}"] if size > LARGEST else []
    rules = RULES + (CHAPTER_RULES if path.stem[:2].isdigit() else ())
    return too_large + [complaint for rule in rules for complaint in rule(book)]


def code_cells(book: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def prose(book: NotebookNode) -> str:
    """The text cells of a notebook, without fenced code."""
    text = "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def first_line(cell: NotebookNode) -> str:
    return (cell.source.splitlines() or [""])[0][:60]


def kernel(book: NotebookNode) -> Iterator[str]:
    name = book.metadata.get("kernelspec", {}).get("name")
    if name != "python3":
        yield f"kernel is {name!r}, not 'python3'"


def title(book: NotebookNode) -> Iterator[str]:
    first = book.cells[0] if book.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "the first cell must be text that begins with a title (# ...)"
    if len(re.findall(r"^# ", prose(book), flags=re.MULTILINE)) > 1:
        yield "more than one title (# ...): use ## for sections"


def parameters(book: NotebookNode) -> Iterator[str]:
    """Only the first code cell is tagged `parameters`; it has typed literals, each with a trailing comment."""
    if [i for i, cell in enumerate(code_cells(book)) if "parameters" in tags(cell)] != [0]:
        yield "exactly one code cell, the first, must be tagged 'parameters'"
        return
    source = code_cells(book)[0].source
    annotations = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.AnnAssign) or not is_literal(node.value):
            yield f"parameters: line {node.lineno} is not `name: type = literal`"
            continue
        annotations[ast.unparse(node.target)] = ast.unparse(node.annotation)
        if node.lineno not in comment_lines(source):
            yield f"parameters: {ast.unparse(node.target)} has no trailing comment"
    for name, kind in COMMON.items():
        if annotations.get(name) != kind and not (name == "protocol" and TASK in annotations):
            yield f"parameters: `{name}: {kind}` is missing"


def is_literal(node: ast.expr | None) -> bool:
    try:
        return node is not None and ast.literal_eval(node) is not ...
    except ValueError:
        return False


def comment_lines(source: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0] for token in tokens if token.type == tokenize.COMMENT and len(token.string) > 3}


def narrated(book: NotebookNode) -> Iterator[str]:
    """A text cell precedes each code cell."""
    for before, cell in zip(book.cells, book.cells[1:]):
        if before.cell_type == cell.cell_type == "code":
            yield f"no text between two code cells, at `{first_line(cell)}`"


def narrow(book: NotebookNode) -> Iterator[str]:
    """Lines of code are short enough for a web page."""
    for cell in code_cells(book):
        width = max(map(len, cell.source.splitlines()), default=0)
        if width > WIDEST_LINE:
            yield f"a line of {width} characters, the maximum is {WIDEST_LINE}, at `{first_line(cell)}`"


def executed(book: NotebookNode) -> Iterator[str]:
    """The cells were executed in order in one run without errors; golden cells have output to compare."""
    cells = code_cells(book)
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        yield "not executed in order from a fresh kernel: run `python scripts/notebooks.py run`"
    for cell in cells:
        if GOLDEN in tags(cell) and not cell.outputs:
            yield f"a golden cell without output, at `{first_line(cell)}`"
        if any(output.output_type == "error" for output in cell.outputs):
            yield f"an error among the outputs, at `{first_line(cell)}`"
    if not any(GOLDEN in tags(cell) for cell in cells):
        yield f"no golden cell (tag {GOLDEN})"


def figures(book: NotebookNode) -> Iterator[str]:
    """Each cell that saves or explores a figure shows it."""
    for cell in code_cells(book):
        if not shows_figure(cell) and re.search(
            r"^\s*(show\.)?(save_figure|explore)\(", cell.source, flags=re.MULTILINE
        ):
            yield f"a figure that is not shown, at `{first_line(cell)}`"


def some_figure(book: NotebookNode) -> Iterator[str]:
    if not any(map(shows_figure, code_cells(book))):
        yield "no figure among the outputs"


def shows_figure(cell: NotebookNode) -> bool:
    return any(IMAGE_MIMES & set(output.get("data", {})) for output in cell.outputs)


def foldable(book: NotebookNode) -> Iterator[str]:
    """Each <details> is one block of HTML without blank lines; otherwise converters do not fold it."""
    for cell in book.cells:
        for block in re.findall(r"<details>.*?</details>", cell.source, flags=re.DOTALL):
            if re.search(r"\n\s*\n", block):
                yield f"a blank line inside <details>, at `{first_line(cell)}`: write HTML lists without one"


def no_volatile_output(book: NotebookNode) -> Iterator[str]:
    outputs = [output for cell in code_cells(book) for output in cell.outputs]
    if "widgets" in book.metadata:
        yield "widget state in the notebook's metadata"
    if any(WIDGET_MIMES & set(output.get("data", {})) for output in outputs):
        yield "a widget among the outputs: store only its static figure"
    if any(output.get("name") == "stderr" for output in outputs):
        yield "warnings or progress bars (stderr) among the outputs"
    extra = set(book.metadata) - {"kernelspec", "language_info", "widgets"}
    for cell in book.cells:
        extra |= set(cell.metadata) - {"tags"} - ({"jupyter"} if cell.metadata.get("jupyter") == FOLDED else set())
    if extra:
        yield f"metadata that differs from run to run: {', '.join(sorted(extra))}"


def no_absolute_paths(book: NotebookNode) -> Iterator[str]:
    """Sources and outputs contain no absolute paths; images are not checked, since base64 may contain anything."""
    for cell in book.cells:
        texts = [cell.source]
        for output in cell.get("outputs", []):
            data = {m: d for m, d in output.get("data", {}).items() if not m.startswith("image/")}
            texts += [json.dumps(data, ensure_ascii=False), str(output.get("text", ""))]
        match = next(filter(None, map(ABSOLUTE.search, texts)), None)
        if match:
            yield f"an absolute path ({match.group()}…), at `{first_line(cell)}`"


def no_global_seed(book: NotebookNode) -> Iterator[str]:
    for cell in code_cells(book):
        if GLOBAL_SEED.search(cell.source):
            yield f"a global seed, at `{first_line(cell)}`: pass seeds as arguments"


def closing_sections(book: NotebookNode) -> Iterator[str]:
    for name in ("what we saw", "exercises", "references"):
        if f"## {name}" not in prose(book).lower():
            yield f"no section '{name}'"


RULES = (
    *(kernel, title, parameters, narrated, narrow, executed, figures, foldable),
    *(no_volatile_output, no_absolute_paths, no_global_seed),
)
CHAPTER_RULES = (some_figure, closing_sections)  # not for appendices and `experiment`
