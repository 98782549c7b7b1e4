"""Figures of CLAIR's training: what they draw is what they were given, in the place it belongs to."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.special import softmax
from scipy.stats import entropy

from cdir_nb.encoders import load_encoder
from cdir_nb.show import clair


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_shares_are_a_softmax_and_evenly_counts_alternatives():
    cosines = np.random.default_rng(0).uniform(-1, 1, 50)
    assert clair.shares(cosines, 0.07) == pytest.approx(softmax(cosines / 0.07))
    assert clair.evenly(softmax(cosines / 0.07)) == pytest.approx(np.exp(entropy(softmax(cosines / 0.07))))
    assert clair.evenly(np.array([0.25] * 4 + [0.0])) == pytest.approx(4)


def test_weights_are_sorted_and_told_by_class():
    cosines, same = np.array([0.1, 0.9, 0.5]), np.array([False, True, False])
    fig = clair.weight_figure({"own": (cosines, same)}, 0.2)
    bars = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in fig.axes[0].patches}
    assert bars == pytest.approx(
        {0: 100 * softmax(cosines / 0.2)[1], 1: 100 * softmax(cosines / 0.2)[2], 2: 100 * softmax(cosines / 0.2)[0]}
    )
    texts = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert texts == ["same class: 87 % of the sum, 1 memories", "other class: 13 % of the sum, 2 memories"]


def history(scores):
    return [
        {"epoch": i + 1, "L_KL": 1.0 - i, "validation P@5": score, "labels changed": 0.1 * i, "seconds": 1.0}
        for i, score in enumerate(scores)
    ]


def test_curves_ring_the_chosen_epoch_and_show_losses_as_changes():
    fig = clair.clair_curves(
        {"CLAIR": history([0.2, 0.5, 0.4]), "other": history([0.3, 0.1])}, {"CLAIR": 2, "other": 0}
    )
    losses, scores, changed = fig.axes
    assert list(losses.lines[0].get_ydata()) == [0, -1, -2]
    rings = [line for line in scores.lines if line.get_markerfacecolor() == "none"]
    assert [tuple(line.get_xydata()[0]) for line in rings] == [(2, 50)], "an epoch 0 has no ring"
    assert list(changed.lines[1].get_ydata()) == pytest.approx([0, 10])


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


def test_bars_by_direction_with_the_baseline_as_a_line():
    table = pd.DataFrame({"a → b": [40.0, 50.0], "b → a": [30.0, 20.0]}, index=["vanilla CLIP", "CLAIR"])
    fig = clair.method_bars(table, "CLAIR", "vanilla CLIP", value="P@10")
    assert [[bar.get_width() for bar in ax.patches] for ax in fig.axes] == [[40, 50], [30, 20]]
    assert [ax.lines[0].get_xdata()[0] for ax in fig.axes] == [40, 30]
    assert fig.axes[0].get_yaxis().get_inverted()


def test_pictures_undo_the_normalisation():
    encoder = load_encoder("tiny-clip")
    batch = encoder.preprocess(Image.new("RGB", (80, 80), (51, 102, 255)))[None]
    expected = np.broadcast_to([0.2, 0.4, 1.0], (1, *batch.shape[2:], 3))
    assert clair.pictures_of(encoder, batch) == pytest.approx(expected, abs=1e-5)
