"""Figures for TKI: the drawn values are the given ones."""

import numpy as np
import pandas as pd
import pytest
import torch

from cdir_nb.methods.tki.hyperbolic import exp_map_origin
from cdir_nb.show import tki


def test_the_disc_shows_points_where_the_exponential_map_puts_them():
    vectors = np.array([[0.5, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    fig = tki.poincare_disc(vectors, np.array([0.1, 0.1]), ["dog", "cat", "cat"], 2.0)
    disc, part, turns = fig.axes
    expected = exp_map_origin(torch.from_numpy(vectors), 2.0).numpy()
    for ax in (disc, part):
        np.testing.assert_allclose(np.concatenate([c.get_offsets() for c in ax.collections]), expected)
        assert len(ax.texts) == 3  # an arrow each
    low, high = part.get_xlim()
    assert low < expected[0, 0] < high < 2  # only the first label's point is in the enlarged part
    v = torch.from_numpy(vectors[0])
    in_plane = np.degrees(np.arccos(float(torch.cosine_similarity(v, v + 0.1, dim=0))))
    assert turns.collections[0].get_offsets()[0][0] == pytest.approx(in_plane, abs=1e-4)
    assert "radius 2" in disc.get_title("left")


def test_gallery_curves_write_the_difference_at_each_size():
    table = pd.DataFrame({"TKI": [80.0, 30.0], "vanilla CLIP": [70.0, 31.5]}, index=[2, 40])
    fig = tki.gallery_curves({"all names": table, "ten names": table.loc[[40]]}, at=40, value="P@10 (%)")
    left, right = fig.axes
    assert [text.get_text() for text in left.texts] == ["+10.0", "-1.5"]
    assert [text.get_text() for text in right.texts] == ["-1.5"]
    assert list(left.lines[-1].get_xdata()) == [40]  # the ring
