"""The `parameters` cell of a notebook, and checks of given values. Papermill only warns; we raise an error."""

import ast
import json
import math
from pathlib import Path
from typing import Any

import nbformat

from cdir_nb.batch.declared import check_declared
from cdir_nb.errors import CdirError

RESERVED = {
    "out_dir": "the runner sets it",
    "data_root": "use --data NAME=PATH",
    "dataset": "use --profile",
    "run_folders": "`after` in a profile sets it",
}


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read the notebook `path`. Raises CdirError if it is missing or not a notebook."""
    if not path.is_file():
        raise CdirError(f"notebook {path} not found: check its name in the profile")
    try:
        notebook = nbformat.read(path, as_version=4)
        if not all(isinstance(cell.source, str) and cell.cell_type and "metadata" in cell for cell in notebook.cells):
            raise ValueError("a cell is not complete")
        return notebook
    except Exception as error:  # nbformat raises several unrelated types for a damaged file
        raise CdirError(f"{path} is not a valid notebook ({type(error).__name__}): restore the file") from None


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
        name, value = _assignment(node)
        try:
            defaults[name] = ast.literal_eval(value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            raise CdirError(
                f"{path.name}: parameters cell, line {node.lineno}: only `name = literal` is allowed"
            ) from None
    return defaults


def _assignment(node: ast.stmt) -> tuple[str, ast.expr | None]:
    """Name and value of `name = value` or `name: type = value`; (\"\", None) for any other statement."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None


def check(notebook: str, given: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Raise CdirError for a parameter that the notebook does not have, or a value that it cannot take.

    A value must have the type of the default, and be in the range or among the choices that `declared` lists.
    """
    for name, value in given.items():
        if name not in defaults:
            known = ", ".join(sorted(set(defaults) - set(RESERVED))) or "none"
            raise CdirError(f"{notebook} has no parameter {name!r}; known: {known}")
        if not fits(value, defaults[name]):
            want = type(defaults[name]).__name__
            raise CdirError(
                f"{notebook}: {name} must be {want} (default {defaults[name]!r}), not {type(value).__name__} {value!r}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise CdirError(f"{notebook}: {name} must be a finite number, not {value}")
        if not _is_plain(value):
            raise CdirError(f"{notebook}: {name} must be numbers, text, lists or mappings of them, not {value!r}")
        if isinstance(value, str) and not value.isprintable():
            raise CdirError(f"{notebook}: {name} must be one line of printable text, not {value!r}")
        if value != defaults[name]:
            check_declared(notebook, name, value)


def _is_plain(value: Any) -> bool:
    """Whether a value can be written to a notebook and into a digest; a date of a YAML file cannot."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def fits(value: Any, default: Any) -> bool:
    """Whether `value` has the type of `default`: an int is accepted for a float, a bool is not a number."""
    if default is None:
        return True
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return True
    if type(value) is not type(default):
        return False
    if isinstance(default, (list, tuple)) and default:
        return all(any(fits(item, model) for model in default) for item in value)
    return True


def parse_value(text: str, default: Any) -> Any:
    """Parse a value from the command line: text if the default is text, otherwise a literal."""
    if isinstance(default, str):
        return text
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text  # `check` then reports the expected type
