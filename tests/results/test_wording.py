"""Verdicts as text: each part by hand, and the same words wherever a verdict is shown."""

from types import SimpleNamespace

import pandas as pd
import pytest

from cdir_nb.results.claims.wording import each_seed, held, joint_verdict, span


@pytest.mark.parametrize(
    "kinds,expected",
    [(["holds"], "holds"), (["holds", "holds"], "holds"), (["holds", "mixed"], "verdicts differ"), ([], "not run")],
)
def test_the_rows_of_a_claim_have_one_verdict(kinds, expected):
    assert joint_verdict(pd.DataFrame({"verdict": kinds})) == expected


@pytest.mark.parametrize(
    "points,digits,expected",
    [
        ([], 1, ""),
        ([float("nan")], 1, ""),
        ([1.25], 2, "+1.25"),
        ([3.0, -0.5, 1.0], 1, "-0.5 to +3.0"),
        ([9.0, 10.0, -11.0], 1, "-11.0 to +10.0"),  # by number, not by letters
        ([-0.001], 2, "+0.00"),  # never -0.00
        ([1.24, 1.21], 1, "+1.2"),  # one number where both read the same
    ],
)
def test_points_run_from_least_to_greatest(points, digits, expected):
    assert span(points, digits=digits) == expected


def test_parts_of_one_row():
    row = SimpleNamespace(verdict="mixed", differences=(3.0, -0.5), above=(2, 1), directions=2)
    assert each_seed(row) == "+3.00, -0.50" and held(row) == "2, 1 of 2"
    assert held(SimpleNamespace(verdict="mixed", above=(), directions=0)) == ""
