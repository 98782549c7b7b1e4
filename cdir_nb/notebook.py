"""Read notebook files: their cells, and the default values in their `parameters` cell."""

import ast
from pathlib import Path
from typing import Any

import nbformat

from cdir_nb.errors import CdirError
from cdir_nb.paths import NOTEBOOKS


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read the notebook `path`. Raises CdirError if it is missing or not a notebook."""
    if not path.is_file():
        raise CdirError(f"notebook {path} not found: check its name in the profile")
    try:
        notebook = nbformat.read(path, as_version=4)
        if not all(isinstance(cell.source, str) and cell.cell_type and "metadata" in cell for cell in notebook.cells):
            raise ValueError("a cell has no source, type or metadata")
        return notebook
    except Exception as error:  # nbformat raises several unrelated types for a damaged file
        raise CdirError(f"{path} is not a valid notebook ({type(error).__name__}): restore the file") from None


def find_notebook(name: str) -> Path:
    """Path of the workbook's notebook whose name begins with `name`, such as "07", or of the user's notebook `name`.

    Raises CdirError if there is no such notebook, or if several names begin with `name`.
    """
    if name.endswith(".ipynb"):
        read_notebook(Path(name))
        return Path(name)
    names = [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    matches = [stem for stem in names if stem == name or stem.startswith(f"{name}_")]
    if len(matches) != 1:
        raise CdirError(f"no notebook {name!r}: use one of {', '.join(names)}, or give an .ipynb file")
    return NOTEBOOKS / f"{matches[0]}.ipynb"


def read_parameters(path: Path) -> dict[str, Any]:
    """{name: default value} from the cell tagged `parameters`; only literals are allowed, so no code is run."""
    cells = [c for c in read_notebook(path).cells if "parameters" in c.metadata.get("tags", [])]
    if not cells:
        return {}
    try:
        body = ast.parse(cells[0].source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise CdirError(f"{path.name}: parameters cell, line {line}: invalid Python, fix the syntax") from None
    defaults = {}
    for node in body:
        try:
            name, value = _assignment(node)
            defaults[name] = ast.literal_eval(value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            raise CdirError(
                f"{path.name}: parameters cell, line {node.lineno}: only `name = literal` is allowed"
            ) from None
    return defaults


def _assignment(node: ast.stmt) -> tuple[str, ast.expr]:
    """Name and value of `name = value` or `name: type = value`. Raises ValueError for any other statement."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        return node.target.id, node.value
    raise ValueError
