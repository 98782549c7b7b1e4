"""Committed numbers do not change silently: a row that vanishes or moves has a line in docs/results/changes.md."""

import pytest
import released as tool
from test_summary import AWAY, BACK, number

from cdir_nb.results import reproduced_records

TRAINED = {"selection_rule": "last epoch", "settings": {"x": 1}}


def rows(*values):
    """Released rows of a method with these values in both directions, one per seed."""
    return tool.released_rows([number("Q", place, value, seed=seed, **TRAINED)
                               for seed, value in enumerate(values) for place in (AWAY, BACK)])  # fmt: skip


def test_a_row_that_moves_beyond_its_spread_or_vanishes_is_found():
    before = rows(0.40, 0.42, 0.44)  # standard deviation 0.02
    assert tool.changes(before, rows(0.415, 0.435, 0.455)) == []
    (moved,) = tool.changes(before, rows(0.43, 0.45, 0.47))
    assert moved.endswith(": 42.00 -> 45.00") and "Q, last epoch" in moved
    (gone,) = tool.changes(before, rows(0.40).iloc[:0])
    assert gone.endswith(": vanished")
    assert tool.changes(before, before) == []


def test_a_number_of_one_seed_may_move_by_rounding_only():
    assert tool.changes(rows(0.4), rows(0.40004)) == [] and len(tool.changes(rows(0.4), rows(0.4002))) == 1


def test_a_change_needs_a_line_with_the_row_s_name():
    (change,) = tool.changes(rows(0.4), rows(0.5))
    name = change.partition(": ")[0]
    assert tool.undocumented([change], f"- `{name}`: measured again") == []
    assert tool.undocumented([change], "- Q: measured again") == [change]


@pytest.mark.medium
def test_every_change_of_the_committed_records_is_documented():
    found = tool.changes(tool.read_released(), tool.released_rows(reproduced_records()))
    assert tool.undocumented(found, tool.CHANGES.read_text(encoding="utf-8")) == []
