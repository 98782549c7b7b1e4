"""Confusions, hubs and tables of directions, against cases worked by hand."""

import numpy as np
import pytest

from cdir_nb.analysis import rankings


def test_direction_table_keeps_query_and_gallery_apart():
    table = rankings.direction_table({("real", "sketch"): 40.0, ("sketch", "real"): 10.0}, ["real", "sketch"])
    assert table.loc["real", "sketch"] == 40 and table.loc["sketch", "real"] == 10
    assert np.isnan(table.loc["real", "real"])
    assert (table.index.name, table.columns.name) == ("query", "gallery")


def test_confusion_rows_are_shares_of_the_results():
    indices = np.array([[0, 1, 2], [2, 1, 0]])
    gallery = np.array(["cat", "dog", "owl"])
    table = rankings.confusion_table(indices, np.array(["cat", "cat"]), gallery, ["cat", "dog", "owl"], k=2)
    assert table.loc["cat"].tolist() == [25, 50, 25]
    assert table.loc["dog"].isna().all()
    assert rankings.top_confusions(table, 1) == [("cat", "dog", 50.0)]
    assert len(rankings.top_confusions(table, 9)) == 2


def test_k_occurrence_counts_how_often_each_image_comes_up():
    counts = rankings.k_occurrence(np.array([[0, 1, 2], [0, 2, 1], [0, 1, 2]]), n_gallery=4, k=2)
    assert counts.tolist() == [3, 2, 1, 0]
    assert counts.mean() == 3 * 2 / 4


def test_skewness():
    assert rankings.skewness(np.array([1, 2, 3])) == pytest.approx(0)
    assert rankings.skewness(np.array([5, 5, 5])) == 0
    assert rankings.skewness(np.array([0, 0, 0, 4])) == pytest.approx(1.1547, abs=1e-4)
