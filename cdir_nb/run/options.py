"""Parse the command-line options `--set`, `--sweep`, `--seeds` and `--direction`."""

import ast
from collections.abc import Iterable
from typing import Any

from cdir_nb.errors import CdirError
from cdir_nb.methods.table import method_named
from cdir_nb.run.profile import Experiment


def literal(text: str) -> Any:
    """Parse a Python literal (number, True, False, None, list or mapping); any other text is returned unchanged."""
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def experiment_from_options(
    method: str,
    task: str | None,
    *,
    variants: Iterable[str] = (),
    encoder: str | None = None,
    seeds: str = "0",
    directions: Iterable[str] = (),
    settings: Iterable[str] = (),
    sweep: Iterable[str] = (),
) -> Experiment:
    """The experiment defined by the options of `cdir reproduce --method`. Raises CdirError for a malformed option."""
    if not task:
        raise CdirError(f"--method {method} needs a task: add --task, such as --task world-unseen")
    grid = dict(_assignment(text, "--sweep", "learning_rate=0.01,0.03") for text in sweep)
    overrides = dict(_assignment(text, "--set", "epochs=20") for text in settings)
    return Experiment(
        method=method,
        task=task,
        variants=list(variants) or [""],
        encoders=[encoder or method_named(method).default_encoder],
        seeds=_integers(seeds),
        directions=[_direction(text) for text in directions],
        settings={name: literal(value) for name, value in overrides.items()},
        sweep={name: [literal(value) for value in values.split(",")] for name, values in grid.items()},
    )


def _assignment(text: str, option: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise CdirError(f"{option} {text}: with --method, write SETTING=VALUE, such as {example}")
    return name, value


def _integers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise CdirError(f"--seeds {text}: write integers separated by commas, such as 0,1,2") from None


def _direction(text: str) -> list[str]:
    pair = text.split(":")
    if len(pair) != 2 or not all(pair):
        raise CdirError(f"--direction {text}: write QUERY:GALLERY, such as sketch:photo")
    return pair
