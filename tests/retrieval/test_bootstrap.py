import numpy as np
import pytest

from cdir_nb.errors import CdirError
from cdir_nb.retrieval.bootstrap import bootstrap_interval


def test_single_queries_agree_with_the_normal_interval():
    values = np.random.default_rng(1).normal(0.4, 0.2, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.003)


def test_queries_that_share_their_fate_count_as_one():
    values, classes = np.repeat([0.0, 0.2, 0.9, 0.4], 100), np.repeat(list("abcd"), 100)
    low, high = bootstrap_interval(values, classes)
    alone = bootstrap_interval(values)
    assert high - low > 5 * (alone[1] - alone[0])
    assert bootstrap_interval(np.array([0.0, 0.2, 0.9, 0.4])) == pytest.approx((low, high))  # 4 classes, 4 draws


def test_undefined_queries_stay_out_and_a_level_is_kept():
    assert bootstrap_interval(np.array([np.nan, 0.5, 0.5])) == (0.5, 0.5)
    values = np.arange(100) / 100
    wide, narrow = bootstrap_interval(values, level=0.95), bootstrap_interval(values, level=0.5)
    assert wide[0] < narrow[0] < 0.495 < narrow[1] < wide[1]
    with pytest.raises(CdirError, match="no query has a value"):
        bootstrap_interval(np.array([np.nan]))
