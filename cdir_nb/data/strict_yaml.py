"""YAML files that users write (cards, profiles, sources): only plain data, and no duplicate keys."""

from pathlib import Path
from typing import Any

import yaml

from cdir_nb.errors import CdirError

MAX_DEPTH = 20  # of nested lists and mappings: libyaml crashes the interpreter on deep nesting
_Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster, if PyYAML was built with it


class _Loader(_Base):  # pyright: ignore[reportGeneralTypeIssues]
    """PyYAML's safe loader; it also refuses repeated keys, and keys that are not text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(problem="a key must be text: quote it", problem_mark=key.start_mark)
            if key.value in keys:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} appears twice", problem_mark=key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, where: str = "") -> dict[str, Any]:
    """The mapping in a YAML file. Raises CdirError, which names the file (by default its path) and the line."""
    where = where or str(path)
    try:
        text = path.read_text(encoding="utf-8")
        _check_depth(text)
        content = yaml.load(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        raise CdirError(f"{where}: not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise CdirError(f"{where}: not valid YAML{line}: {getattr(error, 'problem', None) or error}; fix it") from None
    except (ValueError, OverflowError, LookupError, TypeError, AttributeError) as error:
        # PyYAML's constructors raise these for invalid dates and numbers
        raise CdirError(f"{where}: not valid YAML: {error}; fix it") from None
    if not isinstance(content, dict):
        raise CdirError(f"{where}: it must consist of `field: value` lines")
    return content


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested more than {MAX_DEPTH} deep", problem_mark=event.start_mark)
