"""Means over directions and seeds against loops, and the state that each selection rule reports."""

import math
from statistics import fmean, stdev

import numpy as np
import pandas as pd
import pytest

from cdir_nb.errors import CdirError
from cdir_nb.results.aggregate import RULES, means, selected


@pytest.mark.parametrize("share", [1.0, 0.8, 0.4])
def test_means_are_those_of_loops(share):
    """Random numbers of three methods, of which some are missing."""
    rng = np.random.default_rng(0)
    cells = [(m, q, g, s) for m in "abc" for q in "xy" for g in "zw" for s in range(3) if rng.random() < share]
    frame = pd.DataFrame(cells, columns=["method", "query_domain", "gallery_domain", "seed"])
    frame["value"] = rng.random(len(frame))
    table = means(frame, by="method")
    for method, rows in frame.groupby("method"):
        values = {(r.query_domain, r.gallery_domain, r.seed): r.value for r in rows.itertuples()}
        directions, seeds = {key[:2] for key in values}, sorted({key[2] for key in values})
        by_direction = [fmean(v for key, v in values.items() if key[:2] == direction) for direction in directions]
        assert table.loc[method, "mean"] == pytest.approx(fmean(by_direction))
        assert table.loc[method, "directions"] == len(directions) and table.loc[method, "seeds"] == tuple(seeds)
        by_seed = [[v for key, v in values.items() if key[2] == seed] for seed in seeds]
        if len(seeds) > 1 and all(len(row) == len(directions) for row in by_seed):
            assert table.loc[method, "spread"] == pytest.approx(stdev(map(fmean, by_seed)))
        else:
            assert math.isnan(table.loc[method, "spread"])


def test_published_numbers_have_no_seed_and_no_spread():
    frame = pd.DataFrame({"method": "a", "place": ["x", "y"], "seed": None, "value": [0.25, 0.75]})
    (row,) = means(frame, by="method", over=["place"]).itertuples()
    assert (row.mean, row.seeds, row.directions) == (0.5, (), 2) and math.isnan(row.spread)


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
