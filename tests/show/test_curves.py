"""Curves show the numbers they were given, one line per name."""

import numpy as np
import pandas as pd
import pytest

from cdir_nb.retrieval import Ranking, evaluate
from cdir_nb.show import curves


def panel_title(ax):
    return ax.get_title("left")


@pytest.fixture
def table():
    ranking = Ranking(np.array([[0, 1, 2, 3]], np.int32), np.array([[4, 3, 2, 1]], np.float32), 4)
    results = evaluate(ranking, ["a"], list("abab"), ks=(1, 2, 4), ap_ks=(1, 2, 4))  # right: ranks 1 and 3
    return pd.DataFrame(r.row() for r in results)


def test_curves_have_a_line_a_convention_and_read_off_at_k(table):
    fig = curves.convention_curves({"as it is": table}, 4, title="t")
    left, right = fig.axes
    assert panel_title(left) == "P@k, as it is" and panel_title(right) == "mAP@k, as it is"
    legend = [t.get_text() for t in left.get_legend().get_texts()]
    assert legend == ["50.0  hits_over_k", "50.0  hits_over_min_k_relevant", "50.0  ucdir_micro"]
    assert right.get_legend().get_texts()[0].get_text() == "83.3  over_found"  # (1 + 2/3) / 2
    assert len(right.get_legend().get_texts()) == 4
    lines = {tuple(line.get_ydata()) for line in left.lines if len(line.get_xdata()) == 3}
    assert lines == {(100, 50, 50)}


def test_between_measured_cut_offs_the_nearest_counts(table):
    legend = curves.convention_curves({"g": table}, 3).axes[0].get_legend()
    assert legend.get_title().get_text() == "at k = 2"


ROWS = [
    ("weak", "TKI", 0, 20, 6, 10), ("weak", "TKI", 1, 20, 8, 10),
    ("strong", "TKI", 0, 80, 60, 50), ("strong", "CLIP + Q", 0, 80, 53, 50),
]  # fmt: skip


def test_gains_are_means_over_seeds_above_vanilla_clip_of_the_same_encoder():
    table = pd.DataFrame(ROWS, columns=["encoder", "method", "seed", "zero-shot accuracy", "P@10", "vanilla"]).assign(
        task="one"
    )
    fig = curves.gains_over_accuracy(table)
    drawn = sorted(list(zip(*line.get_data())) for line in fig.axes[0].lines[:-1])  # the last one is zero
    assert drawn == [[pytest.approx((20, -3)), pytest.approx((80, 10))], [pytest.approx((80, 3))]]
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert sorted(names) == ["CLIP + Q", "TKI", "one (weak, strong)"]


@pytest.mark.parametrize(
    ("encoders", "title"),
    [
        (["real-clip", "real-clip:without-pacs"], "real-clip and real-clip without pacs"),
        (["tiny-clip", "tiny-clip:10-samples", "tiny-clip:20-samples"], "tiny-clip, 3 stages"),
    ],
)
def test_the_legend_names_the_encoders(encoders, title):
    rows = [(name, "TKI", 0, 20, 6, 10, "one") for name in encoders]
    columns = ["encoder", "method", "seed", "zero-shot accuracy", "P@10", "vanilla", "task"]
    fig = curves.gains_over_accuracy(pd.DataFrame(rows, columns=columns))
    assert fig.legends[0].get_texts()[-1].get_text() == f"one ({title})"
