import numpy as np
import pandas as pd

from cdir_nb.show import curves


def panel_title(ax):
    return ax.get_title("left")


def test_direction_table_keeps_query_and_gallery_apart():
    table = curves.direction_table({("real", "sketch"): 40.0, ("sketch", "real"): 10.0}, ["real", "sketch"])
    assert table.loc["real", "sketch"] == 40 and table.loc["sketch", "real"] == 10
    assert np.isnan(table.loc["real", "real"])
    assert (table.index.name, table.columns.name) == ("query", "gallery")


def test_heat_maps_write_every_number_and_name_both_sides():
    table = curves.direction_table({("real", "sketch"): 41.4, ("sketch", "real"): 9.6}, ["real", "sketch"])
    fig = curves.heat_maps({"P@50, hits_over_k (%)": table, "mAP, over_relevant (%)": table / 2}, title="tiny-clip")
    first, second = fig.axes
    assert panel_title(first) == "P@50, hits_over_k (%)" and panel_title(second) == "mAP, over_relevant (%)"
    assert sorted(t.get_text() for t in first.texts) == ["10", "41"]
    assert first.get_xlabel() == "gallery domain" and first.get_ylabel() == "query domain"
    assert [t.get_text() for t in first.get_yticklabels()] == ["real", "sketch"]


def test_heat_map_scales():
    low, high = pd.DataFrame([[1.0, 2.0]]), pd.DataFrame([[1.0, 50.0]])
    own = curves.heat_maps({"a": low, "b": high})
    shared = curves.heat_maps({"a": low, "b": high}, shared=True)
    assert [ax.collections[0].get_clim() for ax in own.axes] == [(0, 2), (0, 50)]
    assert [ax.collections[0].get_clim() for ax in shared.axes] == [(0, 50), (0, 50)]


def test_accuracy_bars_have_a_chance_line_each():
    accuracy = pd.DataFrame({"unseen": [90.0, 30.0], "all": [60.0, 12.0]}, index=["real", "quickdraw"])
    ax = curves.accuracy_bars(accuracy, {"unseen": 10, "all": 2.5}, title="zero-shot").axes[0]
    assert [p.get_height() for p in ax.patches] == [90, 30, 60, 12]
    assert [line.get_ydata()[0] for line in ax.lines] == [10, 2.5]
    names = [t.get_text().strip() for t in ax.get_legend().get_texts()]
    assert names == ["unseen", "chance: 10.0", "all", "chance: 2.5"]
    assert ax.get_ylabel() == "accuracy (%)"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["real", "quickdraw"]


def test_precision_recall_has_one_panel_a_query_domain_and_one_legend():
    line = (np.array([0, 1.0]), np.array([1.0, 0.2]))
    fig = curves.precision_recall(
        {"real": {"sketch": line}, "sketch": {"real": line}}, chance=0.1, order=["real", "sketch"]
    )
    assert [panel_title(ax) for ax in fig.axes] == ["real", "sketch"]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["real", "sketch", "chance"]
    drawn = fig.axes[0].lines[0]
    assert drawn.get_xdata().tolist() == [0, 1] and drawn.get_ydata().tolist() == [1, 0.2]
    assert drawn.get_color() == fig.axes[0].lines[0].get_color() != fig.axes[1].lines[0].get_color()
    assert fig.axes[0].get_xlabel() == "recall" and fig.axes[0].get_ylabel() == "precision"


def test_unused_panels_are_hidden_and_every_column_has_its_axis():
    line = (np.array([0, 1.0]), np.array([1.0, 0.2]))
    fig = curves.precision_recall({name: {"x": line} for name in "abcde"})
    assert [ax.axison for ax in fig.axes] == [True] * 5 + [False]
    assert [ax.get_xlabel() for ax in fig.axes[:5]] == ["", "", "recall", "recall", "recall"]
    assert len(curves.precision_recall({name: {"x": line} for name in "abcd"}).axes) == 4


def test_histograms_mark_their_means():
    fig = curves.histograms({"same class": np.full(10, 0.5), "other class": np.linspace(0, 0.2, 11)}, label="cosine")
    ax = fig.axes[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "same class\n(mean 0.50)",
        "other class\n(mean 0.10)",
    ]
    assert ax.get_xlabel() == "cosine"


def test_bars_keep_their_order_from_the_top():
    ax = curves.bars({"tiger_for_lion": 20.0, "b": 10.0}, label="of 100").axes[0]
    assert [p.get_width() for p in ax.patches] == [20, 10]
    assert ax.yaxis_inverted() and ax.get_yticklabels()[0].get_text() == "tiger for lion"


def test_strips_show_every_value_and_the_mean():
    ax = curves.strips(
        {"named rightly": np.array([80.0, 60.0, 70.0]), "misread": np.array([10.0])}, label="AP (%)"
    ).axes[0]
    assert [sorted(c.get_offsets()[:, 0]) for c in ax.collections] == [[60, 70, 80], [10]]
    assert [line.get_xdata()[0] for line in ax.lines] == [70, 10]
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "named rightly\nmean 70.0, n = 3",
        "misread\nmean 10.0, n = 1",
    ]
    assert ax.get_xlabel() == "AP (%)" and ax.yaxis_inverted()
