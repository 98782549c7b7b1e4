"""TKI's settings, each with its source."""

from typing import Literal

from cdir_nb.methods.settings import Settings, setting


class ExpansionSettings(Settings):
    """Settings of the first stage, domain expansion. Together with the class names they determine the words.

    No official code is known; values that the paper does not state are marked as our default.
    `table()` lists each value with its source. Raises CdirError for an invalid value.
    """

    method = "TKI"

    words: int = setting(20, "paper, section 5.3: P = 20", ge=2)
    learning_rate: float = setting(0.005, "paper, section 5.1 (Adam, in both stages)", gt=0)
    temperature: float = setting(0.1, "paper, section 5.1: tau = 0.1, in equations 3 and 6", gt=0)
    trade_off: float = setting(1.0, "paper, section 5.1: lambda = 1, in equation 5")
    losses: tuple[Literal["max", "min"], ...] = setting(
        ("max", "min"), "paper, equation 5; Table 5 leaves one or both out", strict=False
    )
    alpha: float = setting(50.0, "unknown: our default, the usual value in multi-similarity losses", gt=0)
    mu: float = setting(0.5, "unknown: our default, the usual value in multi-similarity losses")
    word_std: float = setting(0.02, "unknown: our default; as in the related code of PromptStyler", gt=0)
    expansion_steps: int = setting(100, "unknown: our default; PromptStyler takes 100 steps per word", ge=0)
    classes_per_step: int = setting(
        64, "unknown: our default, in both stages; with fewer classes, every step uses all", ge=2
    )

    @property
    def steps_of_expansion(self) -> int:
        """The number of optimiser steps of the first stage; 0 if no loss trains the words."""
        return self.expansion_steps if self.losses else 0


class TkiSettings(ExpansionSettings):
    """Settings of TKI: those of both stages, and the choice of class names."""

    strategy: Literal[1, 2] = setting(1, "paper, section 5.3: label strategy; Table 6: 2, names of other classes")
    other_names: int | None = setting(
        None, "unknown: our default, None: strategy 2 draws as many names as the dataset has; 0: its whole pool", ge=0
    )
    geometry: Literal["hyperbolic", "euclidean", "no bias"] = setting(
        "hyperbolic", "paper, section 4.2; Table 7: euclidean; 'no bias' is ours"
    )
    radius: float = setting(1.0, "unknown: our default, the unit ball", gt=0)
    hidden: int | None = setting(None, "unknown: our default, None: the width of CLIP's features", ge=1)
    residual: bool = setting(False, "unknown: our default, a plain MLP")
    hyperbolic_layers: Literal["first", "second", "both"] = setting(
        "second", "unknown: our default; which of h's two layers is hyperbolic"
    )
    output: Literal["tangent space", "ball"] = setting(
        "tangent space", "unknown: our default; the space of a hyperbolic second layer's output"
    )
    unit_norm: bool = setting(True, "unknown: our default, h's output has unit length")
    aggregation_steps: int = setting(100, "unknown: our default, the same as in the first stage", ge=1)
    all_classes: bool = setting(
        False, "unknown: our default; True: equation 6 over all classes in every step, as printed"
    )

    def first_stage(self) -> ExpansionSettings:
        """The settings of the first stage; variants with equal first stages share their words."""
        return ExpansionSettings(**{name: getattr(self, name) for name in ExpansionSettings.model_fields})
