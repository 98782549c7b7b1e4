"""TKI's ablations by name (Tables 5 to 7, Figure 5): each is TKI with one thing changed."""

from cdir_nb.errors import CdirError
from cdir_nb.methods.tki.settings import TkiConfig

FULL = "TKI"
STRATEGY_2 = "TKI, strategy 2"  # Table 6
CHANGES = {
    FULL: {},
    "TKI, L_max only": {"losses": ("max",)},  # Table 5
    "TKI, L_min only": {"losses": ("min",)},
    "TKI, words as drawn": {"losses": ()},
    "TKI, Euclidean": {"geometry": "euclidean"},  # Table 7
    "TKI, Euclidean, no bias": {"geometry": "no bias"},  # ours
    STRATEGY_2: {},
    "TKI, P = 2": {"words": 2},  # Figure 5
    "TKI, P = 5": {"words": 5},
    "TKI, P = 10": {"words": 10},
    "TKI, radius 0.03": {"radius": 0.03},  # ours
}
VARIANTS = tuple(CHANGES)


def variant(method: str, config: TkiConfig | None = None) -> tuple[TkiConfig, int]:
    """What `fit` needs for a method of `VARIANTS`: its settings, and the label strategy for `training_names`.

    Raises CdirError for an unknown method.
    """
    if method not in CHANGES:
        raise CdirError(f"{method!r} is no variant of TKI here; known: {', '.join(VARIANTS)}")
    return (config or TkiConfig()).changed(**CHANGES[method]), 2 if method == STRATEGY_2 else 1
