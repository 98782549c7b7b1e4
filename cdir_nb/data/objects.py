"""A list of common object names of our own, for pairs of texts such as "a photo of a kettle", "a sketch of a kettle".

The paper (CLAIR, section 4.4) takes about 3,000 "internet-sourced object names" and does not publish them. Ours is
`objects.txt` beside this file: written down by hand, theme by theme, from no list of the web or of a data set.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cdir_nb.errors import CdirError

LIST = Path(__file__).with_name("objects.txt")


def object_names(exclude: Iterable[str] = (), path: Path | str = LIST) -> list[str]:
    """Object names in the order of the list, without those that name a class in `exclude` (the test classes).

    A name goes if it holds all words of an excluded class: without `guitar` there is no `electric guitar`
    either. Plurals and spaces make no difference. Synonyms do: `aeroplane` stays where `airplane` goes.
    Raises CdirError where `exclude` is one text, where the list is missing, and where nothing is left.
    """
    if isinstance(exclude, str):
        raise CdirError(f'exclude takes a list of class names, not one text: write ["{exclude}"]')
    excluded = [_words(name) for name in exclude]
    joined = {"".join(words) for words in excluded}
    names = [name for name in _read(Path(path)) if not _is_one_of(_words(name), excluded, joined)]
    if not names:
        raise CdirError(f"{Path(path).name} holds no object name besides the excluded classes: give a longer list")
    return names


def _is_one_of(words: list[str], excluded: list[list[str]], joined: set[str]) -> bool:
    return "".join(words) in joined or any(set(other) <= set(words) for other in excluded if other)


def _words(name: str) -> list[str]:
    """Lower-case words without a plural's s: "Hot_Dogs" -> ["hot", "dog"]."""
    return [word.removesuffix("s") for word in re.findall(r"[^\W_]+", name.lower())]


@cache
def _read(path: Path) -> tuple[str, ...]:
    """All names of the list, each once. Names are separated by commas or lines; # begins a remark."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CdirError(
            f"{path.name}: the list of object names can't be read ({error.strerror}): give its path"
        ) from error
    names = (name.strip() for line in lines if not line.startswith("#") for name in line.split(","))
    return tuple(dict.fromkeys(name for name in names if name))
