"""The figures say the numbers they were given, where they were given."""

import numpy as np
import pandas as pd
import pytest

from cdir_nb.retrieval import Ranking, evaluate
from cdir_nb.show import conventions


def panel_title(ax):
    return ax.get_title("left")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_strips_show_each_rank_and_the_precision_at_hits():
    ax = conventions.rank_strips({"one": [False, True, True], "two": [True, False, False]}).axes[0]
    assert texts(ax) == ["one", "✗", "✓\n1/2", "✓\n2/3", "two", "✓\n1/1", "✗", "✗"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["rank 1", "rank 2", "rank 3"]


@pytest.fixture
def table():
    ranking = Ranking(np.array([[0, 1, 2, 3]], np.int32), np.array([[4, 3, 2, 1]], np.float32), 4)
    results = evaluate(ranking, ["a"], list("abab"), ks=(1, 2, 4), ap_ks=(1, 2, 4))  # right: ranks 1 and 3
    return pd.DataFrame(r.row() for r in results)


def test_curves_have_a_line_a_convention_and_read_off_at_k(table):
    fig = conventions.convention_curves({"as it is": table}, 4, title="t")
    left, right = fig.axes
    assert panel_title(left) == "P@k, as it is" and panel_title(right) == "mAP@k, as it is"
    legend = [t.get_text() for t in left.get_legend().get_texts()]
    assert legend == ["50.0  hits_over_k", "50.0  hits_over_min_k_relevant", "50.0  ucdir_micro"]
    assert right.get_legend().get_texts()[0].get_text() == "83.3  over_found"  # (1 + 2/3) / 2
    assert len(right.get_legend().get_texts()) == 4
    lines = {tuple(line.get_ydata()) for line in left.lines if len(line.get_xdata()) == 3}
    assert lines == {(100, 50, 50)}


def test_between_measured_cut_offs_the_nearest_counts(table):
    legend = conventions.convention_curves({"g": table}, 3).axes[0].get_legend()
    assert legend.get_title().get_text() == "at k = 2"


def test_bars_say_where_nothing_is_reported():
    table = pd.DataFrame({"P@5": [40.0, np.nan], "mAP@5": [np.nan, 62.0]}, index=["UCDIR", "LVM"])
    fig = conventions.metric_bars(table)
    assert [texts(ax) for ax in fig.axes] == [["40.0", "not reported"], ["not reported", "62.0"]]
    assert [panel_title(ax) for ax in fig.axes] == ["P@5", "mAP@5"]
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["UCDIR", "LVM"]
    assert [bar.get_width() for bar in fig.axes[1].patches] == [0, 62]


def test_rank_shifts_tell_which_way_length_works():
    norms = np.array([1.0, 2.0, 3.0])
    fig = conventions.rank_shifts(norms, {"dot": np.array([-5, 0, 5]), "unit": np.zeros(3)})
    assert [panel_title(ax).split("\n")[1] for ax in fig.axes] == ["rank correlation +1.00", "the order is the same"]
    assert fig.axes[0].collections[0].get_offsets().tolist() == [[1, -5], [2, 0], [3, 5]]


def test_training_runs_mark_where_each_rule_stops():
    run = pd.DataFrame({"test": [40, 47, 45], "validation": [50, 51, 53]}, index=[0, 5, 10])
    fig = conventions.training_runs({"same images": [run], "others": [run]}, label="mAP (%)")
    assert [panel_title(ax) for ax in fig.axes] == ["same images", "others"]
    marks = {
        line.get_label(): (line.get_xdata()[0], line.get_ydata()[0])
        for line in fig.axes[1].lines
        if len(line.get_xdata()) == 1
    }
    assert marks == {"last epoch": (10, 45), "validation": (10, 45), "best on test": (5, 47)}
    assert len(fig.legends[0].get_texts()) == 4


def test_groups_of_bars_stand_on_one_scale():
    fig = conventions.bars_in_groups(
        {"chance": {"seeds": 1.5, "classes": 19.0}, "papers": {"CLAIR": 1.0}}, label="points"
    )
    first, second = fig.axes
    assert [panel_title(ax) for ax in fig.axes] == ["chance", "papers"]
    assert [t.get_text() for t in first.get_yticklabels()] == ["seeds", "classes"]
    assert [texts(ax) for ax in fig.axes] == [["1.5", "19.0"], ["1.0"]]
    assert first.get_xlim() == second.get_xlim() and first.get_xlim()[1] > 19 and second.get_xlabel() == "points"
    assert first.patches[0].get_facecolor() != second.patches[0].get_facecolor()
