"""Names of domains, classes and files: one rule that compares them, and lists of them in messages."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

MAX_NAMES = 3


def name_key(name: str) -> str:
    """A key that is equal for names that differ only in Unicode form, case, spaces, underscores and hyphens."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return re.sub(r"[\s_-]", "", folded)


def spellings(names: Iterable[str]) -> list[list[str]]:
    """Groups of different names with equal `name_key`, in the order of the first name of each group."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        groups[name_key(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def listed(names: Sequence[str], most: int = MAX_NAMES) -> str:
    """The first names, and the number of the others: "a, b, c and 297 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def grouped(problems: Sequence[tuple[str, str]], names_file: Path | None = None) -> list[str]:
    """One line for each kind of problem of files, in the order of their first files.

    problems    (file, problem), where a problem is "kind: what is wrong" or only the latter
    names_file  a file with all names, which lines that leave out names refer to

    "a.jpg (zero bytes)", "300 HEIC files: install pillow-heif (a.heic, b.heic, c.heic and 297 more)". Problems that
    differ only in numbers are of one kind.
    """
    groups: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, problem in problems:
        groups[re.sub(r"\d[\d,.]*", "…", problem)].append((name, problem))
    lines = []
    for reason, members in groups.items():
        names, problems_of_group = zip(*members)
        if len(members) == 1:
            lines.append(f"{names[0]} ({problems_of_group[0]})")
            continue
        if len(set(problems_of_group)) == 1:
            reason = problems_of_group[0]
        shown = listed(names) + (f"; all names: {names_file}" if names_file and len(names) > MAX_NAMES else "")
        kind, colon, what = reason.partition(": ")
        lines.append(
            f"{len(members):,} {kind} files: {what} ({shown})"
            if colon
            else f"{len(members):,} files: {reason} ({shown})"
        )
    return lines
