"""Which state of a training run is reported; the rule is recorded with the number (`Record.selection_rule`)."""

import pandas as pd

from cdir_nb.conventions import BEST_ON_TEST, BY_VALIDATION_CLASSES, LAST_EPOCH
from cdir_nb.errors import CdirError

RULES = (LAST_EPOCH, BY_VALIDATION_CLASSES, BEST_ON_TEST)


def selected(scores: pd.DataFrame) -> pd.DataFrame:
    """The number that each rule reports for one run: index rule, columns `step` and `test`.

    scores  index step (ascending), columns "test" and "validation": the same metric on both sets

    "best on test" is never below the other two; the difference is its optimistic bias. Of equally good steps, the
    first is taken. Raises CdirError if there are no steps.
    """
    if scores.empty:
        raise CdirError("no step was measured, so none can be selected: pass at least one row of scores")
    steps = dict(zip(RULES, (scores.index[-1], scores["validation"].idxmax(), scores["test"].idxmax())))
    return pd.DataFrame({"step": steps, "test": {rule: scores.loc[step, "test"] for rule, step in steps.items()}})
