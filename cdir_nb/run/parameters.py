"""Checks of the values given for a notebook's parameters. Papermill only warns; we raise an error."""

import ast
import json
import math
from typing import Any

from cdir_nb.errors import CdirError
from cdir_nb.run.declared import check_declared

RESERVED = {
    "out_dir": "the runner sets it",
    "data_root": "use --data NAME=PATH",
    "dataset": "use --profile",
    "run_folders": "`after` in a profile sets it",
}


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
