"""Which state of a training run is reported: the rule is part of the number (`Record.selection_rule`)."""

import pandas as pd

from cdir_nb.conventions import BEST_ON_TEST, BY_VALIDATION_CLASSES, LAST_EPOCH
from cdir_nb.errors import CdirError

RULES = (LAST_EPOCH, BY_VALIDATION_CLASSES, BEST_ON_TEST)


def selected(scores: pd.DataFrame) -> pd.DataFrame:
    """What each rule reports of one run: index rule, columns `step` and `test`.

    scores  index step (ascending), columns "test" and "validation": the same metric on both sets

    "best on test" is never below the other two: what it has above them is its optimism. The first best step counts.
    Raises CdirError without a step.
    """
    if scores.empty:
        raise CdirError("no step was measured: nothing can be selected")
    steps = dict(zip(RULES, (scores.index[-1], scores["validation"].idxmax(), scores["test"].idxmax())))
    return pd.DataFrame({"step": steps, "test": {rule: scores.loc[step, "test"] for rule, step in steps.items()}})
