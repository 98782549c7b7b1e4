"""Settings of a method as a frozen dataclass whose every value carries its source: a paper, or "our default"."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from cdir_nb.errors import CdirError


def setting(default: Any, source: str) -> Any:
    """A field of a config that carries where its default comes from."""
    return dataclasses.field(default=default, metadata={"source": source})


def settings_table(config: Any) -> list[dict[str, str]]:
    """Rows of setting, value, source, in the config's order; a value that is not the default says so.

    A setting that is itself a config gives its own rows, named `refinement.steps`.
    """
    rows = []
    for field in dataclasses.fields(config):
        value, source = getattr(config, field.name), field.metadata["source"]
        if dataclasses.is_dataclass(value):
            rows += [{**row, "setting": f"{field.name}.{row['setting']}"} for row in settings_table(value)]
            continue
        changed = "" if value == field.default else f"set here, not {field.default} ({source})"
        rows.append({"setting": field.name, "value": str(value), "source": changed or source})
    return rows


def check_whole(method: str, config: Any, **at_least: int) -> None:
    """CdirError for a setting that is no whole number, or too small a one; None passes where it is the default."""
    for name, least in at_least.items():
        value = getattr(config, name)
        if _left_open(config, name):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise CdirError(f"{method}: {name} is {value}: give a whole number of at least {least}")


def check_positive(method: str, config: Any, names: Iterable[str], *, zero: bool = False) -> None:
    """CdirError for a setting that is no positive number (`zero`: nor 0); None passes where it is the default."""
    for name in names:
        value = getattr(config, name)
        number = isinstance(value, (int, float)) and math.isfinite(value)
        if not _left_open(config, name) and not (number and (value > 0 or zero and value == 0)):
            raise CdirError(f"{method}: {name} is {value}: give a positive number{' or 0' if zero else ''}")


def _left_open(config: Any, name: str) -> bool:
    return getattr(config, name) is None and type(config).__dataclass_fields__[name].default is None
