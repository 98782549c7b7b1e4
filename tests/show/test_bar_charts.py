"""Bars, histograms and strips show the given numbers."""

import numpy as np
import pandas as pd

from cdir_nb.show import bar_charts


def panel_title(ax):
    return ax.get_title("left")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_bars_mark_missing_numbers():
    table = pd.DataFrame({"P@5": [40.0, np.nan], "mAP@5": [np.nan, 62.0]}, index=["UCDIR", "LVM"])
    fig = bar_charts.metric_bars(table)
    assert [texts(ax) for ax in fig.axes] == [["40.0", "not reported"], ["not reported", "62.0"]]
    assert [panel_title(ax) for ax in fig.axes] == ["P@5", "mAP@5"]
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["UCDIR", "LVM"]
    assert [bar.get_width() for bar in fig.axes[1].patches] == [0, 62]
    assert fig.axes[0].lines[0].get_xdata() == [40, 40]  # the first row is the reference


def test_groups_of_bars_stand_on_one_scale():
    fig = bar_charts.bars_in_groups(
        {"chance": {"seeds": 1.5, "classes": 19.0}, "papers": {"CLAIR": 1.0}}, label="points"
    )
    first, second = fig.axes
    assert [panel_title(ax) for ax in fig.axes] == ["chance", "papers"]
    assert [t.get_text() for t in first.get_yticklabels()] == ["seeds", "classes"]
    assert [texts(ax) for ax in fig.axes] == [["1.5", "19.0"], ["1.0"]]
    assert first.get_xlim() == second.get_xlim() and first.get_xlim()[1] > 19 and second.get_xlabel() == "points"
    assert first.patches[0].get_facecolor() != second.patches[0].get_facecolor()
    assert [ax.lines[0].get_xdata()[0] for ax in fig.axes] == [1.5, 1.0]  # the first of each group is the reference


def test_histograms_mark_their_means():
    fig = bar_charts.histograms(
        {"same class": np.full(10, 0.5), "other class": np.linspace(0, 0.2, 11)}, label="cosine"
    )
    ax = fig.axes[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "same class\n(mean 0.50)",
        "other class\n(mean 0.10)",
    ]
    assert ax.get_xlabel() == "cosine"


def test_bars_keep_their_order_from_the_top():
    ax = bar_charts.bars({"tiger_for_lion": 20.0, "b": 10.0}, label="of 100").axes[0]
    assert [p.get_width() for p in ax.patches] == [20, 10]
    assert ax.yaxis_inverted() and ax.get_yticklabels()[0].get_text() == "tiger for lion"


def test_strips_show_every_value_and_the_mean():
    ax = bar_charts.strips(
        {"named rightly": np.array([80.0, 60.0, 70.0]), "misread": np.array([10.0])}, label="AP (%)"
    ).axes[0]
    assert [sorted(c.get_offsets()[:, 0]) for c in ax.collections] == [[60, 70, 80], [10]]
    assert [line.get_xdata()[0] for line in ax.lines] == [70, 10]
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "named rightly\nmean 70.0, n = 3",
        "misread\nmean 10.0, n = 1",
    ]
    assert ax.get_xlabel() == "AP (%)" and ax.yaxis_inverted()


def test_counts_have_whole_numbers_on_their_axis():
    fig = bar_charts.bars({"a": 3, "b": 2}, label="images", digits=0)
    fig.canvas.draw()
    assert all(tick == round(tick) for tick in fig.axes[0].get_xticks())
