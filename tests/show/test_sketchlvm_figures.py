"""The triplet figure: its losses and arrows are those that autograd finds for the package's losses."""

import re

import numpy as np
import pytest
import torch
from matplotlib.text import Annotation

from cdir_nb.methods.sketchlvm import losses
from cdir_nb.show import sketchlvm

ANGLES = {"image": 90, "positive": 40, "its text": 5, "another text": 165}
MARGIN, SCALE = 0.3, 14.0


def on_circle(angle: torch.Tensor) -> torch.Tensor:
    return torch.stack([angle.cos(), angle.sin()])[None]


@pytest.mark.parametrize("negative", [200.0, 130.0, 100.0])
def test_losses_and_arrows_are_those_of_the_package(negative):
    fig = sketchlvm.triplet_figure(ANGLES, [negative], margin=MARGIN, scale=SCALE)
    (ax,) = fig.axes
    image = torch.tensor(np.pi / 2, dtype=torch.float64, requires_grad=True)
    positive, text, other, far = (torch.tensor(np.radians(a)) for a in (*[*ANGLES.values()][1:], negative))
    texts = torch.cat([on_circle(text), on_circle(other)])
    expected = {
        "triplet": losses.triplet(on_circle(image), on_circle(positive), on_circle(far), MARGIN),
        "class text": losses.class_text(on_circle(image), texts, torch.tensor([0]), SCALE),
    }
    shown = [float(x) for x in re.findall(r"\d+\.\d+", ax.get_title("left"))]
    assert shown == pytest.approx([float(loss.detach()) for loss in expected.values()], abs=0.006)
    arrows = [text for text in ax.texts if isinstance(text, Annotation)]
    forces = {
        name: -float(torch.autograd.grad(loss, image)[0]) / (SCALE if "text" in name else 1)
        for name, loss in expected.items()
    }
    # the image is at the top of the circle, where a step to larger angles goes left
    assert [a.xy[0] - a.xyann[0] for a in arrows] == pytest.approx([-0.9 * f for f in forces.values() if f], abs=1e-3)
