"""TKI's settings, each with its source, and the class names that it learns from."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from cdir_nb.data.card import display
from cdir_nb.data.manifest import load_card
from cdir_nb.data.objects import object_names
from cdir_nb.errors import CdirError
from cdir_nb.methods.settings import Settings, setting

STRATEGIES = {1: "the dataset's own class names", 2: "other names, drawn at random"}


SECOND_STAGE = (
    *("geometry", "radius", "hidden", "residual", "aggregation_steps"),
    *("hyperbolic_layers", "output", "unit_norm", "all_classes"),
)  # used by `aggregate` only


class TkiConfig(Settings):
    """Settings of TKI. No official code is known; what the paper does not state is marked as our default.

    `table()` lists each value with its source. Raises CdirError for an invalid value.
    """

    method = "TKI"

    words: int = setting(20, "paper, section 5.3: P = 20", ge=2)
    learning_rate: float = setting(0.005, "paper, section 5.1 (Adam)", gt=0)
    temperature: float = setting(0.1, "paper, section 5.1: tau = 0.1, in equations 3 and 6", gt=0)
    trade_off: float = setting(1.0, "paper, section 5.1: lambda = 1, in equation 5")
    losses: tuple[Literal["max", "min"], ...] = setting(
        ("max", "min"), "paper, equation 5; Table 5 leaves one or both out", strict=False
    )
    alpha: float = setting(50.0, "unknown: our default, the usual value in multi-similarity losses", gt=0)
    mu: float = setting(0.5, "unknown: our default, the usual value in multi-similarity losses")
    word_std: float = setting(0.02, "unknown: our default; as in the related code of PromptStyler", gt=0)
    expansion_steps: int = setting(100, "unknown: our default; PromptStyler takes 100 steps per word", ge=0)
    geometry: Literal["hyperbolic", "euclidean", "no bias"] = setting(
        "hyperbolic", "paper, section 4.2; Table 7: euclidean; 'no bias' is ours"
    )
    radius: float = setting(1.0, "unknown: our default, the unit ball", gt=0)
    hidden: int | None = setting(None, "unknown: our default, None: the width of CLIP's features", ge=1)
    residual: bool = setting(False, "unknown: our default, a plain MLP")
    aggregation_steps: int = setting(100, "unknown: our default, the same as in the first stage", ge=1)
    classes_per_step: int = setting(64, "unknown: our default; with fewer classes, every step uses all", ge=2)
    hyperbolic_layers: Literal["first", "second", "both"] = setting(
        "second", "unknown: our default; which of h's two layers is hyperbolic", added_later=True
    )
    output: Literal["tangent space", "ball"] = setting(
        "tangent space", "unknown: our default; the space of a hyperbolic second layer's output", added_later=True
    )
    unit_norm: bool = setting(True, "unknown: our default, h's output has unit length", added_later=True)
    all_classes: bool = setting(
        False, "unknown: our default; True: equation 6 over all classes in every step, as printed", added_later=True
    )
    other_names: int | None = setting(
        None,
        "unknown: our default, None: strategy 2 draws as many names as the dataset has; 0: its whole pool",
        ge=0,
        added_later=True,
    )

    def first_stage(self) -> "TkiConfig":
        """A copy with the second stage at its defaults: variants with equal first stages can share an Expansion."""
        return TkiConfig(**{name: value for name, value in self if name not in SECOND_STAGE})


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
        given = ", ".join(repr(name) for name in names[:3]) or "none"
        raise CdirError(f"TKI needs at least two class names, none of them empty; got {given}")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise CdirError(f'class name "{twice}" appears twice: give each class a different name')


def _stems(name: str) -> set[str]:
    """The words of a name, without a final s (plural)."""
    return {word.removesuffix("s") for word in re.findall(r"\w+", name.lower())}
