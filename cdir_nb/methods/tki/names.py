"""Select the class names on which TKI is trained."""

import re

import numpy as np

from cdir_nb.data.card import display
from cdir_nb.data.manifest import load_card
from cdir_nb.data.objects import object_names
from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError


def names_for(task: Protocol, strategy: int = 1, *, count: int | None = None, seed: int = 0) -> list[str]:
    """Class names for training, in natural words (paper, section 5.3 and Table 6).

    strategy 1  the names of the query classes
    strategy 2  `count` other names (None: as many as there are query classes; 0: all), drawn with `seed` from the
                training classes that are not query classes. If there are none, they are drawn from DomainNet's 345
                classes or, if too few of these remain, from our list of object names. No name shares a word with a
                query class, which is our interpretation of "don't overlap". The paper does not state which and how
                many names it used.
    Raises CdirError if there are too few names.
    """
    query_names = [display(task.display(label)) for label in task.classes]
    if strategy == 1:
        return query_names
    seen = [label for label in task.seen if label not in task.classes]
    pools = [seen] if seen else [load_card("domainnet_cleaned").classes, object_names()]
    excluded = {word for name in query_names for word in _stems(name)}
    for pool in pools:
        names = sorted({name for name in map(display, pool) if not excluded & _stems(name)})
        size = len(query_names) if count is None else count or max(2, len(names))
        if len(names) >= size:
            return np.random.default_rng(seed).choice(names, size, replace=False).tolist()
    raise CdirError(
        f"label strategy 2 needs {size} names that share no word with the query classes, but there are {len(names)}: "
        "choose a smaller other_names, or a task with more training classes"
    )


def _stems(name: str) -> set[str]:
    """The words of a name, without a final s (plural)."""
    return {word.removesuffix("s") for word in re.findall(r"\w+", name.lower())}
