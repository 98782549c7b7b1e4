"""Figures for UCDIR: two domains on a circle, drawn together by the distance of distances."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cdir_nb.show.style import CLASSES, QUIET, WIDTH, bare, styled, titled

RADII = (1.0, 0.78)  # of the circles on which the images of A and of B are drawn
DOMAIN_MARKERS = ("o", "^")


class Frame(NamedTuple):
    """A moment of the toy: per domain the images (N, 2) and the clusters' centroids (K, 2), all unit vectors."""

    images: Sequence[np.ndarray]
    centroids: Sequence[np.ndarray]
    title: str


@styled
def circle_frames(
    rows: Mapping[str, Sequence[Frame]], labels: Sequence[str] | np.ndarray, *, title: str = ""
) -> Figure:
    """One row of frames per name: images by class (colour) and domain (marker), and a ray to each centroid.

    labels  (N,) classes of the images, the same in both domains. Unit vectors of A are drawn on the outer circle, those
            of B on the inner one.
    """
    labels, columns = np.asarray(labels), max(map(len, rows.values()))
    colours = dict(zip(dict.fromkeys(labels), CLASSES))
    fig, axes = plt.subplots(len(rows), columns, figsize=(WIDTH, 3.1 * len(rows) + 0.6), squeeze=False)
    for line, (name, frames) in zip(axes, rows.items()):
        for ax, frame in zip(line, frames):
            for radius, marker, images, centroids in zip(RADII, DOMAIN_MARKERS, frame.images, frame.centroids):
                for x, y in radius * np.asarray(centroids):
                    ax.plot([0, x], [0, y], color=QUIET, lw=1, ls="-" if marker == "o" else "--", zorder=1)
                place = radius * np.asarray(images)
                ax.scatter(*place.T, s=34, c=[colours[label] for label in labels], marker=marker, ec="white", lw=0.4)
            ax.set(title=frame.title, xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), aspect="equal")
            bare(ax)
        line[0].set_ylabel(name)
    keys = [Line2D([], [], ls="", marker="s", ms=7, color=colour) for colour in colours.values()]
    keys += [Line2D([], [], marker=m, ms=7, color=QUIET, ls=ls, lw=1) for m, ls in zip(DOMAIN_MARKERS, ("-", "--"))]
    names = [*colours, "image of A, ray to a centroid", "image of B, ray to a centroid"]
    fig.legend(keys, names, loc="outside lower left", ncols=5, handletextpad=0.3)
    return titled(fig, title)
