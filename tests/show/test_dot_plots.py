"""Dot plots: where the dots are."""

import pandas as pd

from cdir_nb.show import dot_plots


def test_seed_dots_mark_the_mean_and_each_seed():
    table = pd.DataFrame({"name": ["Q", "Q", "L_ID"], "source": ["real images", "real images", "published"]})
    table["value"] = [1.0, 3.0, -1.0]
    (ax,) = dot_plots.seed_dots({"": table}, values={"": "points"}).axes
    means = {line.get_label(): line.get_xdata().tolist() for line in ax.lines if not line.get_label().startswith("_")}
    assert means == {"real images": [2.0], "published": [-1.0]}
    assert [1.0, 3.0] in [list(line.get_xdata()) for line in ax.lines]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["Q", "L_ID"]


def test_panels_with_the_same_rows_are_labelled_once():
    table = pd.DataFrame({"name": ["Q"], "source": ["drawn world"], "value": [1.0]})
    same = dot_plots.seed_dots({"a": table, "b": table}, values={"a": "points", "b": "points"}).axes
    assert [[tick.get_text() for tick in ax.get_yticklabels()] for ax in same] == [["Q"], [""]]
    other = dot_plots.seed_dots({"a": table, "b": table.replace("Q", "R")}, values={"a": "x", "b": "x"}).axes
    assert [[tick.get_text() for tick in ax.get_yticklabels()] for ax in other] == [["Q"], ["R"]]
