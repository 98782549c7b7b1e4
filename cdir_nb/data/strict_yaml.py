"""YAML files that people write, cards and profiles, read strictly: plain data only, and each key once.

Size and depth are limited before anything is built, since libyaml crashes on deep nesting. Aliases are few and stand
for plain values only: a few lines of aliases of aliases can stand for gigabytes. Tags are refused.
"""

from pathlib import Path
from typing import Any

import yaml

from cdir_nb.errors import CdirError

LARGEST, DEEPEST, MOST_ALIASES = 200_000, 20, 100  # bytes; lists and mappings inside each other
BASE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster, if PyYAML was built with it


class _Loader(BASE):
    """PyYAML's safe loader without keys that appear twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(problem="a key must be text: quote it", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} appears twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, where: str = "") -> dict[str, Any]:
    """The `field: value` lines of a file. Raises CdirError that names the file (as `where`) and the line."""
    where = where or str(path)
    text = _text(path, where)
    try:
        _check(text)
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise CdirError(f"{where}: not valid YAML{line}: {getattr(error, 'problem', None) or error}; fix it") from None
    except (
        ValueError,
        OverflowError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:  # a date or number that is none
        raise CdirError(f"{where}: not valid YAML: {error}; fix it") from None
    if not isinstance(content, dict):
        raise CdirError(f"{where}: it must consist of `field: value` lines")
    return content


def _text(path: Path, where: str) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise CdirError(
                f"{where}: {path.stat().st_size:,} bytes, at most {LARGEST:,} are read; is it the right file?"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CdirError(f"{where}: not UTF-8 text (byte {error.start}): save it as UTF-8") from None


def _check(text: str) -> None:
    """Raise YAMLError for what the limits forbid, from the stream of events, before anything is built."""
    open_nodes: list[bool] = []  # for each list or mapping around an event: whether it, or one around it, has an anchor
    aliases = 0
    for event in yaml.parse(text, Loader=BASE):
        inside = bool(open_nodes) and open_nodes[-1]
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append(inside or event.anchor is not None)
        elif isinstance(event, yaml.CollectionEndEvent):
            open_nodes.pop()
        aliases += isinstance(event, yaml.AliasEvent)
        if problem := _problem(event, inside, len(open_nodes), aliases):
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _problem(event: yaml.Event, inside_anchor: bool, depth: int, aliases: int) -> str:
    if depth > DEEPEST:
        return f"nested more than {DEEPEST} deep"
    if isinstance(event, yaml.AliasEvent) and (inside_anchor or aliases > MOST_ALIASES):
        return f"*{event.anchor} is one alias too many, or inside another's value: write it out"
    if tag := getattr(event, "tag", None):
        return f"tag {tag}: leave it out"
    return ""
