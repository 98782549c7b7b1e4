"""Curves over training and settings: every loss, every stop, every value."""

import numpy as np
import pandas as pd
import pytest

from cdir_nb.conventions import BY_SEEN_LABELS
from cdir_nb.show import training


def panel_title(ax):
    return ax.get_title("left")


def test_training_runs_mark_where_each_rule_stops():
    run = pd.DataFrame({"test": [40, 47, 45], "validation": [50, 51, 53]}, index=[0, 5, 10])
    fig = training.training_runs({"same images": [run], "others": [run]}, label="mAP (%)")
    assert [panel_title(ax) for ax in fig.axes] == ["same images", "others"]
    marks = {
        line.get_label(): (line.get_xdata()[0], line.get_ydata()[0])
        for line in fig.axes[1].lines
        if len(line.get_xdata()) == 1
    }
    assert marks == {"last epoch": (10, 45), "validation by validation classes": (10, 45), "best on test": (5, 47)}
    assert len(fig.legends[0].get_texts()) == 4


def test_value_curves_go_over_each_table_s_index_and_share_a_legend():
    steps = pd.Index([0, 2, 5], name="step")
    first = pd.DataFrame({"real": [1, 2, 3]}, steps)
    second = pd.DataFrame({"sketch": [0, 0], "real": [1, 4]}, pd.Index([1, 2], name="epoch"))
    fig = training.value_curves({"with psi": first, "without": second}, value="accuracy (%)")
    left, right = fig.axes
    assert left.lines[0].get_xydata().tolist() == [[0, 1], [2, 2], [5, 3]]
    lines = {line.get_label(): line for line in right.lines}
    assert lines["real"].get_xydata().tolist() == [[1, 1], [2, 4]]
    assert left.lines[0].get_color() == lines["real"].get_color() != lines["sketch"].get_color()
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["real", "sketch"]
    assert panel_title(left) == "with psi" and left.get_ylabel() == "accuracy (%)"
    assert (left.get_xlabel(), right.get_xlabel()) == ("step", "epoch")


def test_sensitivity_has_a_panel_per_setting_in_ascending_order_and_circles_the_default():
    rows = [
        {"setting": name, "value": value, "seed": seed, "percent": percent + seed, "default": default, "vanilla": 2.5}
        for name, value, percent, default in (
            ("radius", 10.0, 3.0, False), ("radius", 0.1, 1.0, False), ("radius", 1.0, 2.0, True),
            ("residual", "True", 4.0, False), ("residual", "False", 5.0, True),
        )
        for seed in (0, 1)
    ]  # fmt: skip
    radius, residual = training.sensitivity(pd.DataFrame(rows), value="mAP", columns=2).axes
    assert [tick.get_text() for tick in radius.get_xticklabels()] == ["0.1", "1", "10"]
    assert list(radius.lines[0].get_ydata()) == [-1, 0, 1]  # above vanilla CLIP
    (circle,) = [line for line in radius.lines if line.get_markerfacecolor() == "none"]
    assert circle.get_xydata().tolist() == [[1, 0]]
    assert [tick.get_text() for tick in residual.get_xticklabels()] == ["False", "True"]


HISTORY = [
    {
        "domains": domains,
        "epoch": epoch,
        "L_class_text": 2.0 - epoch + shift,
        "L_total": 4.0 - epoch,
        BY_SEEN_LABELS: 0.1 * epoch + 0.1 * shift,
        "moved, norms": 0.01 * epoch,
        "seconds": 9.0,
    }
    for shift, domains in enumerate(("ink-line", "ink-paint"))
    for epoch in (1, 2, 3)
]


def curves(ax) -> dict[str, list]:
    return {line.get_label(): line.get_ydata().tolist() for line in ax.lines if not line.get_label().startswith("_")}


def test_each_panel_has_the_mean_over_pairs_and_each_pair_as_a_thin_line():
    losses, scores, moved = training.training_history(HISTORY).axes
    by_name = curves(losses)
    assert set(by_name) == {r"$L_{class\ text}$", "total, weighted"}
    assert by_name[r"$L_{class\ text}$"] == pytest.approx([1.5, 0.5, -0.5])
    assert curves(scores)[BY_SEEN_LABELS] == pytest.approx([15, 25, 35])
    assert curves(moved)["norms"] == pytest.approx([1, 2, 3])
    thin = [line for line in losses.lines if line.get_linewidth() < 1]
    assert len(thin) == 4 and np.allclose(thin[0].get_ydata(), [1, 0, -1])


def test_a_training_without_validation_says_so_in_its_panel():
    rows = [{"domains": "", "epoch": 1, "L_agg": 1.0, "moved, parameters": 0.5}]
    _, scores, _ = training.training_history(rows).axes
    assert not scores.lines and scores.texts


def test_weights_that_change_have_a_panel():
    rows = [{"domains": "", "epoch": e, "L_IW": 5.0 - e, "weight L_IW": 0.5 * e} for e in (1, 2)]
    weights = training.training_history(rows).axes[3]
    assert list(curves(weights).values()) == [pytest.approx([0.5, 1])]


def test_a_band_goes_from_the_lowest_to_the_highest_seed():
    fig = training.seed_curves({"L_ID": np.array([[1.0, 2.0], [3.0, 6.0]])}, {"CLIP": 2.5}, value="P@10 (%)")
    ax = fig.axes[0]
    assert ax.lines[0].get_ydata().tolist() == [2, 4] and ax.lines[1].get_ydata()[0] == 2.5
    band = ax.collections[0].get_paths()[0].vertices
    assert {(1.0, 2.0), (1.0, 6.0)} <= {tuple(point) for point in band}


def test_the_stop_comes_three_epochs_after_the_best():
    table = pd.DataFrame({"guess": [1.0, 5.0, 4.0, 3.0, 2.0], "truth": [1.0, 2.0, 3.0, 2.0, 1.0]})
    (ax,) = training.stopping_figure({"run": table}, 3, value="P@5 (%)").axes
    best, stop = (next(x for x in ax.lines if x.get_label().startswith(word)) for word in ("best", "stop"))
    assert best.get_xdata()[0] == 1 and stop.get_xdata()[0] == 4
    (ax,) = training.stopping_figure({"run": table[:3]}, 3, value="P@5 (%)").axes
    assert not any(x.get_label().startswith("stop") for x in ax.lines)  # the training ended before


def test_a_bar_of_the_tornado_spans_the_means_of_a_settings_values():
    rows = [("world", "alpha", "1", 0, 40, True), ("world", "alpha", "1", 1, 42, True)]
    rows += [("world", "alpha", "9", 0, 36, False), ("world", "alpha", "9", 1, 38, False)]
    rows += [("world", "wide", "no", 0, 41, True), ("world", "wide", "yes", 0, 42, False)]
    table = pd.DataFrame(rows, columns=["task", "setting", "value", "seed", "percent", "default"])
    (ax,) = training.tornado(table, value="mAP").axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["alpha", "wide"]  # the longest first
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(-4, 4), (0, 1)]
    assert [text.get_text().strip() for text in ax.texts] == ["9", "yes"]  # not the defaults
