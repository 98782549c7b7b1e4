"""Dot plots: where the dots are."""

import numpy as np
import pandas as pd

from cdir_nb.show import dot_plots


def test_claim_points_show_each_source_with_its_spread_and_its_directions():
    columns = ["claim", "source", "differences", "low", "high", "above", "directions"]
    rows = [
        ("A helps", "paper", (4.0,), np.nan, np.nan, (12,), 12),
        ("A helps", "drawn", (1.0, 3.0), 0.5, 3.5, (3, 2), 4),
        ("B helps", "drawn", (-2.0,), np.nan, np.nan, (), 0),
    ]
    ax = dot_plots.claim_points(pd.DataFrame(rows, columns=columns)).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A helps", "B helps"]
    points = [line for line in ax.lines if line.get_marker() not in ("None", None, "") and len(line.get_xdata())]
    assert [(line.get_xdata()[0], round(line.get_ydata()[0])) for line in points] == [(4, 0), (2, 0), (-2, 1)]
    assert points[0].get_markerfacecolor() == "white" != points[1].get_markerfacecolor()
    spans = [sorted(line.get_xdata()) for line in ax.lines if line.get_marker() == "None"]
    assert [1, 3] in spans and [0.5, 3.5] in spans
    assert [text.get_text() for text in ax.texts] == ["12/12", "2/4"]


def test_seed_dots_mark_the_mean_and_each_seed():
    table = pd.DataFrame({"name": ["Q", "Q", "L_ID"], "source": ["real images", "real images", "published"]})
    table["value"] = [1.0, 3.0, -1.0]
    (ax,) = dot_plots.seed_dots({"": table}, values={"": "points"}).axes
    means = {line.get_label(): line.get_xdata().tolist() for line in ax.lines if not line.get_label().startswith("_")}
    assert means == {"real images": [2.0], "published": [-1.0]}
    assert [1.0, 3.0] in [list(line.get_xdata()) for line in ax.lines]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["Q", "L_ID"]


def test_intervals_lie_where_they_are_given_with_their_marks():
    (ax,) = dot_plots.intervals({"seeds": (-1.0, 2.0), "classes": (-9.0, 8.0)}, {"CLAIR": 3.5}, label="points").axes
    ends = [[tuple(part) for part in bar.get_segments()[0][:, 0:1].ravel().reshape(-1, 2)] for bar in ax.collections]
    assert ends == [[(-1.0, 2.0)], [(-9.0, 8.0)]]
    assert [text.get_text() for text in ax.texts] == ["-1.0 to +2.0", "-9.0 to +8.0"]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_label() == "3.5  CLAIR"] == [3.5]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["seeds", "classes"]


def test_panels_with_the_same_rows_are_labelled_once():
    table = pd.DataFrame({"name": ["Q"], "source": ["drawn world"], "value": [1.0]})
    same = dot_plots.seed_dots({"a": table, "b": table}, values={"a": "points", "b": "points"}).axes
    assert [[tick.get_text() for tick in ax.get_yticklabels()] for ax in same] == [["Q"], [""]]
    other = dot_plots.seed_dots({"a": table, "b": table.replace("Q", "R")}, values={"a": "x", "b": "x"}).axes
    assert [[tick.get_text() for tick in ax.get_yticklabels()] for ax in other] == [["Q"], ["R"]]
