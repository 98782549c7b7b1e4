"""Heat maps show every number, on one colour scale."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb

from cdir_nb.analysis import direction_table
from cdir_nb.show import heatmaps


def test_heat_maps_show_every_number_on_one_scale():
    table = direction_table({("real", "sketch"): 41.4, ("sketch", "real"): 9.6}, ["real", "sketch"])
    left, right, bar = heatmaps.heat_maps({"P@50": table, "mAP": table / 2}).axes
    assert sorted(int(t.get_text()) for t in left.texts) == [10, 41]
    assert [t.get_text() for t in left.get_yticklabels()] == ["real", "sketch"]
    scales = [left.collections[0].get_clim(), right.collections[0].get_clim(), bar.get_ylim()]
    np.testing.assert_allclose(scales, [(0, 41.4)] * 3)


def test_digits_have_at_least_the_contrast_of_mid_grey():
    table = pd.DataFrame(np.linspace(0, 100, 21).reshape(3, 7))
    for ax in (heatmaps.heat_maps({"P@10": table}).axes[0], heatmaps.gain_map({"P@10": table - 50}).axes[0]):
        cells = [to_rgb(colour) for colour in ax.collections[0].get_facecolors()]
        for text, cell in zip(ax.texts, cells, strict=True):
            lighter, darker = sorted((luminance(to_rgb(text.get_color())), luminance(cell)), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) > 4.5  # WCAG 2, level AA


def luminance(colour):
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in colour]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def test_gain_map_signs_its_numbers_and_colours_around_zero():
    table = direction_table({("real", "sketch"): 4.0, ("sketch", "real"): -1.0}, ["real", "sketch"])
    ax = heatmaps.gain_map({"mAP": table}).axes[0]
    assert sorted(text.get_text() for text in ax.texts) == ["+4.0", "-1.0"]
    better, worse = (ax.collections[0].to_rgba(value)[:3] for value in (4.0, -4.0))
    assert better[2] > better[0] and worse[0] > worse[2]  # blue and red
    assert np.allclose(ax.collections[0].to_rgba(0.0)[:3], to_rgb("#F7F7F7"), atol=0.02)
