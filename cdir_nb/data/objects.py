"""A list of common object names, for text pairs such as "a photo of a kettle", "a sketch of a kettle".

The paper (CLAIR, section 4.4) uses about 3,000 "internet-sourced object names" and does not publish them. The names in
`objects.txt` beside this file were written by hand for this package, not copied from the web or a dataset.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cdir_nb.errors import CdirError

LIST = Path(__file__).with_name("objects.txt")


def object_names(exclude: Iterable[str] = (), path: Path | str = LIST) -> list[str]:
    """Object names in the order of the list, without those that name a class in `exclude` (the test classes).

    A name is removed if it contains all words of an excluded class: excluding `guitar` removes `electric guitar` too.
    Plurals and spaces make no difference. Synonyms are not detected: excluding `airplane` does not remove `aeroplane`.
    Raises CdirError if `exclude` is a single string, if the list is missing, or if no name is left.
    """
    if isinstance(exclude, str):
        raise CdirError(f'exclude takes a list of class names, not one string: write ["{exclude}"]')
    excluded = [_words(name) for name in exclude]
    joined = {"".join(words) for words in excluded}
    names = [name for name in _read(Path(path)) if not _is_excluded(_words(name), excluded, joined)]
    if not names:
        raise CdirError(f"{Path(path).name} has no object names besides the excluded classes: use a longer list")
    return names


def _is_excluded(words: list[str], excluded: list[list[str]], joined: set[str]) -> bool:
    return "".join(words) in joined or any(set(name) <= set(words) for name in excluded if name)


def _words(name: str) -> list[str]:
    """Lower-case words without the plural s: "Hot_Dogs" -> ["hot", "dog"]."""
    return [word.removesuffix("s") for word in re.findall(r"[^\W_]+", name.lower())]


@cache
def _read(path: Path) -> tuple[str, ...]:
    """All names of the list, each once. Names are separated by commas or line breaks; # begins a comment line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CdirError(
            f"{path.name}: the list of object names cannot be read ({error.strerror}): check the path"
        ) from error
    names = (name.strip() for line in lines if not line.startswith("#") for name in line.split(","))
    return tuple(dict.fromkeys(name for name in names if name))
