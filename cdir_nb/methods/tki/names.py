"""The class names that TKI learns from."""

import re
from collections.abc import Sequence

import numpy as np

from cdir_nb.data.card import display
from cdir_nb.data.manifest import load_card
from cdir_nb.data.objects import object_names
from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError

STRATEGIES = {1: "the dataset's own class names", 2: "other names, drawn at random"}


def names_for(task: Protocol, strategy: int = 1, *, count: int | None = None, seed: int = 0) -> list[str]:
    """The class names to learn from on a task: `training_names` of its query classes.

    For strategy 2 the pool is the training classes that are not query classes; without any, the pool of
    `training_names`.
    """
    pool = [label for label in task.seen if label not in task.classes] or None
    own = [task.display(label) for label in task.classes]
    return training_names(own, strategy, pool=pool, count=count, seed=seed)


def training_names(
    names: Sequence[str],
    strategy: int = 1,
    *,
    pool: Sequence[str] | None = None,
    count: int | None = None,
    seed: int = 0,
) -> list[str]:
    """Class names to learn from, in natural words (paper, section 5.3 and Table 6).

    strategy 1  the dataset's own names
    strategy 2  `count` other names (None: as many as the dataset has; 0: all), drawn with `seed` from `pool` (None:
                DomainNet's 345 classes or, where too few of these are left, our list of object names); none shares a
                word with one of the dataset's names, which is our reading of "don't overlap". Which names the paper
                drew, and how many, is unknown.
    Raises CdirError for an unknown strategy, or a pool with too few names.
    """
    own = [display(name) for name in names]
    if strategy not in STRATEGIES:
        known = ", ".join(f"{number} ({what})" for number, what in STRATEGIES.items())
        raise CdirError(f"unknown label strategy {strategy}; known: {known}")
    if strategy == 1:
        return own
    taken = {word for name in own for word in _stems(name)}
    pools = [load_card("domainnet_cleaned").classes, object_names()] if pool is None else [pool]
    for others in pools:
        free = sorted({name for name in map(display, others) if not taken & _stems(name)})
        wanted = {None: len(own), 0: max(2, len(free))}.get(count, count)
        if len(free) >= wanted:
            return np.random.default_rng(seed).choice(free, wanted, replace=False).tolist()
    raise CdirError(
        f"label strategy 2 needs {wanted} names that share no word with the dataset's own, "
        f"but the pool has {len(free)}: give a larger pool"
    )


def check_names(names: Sequence[str]) -> None:
    """CdirError for fewer than two class names, an empty name, or a duplicate."""
    if len(names) < 2 or not all(name.strip() for name in names):
        found = ", ".join(repr(name) for name in names[:3]) or "none"
        raise CdirError(f"TKI needs at least two class names, none of them empty; got {found}")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise CdirError(f'class name "{twice}" appears twice: give each class a different name')


def _stems(name: str) -> set[str]:
    """The words of a name, without a final s (plural)."""
    return {word.removesuffix("s") for word in re.findall(r"\w+", name.lower())}
