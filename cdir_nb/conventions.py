"""Names of metrics with their conventions, and of selection rules.

The docstring of `retrieval/metrics.py` defines each convention.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from cdir_nb.errors import CdirError

PRECISION = ("hits_over_k", "hits_over_min_k_relevant", "ucdir_micro")
AVERAGE_PRECISION = ("over_found", "over_min_k_relevant", "over_relevant", "voc_interpolated")
CONVENTIONS = {"precision": PRECISION, "average_precision": AVERAGE_PRECISION}
SHORT = {"precision": "P", "average_precision": "mAP", "accuracy": "accuracy"}
KINDS = {short: kind for kind, short in SHORT.items()}
FORMS = (
    f"P@K:CONVENTION ({', '.join(PRECISION)}), mAP@K:CONVENTION or mAP@all:CONVENTION "
    f"({', '.join(AVERAGE_PRECISION)}), accuracy:top-1"
)

FROZEN = "none: frozen encoder"  # the training set of a method that trains nothing and uses no other images
NOTHING_SELECTED = "nothing selected"  # nothing was trained
LAST_EPOCH = "last epoch"
BY_PSEUDO_LABELS = "validation by pseudo-labels"
BY_SEEN_LABELS = "validation by labels of seen classes"
BY_VALIDATION_CLASSES = "validation by validation classes"
BEST_ON_TEST = "best on test"  # an upper bound; several published numbers are selected this way
SELECTION_RULES = (NOTHING_SELECTED, LAST_EPOCH, BY_PSEUDO_LABELS, BY_SEEN_LABELS, BY_VALIDATION_CLASSES, BEST_ON_TEST)


@dataclass(frozen=True)
class Metric:
    """A metric with its parameters. `str(metric)` is its name, and `Metric.parse` its inverse.

    kind        "precision", "average_precision" or "accuracy"
    k           number of results; None for average precision over the whole ranking (`@all`) and for an accuracy
    convention  one of `CONVENTIONS[kind]`; for an accuracy a text, such as "top-1" or "zero-shot, among 21 classes"

    Names: `P@10:hits_over_k`, `mAP@200:over_found`, `mAP@all:over_relevant`, `accuracy:top-1`.
    Raises CdirError if kind, k and convention do not form a metric.
    """

    kind: str
    k: int | None
    convention: str

    def __post_init__(self) -> None:
        positive, absent = self.k is not None and self.k > 0, self.k is None
        valid_k = {"precision": positive, "average_precision": positive or absent, "accuracy": absent}
        conventions = CONVENTIONS.get(self.kind, [self.convention] if self.convention.strip() else [])
        if not valid_k.get(self.kind) or self.convention not in conventions:
            raise CdirError(f"{self.kind!r}, k={self.k}, {self.convention!r} is not a metric: use {FORMS}")

    def __str__(self) -> str:
        return f"{self.short}:{self.convention}"

    @property
    def short(self) -> str:
        """The name without the convention, such as `P@10`."""
        if self.kind == "accuracy":
            return SHORT[self.kind]
        return f"{SHORT[self.kind]}@{'all' if self.k is None else self.k}"

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> "Metric":
        """The metric with this name. Raises CdirError, with the valid forms, for any other text."""
        parts = re.fullmatch(r"(\w+)(?:@([1-9]\d*|all))?:(.+)", text) if isinstance(text, str) else None
        if parts is None or parts[1] not in KINDS or (parts[2] is None) != (parts[1] == "accuracy"):
            raise CdirError(f"{text!r} is not a metric: use {FORMS}")
        k = None if parts[2] in (None, "all") else int(parts[2])
        try:
            return cls(KINDS[parts[1]], k, parts[3])
        except CdirError:
            raise CdirError(f"{text!r} is not a metric: use {FORMS}") from None
