"""Figures for learning from text: what they write, and that they neither mirror nor drop anything."""

import numpy as np
import pandas as pd
import torch
from matplotlib.colors import to_rgb

from cdir_nb.methods.tki.hyperbolic import exp_map_origin
from cdir_nb.show import curves, text_domains


def test_training_curves_show_every_loss_and_the_range_of_cosines():
    step = {"L_min": 1.0, "L_max": 2.0, "least cosine": 0.1, "mean cosine": 0.5, "greatest cosine": 0.9}
    fig = text_domains.training_curves(
        [step, step, {k: v for k, v in step.items() if "cosine" in k}], title="tiny-clip"
    )
    losses, cosines = fig.axes
    assert [line.get_label() for line in losses.lines] == ["$L_{min}$", "$L_{max}$"]
    assert list(cosines.lines[0].get_ydata()) == [0.5] * 3
    heights = cosines.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0.1, 0.9)
    assert fig.get_suptitle() == "tiny-clip"


def test_gain_map_signs_its_numbers_and_colours_around_zero():
    table = curves.direction_table({("real", "sketch"): 4.0, ("sketch", "real"): -1.0}, ["real", "sketch"])
    ax = text_domains.gain_map({"mAP": table}).axes[0]
    assert sorted(text.get_text() for text in ax.texts) == ["+4.0", "-1.0"]
    better, worse = (ax.collections[0].to_rgba(value)[:3] for value in (4.0, -4.0))
    assert better[2] > better[0] and worse[0] > worse[2]  # blue and red
    assert np.allclose(ax.collections[0].to_rgba(0.0)[:3], to_rgb("#F7F7F7"), atol=0.02)


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
    first, second = text_domains.sensitivity(table, value="mAP", columns=2).axes
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["0.1", "1", "10"]
    assert list(first.lines[0].get_ydata()) == [1.5, 2.5, 3.5]
    ringed = next(line for line in first.lines if line.get_markersize() == 10)
    assert (float(np.squeeze(ringed.get_xdata())), float(np.squeeze(ringed.get_ydata()))) == (1, 2.5)
    assert [tick.get_text() for tick in second.get_xticklabels()] == ["False", "True"]


def test_flatten_keeps_lengths_and_what_is_flat_already():
    rng = np.random.default_rng(0)
    vectors, bias = rng.normal(size=(20, 6)), rng.normal(size=6)
    flat, one = text_domains.flatten(vectors, bias)
    assert flat.shape == (20, 2) and one.shape == (2,)
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), np.linalg.norm(vectors, axis=1))
    plane = np.pad(rng.normal(size=(9, 2)), ((0, 0), (0, 3)))
    kept, _ = text_domains.flatten(plane, np.ones(5))
    np.testing.assert_allclose(kept @ kept.T, plane @ plane.T, atol=1e-12)  # turned, perhaps, but the same shape


def test_the_disc_shows_points_where_the_exponential_map_puts_them():
    vectors = np.array([[0.5, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    fig = text_domains.poincare_disc(vectors, np.array([0.1, 0.1]), ["cat", "dog", "cat"], 2.0)
    flat, disc = fig.axes
    drawn = np.concatenate([c.get_offsets() for c in disc.collections])
    expected = exp_map_origin(torch.from_numpy(vectors[[0, 2, 1]]), 2.0).numpy()  # by class
    np.testing.assert_allclose(drawn, expected)
    assert len(flat.texts) == len(disc.texts) == 3  # an arrow each
    assert "radius 2" in disc.get_title("left")
