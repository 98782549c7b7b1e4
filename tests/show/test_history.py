"""The figure of a training's history: what is drawn from which column."""

import numpy as np
import pytest

from cdir_nb.conventions import BY_SEEN_LABELS
from cdir_nb.show import training_history

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
    losses, scores, moved = training_history(HISTORY).axes
    by_name = curves(losses)
    assert set(by_name) == {r"$L_{class\ text}$", "total, weighted"}
    assert by_name[r"$L_{class\ text}$"] == pytest.approx([1.5, 0.5, -0.5])
    assert curves(scores)[BY_SEEN_LABELS] == pytest.approx([15, 25, 35])
    assert curves(moved)["norms"] == pytest.approx([1, 2, 3])
    thin = [line for line in losses.lines if line.get_linewidth() < 1]
    assert len(thin) == 4 and np.allclose(thin[0].get_ydata(), [1, 0, -1])


def test_a_training_without_validation_says_so_in_its_panel():
    rows = [{"domains": "", "epoch": 1, "L_agg": 1.0, "moved, parameters": 0.5}]
    _, scores, _ = training_history(rows).axes
    assert not scores.lines and scores.texts
