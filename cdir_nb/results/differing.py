"""What several settings of one method differ in, in words."""

import json
from collections.abc import Mapping
from typing import Any


def differing(settings: Mapping[str, Mapping[str, Any] | None]) -> dict[str, str]:
    """{digest: the values that are not the same in all of these settings}, such as `learning_rate=0.001`.

    settings  {digest: settings, None if unknown}
    Nested settings are named with a dot. Unknown settings, and settings that differ only in what others have in
    addition, are named by their digest.
    """
    flat = {digest: _flat(one) for digest, one in settings.items() if one is not None}
    names = dict.fromkeys(name for one in flat.values() for name in one)
    several = [name for name in names if len({json.dumps(one.get(name)) for one in flat.values()}) > 1]
    texts = {}
    for digest in settings:
        if digest not in flat:
            texts[digest] = f"settings unknown ({digest})"
            continue
        parts = [f"{name}={_short(flat[digest][name])}" for name in several if name in flat[digest]]
        texts[digest] = ", ".join(parts) or f"settings {digest}"
    return texts


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """{"refinement.steps": 10} for nested settings."""
    found = {}
    for name, value in settings.items():
        inner = _flat(value) if isinstance(value, Mapping) and value else {}
        found |= {f"{name}.{more}": one for more, one in inner.items()} or {name: value}
    return found


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
