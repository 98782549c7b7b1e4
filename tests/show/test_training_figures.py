"""Curves over training and settings: every loss, every stop, every value in its place."""

import numpy as np
import pandas as pd
import pytest

from cdir_nb.conventions import BY_PSEUDO_LABELS
from cdir_nb.show import training


def panel_title(ax):
    return ax.get_title("left")


def history(scores):
    rows = [
        {"epoch": i + 1, "L_KL": 1.0 - i, BY_PSEUDO_LABELS: score, "labels changed": 0.1 * i}
        for i, score in enumerate(scores)
    ]
    return [{"epoch": 0, BY_PSEUDO_LABELS: 0.25}, *rows]


def test_curves_ring_the_chosen_epoch_and_show_losses_as_changes():
    fig = training.clair_curves(
        {"CLAIR": history([0.2, 0.5, 0.4]), "other": history([0.3, 0.1])}, {"CLAIR": 2, "other": 0}
    )
    losses, scores, changed = fig.axes
    assert list(losses.lines[0].get_ydata()) == [0, -1, -2]
    rings = [line for line in scores.lines if line.get_markerfacecolor() == "none"]
    assert [tuple(line.get_xydata()[0]) for line in rings] == [(2, 50), (0, 25)]
    curve = next(line for line in scores.lines if line.get_label() == "other")
    assert list(curve.get_ydata()) == pytest.approx([25, 30, 10]), "begins with the score before any training"
    assert list(changed.lines[1].get_ydata()) == pytest.approx([0, 0, 10])


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


def test_training_curves_show_every_loss_and_the_range_of_cosines():
    step = {"L_min": 1.0, "L_max": 2.0, "least cosine": 0.1, "mean cosine": 0.5, "greatest cosine": 0.9}
    fig = training.training_curves([step, step, {k: v for k, v in step.items() if "cosine" in k}], title="tiny-clip")
    losses, cosines = fig.axes
    assert [line.get_label() for line in losses.lines] == ["$L_{min}$", "$L_{max}$"]
    assert list(cosines.lines[0].get_ydata()) == [0.5] * 3
    heights = cosines.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0.1, 0.9)
    assert fig.get_suptitle() == "tiny-clip"


def test_sensitivity_has_a_panel_a_setting_in_ascending_order_and_rings_the_default():
    rows = [
        ("radius", 10.0, 3.0),
        ("radius", 0.1, 1.0),
        ("radius", 1.0, 2.0),
        ("residual", "True", 4.0),
        ("residual", "False", 5.0),
    ]
    table = pd.DataFrame(
        [
            {
                "setting": s,
                "value": v,
                "seed": seed,
                "percent": p + seed,
                "default": v in (1.0, "False"),
                "vanilla": 2.5,
            }
            for s, v, p in rows
            for seed in (0, 1)
        ]
    )
    first, second = training.sensitivity(table, value="mAP", columns=2).axes
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["0.1", "1", "10"]
    assert list(first.lines[0].get_ydata()) == [1.5, 2.5, 3.5]
    ringed = next(line for line in first.lines if line.get_markersize() == 10)
    assert (float(np.squeeze(ringed.get_xdata())), float(np.squeeze(ringed.get_ydata()))) == (1, 2.5)
    assert [tick.get_text() for tick in second.get_xticklabels()] == ["False", "True"]


def test_weighted_curves_draw_each_loss_over_the_course_of_its_weight():
    rows = [
        {"epoch": 1, "L_IW": 5.0, "L_total": 5.0, "weight L_IW": 1.0},
        {"epoch": 2, "L_IW": 4.0, "weight L_IW": 1.0, "L_CW": 3.0, "weight L_CW": 0.0},
        {"epoch": 3, "L_IW": 3.5, "weight L_IW": 1.0, "L_CW": 2.0, "weight L_CW": 0.5},
    ]
    first, second = training.weighted_curves(rows).axes
    assert panel_title(second) == "$L_{CW}$, weight up to 0.5" and list(first.lines[0].get_ydata()) == [5, 4, 3.5]
    heights = second.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.max() == 1 and second.lines[0].get_ydata()[-1] == 2
