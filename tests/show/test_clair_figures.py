"""Figures of how methods work: what they draw is what they were given, in the place it belongs to."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.special import softmax

from cdir_nb.encoders import load_encoder
from cdir_nb.show import clair


def test_weights_are_sorted_and_told_by_class():
    cosines, same = np.array([0.1, 0.9, 0.5]), np.array([False, True, False])
    fig = clair.weight_figure({"own": (cosines, same)}, 0.2)
    bars = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in fig.axes[0].patches}
    assert bars == pytest.approx(
        {0: 100 * softmax(cosines / 0.2)[1], 1: 100 * softmax(cosines / 0.2)[2], 2: 100 * softmax(cosines / 0.2)[0]}
    )
    texts = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert texts == ["same class: 87 % of the sum, 1 memories", "other class: 13 % of the sum, 2 memories"]


def test_attention_of_an_even_look_is_one_everywhere():
    length = 1 + 9 + 2
    attention = np.full((2, 2, length), 1 / length)
    attention[1, 0, 1 + 5] *= 3  # second picture, first prompt, sixth patch: row 1, column 2
    fig = clair.attention_figure(np.zeros((2, 12, 12, 3)), ["a", "b"], attention)
    maps = [ax.images[1].get_array() for ax in fig.axes[:6] if len(ax.images) == 2]
    assert [ax.get_title("left") for ax in fig.axes[:6]] == ["", "prompt 1", "prompt 2", "", "", ""]
    assert len(maps) == 4 and np.allclose(maps[0], 1) and np.allclose(maps[3], 1)
    assert maps[2][1, 2] == pytest.approx(3) and fig.axes[1].images[1].get_clim() == (0, pytest.approx(3))


def test_tokens_are_the_patches_of_the_middle_row_and_as_many_prompts():
    image = np.arange(16)[:, None, None] * np.ones((16, 16, 3)) / 16
    ax = clair.token_figure(image, [image], 4, 3).axes[-1]
    patches = [np.asarray(drawn.get_array()) for drawn in ax.images]
    assert len(patches) == 4 and all((patch[:, 0, 0] == image[8:12, 0, 0]).all() for patch in patches)
    assert sum(patch.get_facecolor()[:3] == to_rgb(clair.PROMPT) for patch in ax.patches) == 3


@pytest.mark.medium
def test_pictures_undo_the_normalisation():
    encoder = load_encoder("tiny-clip")
    batch = encoder.preprocess(Image.new("RGB", (80, 80), (51, 102, 255)))[None]
    expected = np.broadcast_to([0.2, 0.4, 1.0], (1, *batch.shape[2:], 3))
    assert clair.denormalised(encoder, batch) == pytest.approx(expected, abs=1e-5)


def test_rotation_figure_shows_turned_axes_angles_and_what_is_known():
    q = np.diag([1.0, -1.0, 1.0])
    fig = clair.rotation_figure(q, np.array([90.0, 20.0]), np.array([8.0, 2.0, 0.0]), 2, title="real to sketch")
    turned, angles, values = fig.axes[:3]
    assert [bar.get_height() for bar in turned.patches] == [2, *[0] * 16, 1]  # by 0 and by 180 degrees
    assert [bar.get_height() for bar in angles.patches] == [90, 20]
    assert list(values.lines[0].get_ydata()[:2]) == [8, 2] and values.lines[0].get_ydata()[2] > 0  # logarithmic
    assert values.lines[1].get_xdata()[0] == 2.5 and "2 of 3 determined" in values.get_title("left")


def domain(name: str, *points: tuple[float, float]) -> clair.FlatDomain:
    return clair.FlatDomain(name, np.array(points, float), np.array(["cat", "cat", "sea_turtle"]))


def test_way_figure_links_the_class_means_of_the_two_domains():
    before, now = domain("sketch", (0, 0), (0, 2), (4, 4)), domain("sketch", (1, 0), (1, 2), (5, 4))
    fixed = domain("real", (2, 0), (2, 2), (6, 4))
    fig = clair.geodesic_figure(before, now, fixed, {"mean": [1.0, 3.0, 2.0]}, [0, 0.5, 1], 0.5, value="P@10 (%)")
    links = [
        [line.get_xydata().tolist() for line in ax.lines if line.get_label() in ("cat", "sea turtle")]
        for ax in fig.axes[:2]
    ]
    assert links[0] == [[[0, 1], [2, 1]], [[4, 4], [6, 4]]]
    assert links[1] == [[[1, 1], [2, 1]], [[5, 4], [6, 4]]]
    assert [ax.get_title("left") for ax in fig.axes[:2]] == ["identity", "50 % of the way to Q"]
    assert fig.axes[0].get_xlim() == fig.axes[1].get_xlim()  # else a turn could not be seen
    drawn = sum(len(c.get_offsets()) for c in fig.axes[1].collections)
    assert drawn == 6


def test_way_figure_marks_where_it_stands_on_its_curves():
    one = domain("sketch", (0, 0), (0, 2), (4, 4))
    fig = clair.geodesic_figure(one, one, one, {"mean": [1.0, 3.0], "all": [0.0, 1.0]}, [0, 1], 0.3, value="P@10 (%)")
    ax = fig.axes[2]
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[1, 3], [0, 1]]
    assert ax.lines[2].get_xdata()[0] == pytest.approx(0.3) and ax.get_ylabel() == "P@10 (%)"
    assert [text.get_text() for text in fig.legends[0].get_texts()][-2:] == ["mean", "all"]
