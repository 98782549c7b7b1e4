"""Figures for SketchLVM: what a triplet and a text ask of an image."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from cdir_nb.analysis import softmax_weights
from cdir_nb.show.style import PALETTE, RIGHT, SMALL, WIDTH, WRONG, bare, keys_of, styled, titled

LABELS = 1.5  # radius of the labels
ARROWS = {"triplet": (1.17, PALETTE[0]), "class text": (1.34, PALETTE[5])}  # radius and colour


@styled
def triplet_figure(
    angles: Mapping[str, float], negatives: Sequence[float], *, margin: float, scale: float, title: str = ""
) -> Figure:
    """An image on the unit circle, and how a triplet loss and a class text loss move it; a panel per negative.

    angles     {name: degrees on the circle}: the image, its positive, the text of its class, another class's text
    negatives  degrees of the negative
    margin     of the triplet loss, with d = 1 - cosine; scale: of the cosines in the class text loss

    The lengths of the arrows are those of gradient steps of the image; the class text's is divided by `scale`.
    """
    fig, axes = plt.subplots(1, len(negatives), figsize=(WIDTH, 3.3), squeeze=False)
    image, positive, text, other = np.radians(list(angles.values()))
    for ax, degrees in zip(axes[0], negatives):
        negative = np.radians(degrees)
        loss = margin - np.cos(positive - image) + np.cos(negative - image)
        weights = softmax_weights(np.cos(np.array([text, other]) - image), 1 / scale)
        pulls = {
            "triplet": (np.sin(positive - image) - np.sin(negative - image)) * (loss > 0),
            "class text": np.sin(text - image) - weights @ np.sin(np.array([text, other]) - image),
        }
        _draw_points(ax, [*angles, "negative"], [image, positive, text, other, negative])
        for name, force in pulls.items():
            _draw_arrow(ax, name, image, force)
        ax.set_title(f"triplet {max(0, loss):.2f}, class text {-np.log(weights[0]):.2f}")
    keys = keys_of(axes[0])
    fig.legend(keys.values(), keys, loc="outside lower left", ncols=len(keys))
    return titled(fig, title)


def _draw_points(ax: Axes, names: Sequence[str], angles: Sequence[float]) -> None:
    """Images as a star and discs, texts as squares; what belongs to the image's class is blue."""
    ax.add_patch(Circle((0, 0), 1, fill=False, ec="#BBBBBB", lw=1))
    looks = [("*", 15, PALETTE[0]), ("o", 10, RIGHT), ("s", 9, RIGHT), ("s", 9, WRONG), ("o", 10, WRONG)]
    for name, angle, (marker, size, colour) in zip(names, angles, looks):
        x, y = np.cos(angle), np.sin(angle)
        ax.plot(x, y, marker=marker, ms=size, color=colour, mec="white", zorder=3)
        place = (0, 0.7) if marker == "*" else (LABELS * x, LABELS * y)
        ax.text(*place, name.replace(" ", "\n"), ha="center", va="center", fontsize=SMALL)
    ax.set(xlim=(-2.1, 2.1), ylim=(-1.1, 1.65), aspect="equal")
    bare(ax)


def _draw_arrow(ax: Axes, name: str, image: float, force: float) -> None:
    """An arrow along the circle, outside of the image; a dot if nothing moves."""
    radius, colour = ARROWS[name]
    start, tangent = radius * np.array([np.cos(image), np.sin(image)]), np.array([-np.sin(image), np.cos(image)])
    if abs(force) < 1e-3:
        ax.plot(*start, marker=".", ms=6, color=colour, zorder=3)
    else:
        arrow = {"arrowstyle": "-|>", "lw": 2.2, "color": colour, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", xy=tuple(start + 0.9 * force * tangent), xytext=tuple(start), arrowprops=arrow)
    ax.plot([], [], color=colour, lw=2.2, label=f"step for the {name} loss")
