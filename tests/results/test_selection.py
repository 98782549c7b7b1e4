import pandas as pd
import pytest

from cdir_nb.errors import CdirError
from cdir_nb.results.aggregate import RULES, selected

VALIDATION = "validation by validation classes"


def run(test, validation):
    return pd.DataFrame({"test": test, "validation": validation}, index=range(0, 5 * len(test), 5))


def test_each_rule_by_hand():
    found = selected(run([40, 47, 45, 46], [50, 51, 53, 52]))
    assert found["step"].to_dict() == {"last epoch": 15, VALIDATION: 10, "best on test": 5}
    assert found["test"].to_dict() == {"last epoch": 46, VALIDATION: 45, "best on test": 47}
    assert tuple(found.index) == RULES


def test_the_first_of_equals_counts_and_validation_never_reads_the_test():
    found = selected(run([1, 9, 9, 2], [3, 3, 3, 3]))
    assert found.loc["best on test", "step"] == 5 and found.loc[VALIDATION, ["step", "test"]].tolist() == [0, 1]


def test_nothing_measured_is_refused():
    with pytest.raises(CdirError, match="no step was measured"):
        selected(run([], []))
