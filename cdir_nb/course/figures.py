"""Figures of exercises: each shows the effect of a function, either the solution (as the target) or a student's."""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from cdir_nb.show.style import CLASSES, QUIET, RIGHT, WIDTH, styled


def clouds() -> tuple[torch.Tensor, torch.Tensor]:
    """Points of two domains, (60, 3) each: three classes, which are arranged in the same way in both domains."""
    random = torch.Generator().manual_seed(0)
    classes = torch.tensor([[0.0, 0.45, 0.0], [-0.4, -0.2, 0.0], [0.4, -0.2, 0.0]]).repeat_interleave(20, dim=0)
    spread = 0.06 * torch.randn(2, 60, 3, generator=random)
    return classes + torch.tensor([0.8, 0.0, 1.0]) + spread[0], classes + torch.tensor([-0.8, 0.2, 1.0]) + spread[1]


@styled
def before_and_after(centre: Callable) -> Figure:
    """Two domains, seen from above, before and after a function (query, gallery) -> (query, gallery)."""
    query, gallery = clouds()
    stages = {"as they are": (F.normalize(query, dim=1), F.normalize(gallery, dim=1)), "after": centre(query, gallery)}
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 0.5 * WIDTH), layout="constrained")
    for ax, (title, pair) in zip(axes, stages.items()):
        ax.add_patch(Circle((0, 0), 1, fill=False, color="#CCCCCC"))
        for marker, points, domain in zip("ox", pair, ("query", "gallery")):
            points = np.asarray(points)[:, :2]
            for i in range(3):
                rows = slice(20 * i, 20 * i + 20)
                label = f"{domain}, class {i + 1}"
                ax.scatter(*points[rows].T, marker=marker, color=CLASSES[i], s=30, alpha=0.8, label=label)
        ax.set(title=title, xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal")
    axes[1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    plt.close(fig)
    return fig


@styled
def rotated(procrustes: Callable) -> Figure:
    """Eight pairs of text vectors in the plane, before and after the first of each pair is mapped to the second."""
    random = torch.Generator().manual_seed(1)
    angle = torch.linspace(-0.3, 1.2, 8)
    source = torch.stack([angle.cos(), angle.sin()], dim=1)
    turn = torch.tensor([[0.28, -0.96], [0.96, 0.28]])
    target = F.normalize(source @ turn.T + 0.06 * torch.randn(8, 2, generator=random), dim=1)
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 0.46 * WIDTH), layout="constrained")
    stages = {"before": source, "after Q": source @ procrustes(source, target).T}
    for ax, (title, start) in zip(axes, stages.items()):
        ax.add_patch(Circle((0, 0), 1, fill=False, color="#CCCCCC"))
        for a, b in zip(start, target):
            ax.plot(*torch.stack([a, b]).T, color=QUIET, lw=1)
        ax.scatter(*start.T, color=CLASSES[0], marker="o", label="“a photo of …”", zorder=3)
        ax.scatter(*target.T, color=CLASSES[1], marker="x", label="“a sketch of …”", zorder=3)
        ax.set(title=title, xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal")
    axes[1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    plt.close(fig)
    return fig


@styled
def mixed(mix_up: Callable) -> Figure:
    """Two small images and their mixture, with the soft labels as bars."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    disc = np.where((x**2 + y**2 < 0.5)[..., None], [47, 143, 192], [255, 255, 255]).astype(np.uint8)
    cross = np.where(((abs(x) < 0.2) | (abs(y) < 0.2))[..., None], [213, 94, 0], [255, 255, 255]).astype(np.uint8)
    image, label = mix_up(disc, cross, 0, 2, 0.7, 4)
    columns = {"disc, class 0": (disc, np.eye(4)[0]), "cross, class 2": (cross, np.eye(4)[2])}
    columns["70 % disc + 30 % cross"] = np.asarray(image), np.asarray(label, dtype=float)
    fig, axes = plt.subplots(2, 3, figsize=(0.75 * WIDTH, 0.42 * WIDTH), layout="constrained", height_ratios=(2, 1))
    for (top, bottom), (title, (pixels, weights)) in zip(axes.T, columns.items()):
        top.imshow(np.clip(pixels, 0, 255).astype(np.uint8))
        top.set(title=title, xticks=[], yticks=[])
        bottom.bar(range(np.size(weights)), np.ravel(weights), color=RIGHT)
        bottom.set(ylim=(0, 1), xticks=range(4), xlabel="class")
    axes[1, 0].set_ylabel("weight")
    plt.close(fig)
    return fig


@styled
def drawn_means(interval: Callable) -> Figure:
    """Histogram of the mean difference in 1,000 bootstrap samples of the classes, with the interval in points."""
    random = np.random.default_rng(0)
    a, b = random.normal(58, 15, 10), random.normal(50, 15, 10)
    picks = random.integers(0, 10, (1000, 10))
    low, high = interval(a, b, picks)
    fig, ax = plt.subplots(figsize=(0.75 * WIDTH, 0.3 * WIDTH), layout="constrained")
    ax.hist((a - b)[picks].mean(1), bins=40, color="#CFCFCF")
    ax.plot(a - b, np.full(10, 4), "|", color=CLASSES[0], ms=14, mew=2, label="the ten classes")
    ax.axvspan(low, high, color=RIGHT, alpha=0.15, label=f"interval, {low:.1f} to {high:.1f} points")
    ax.axvline(0, color=QUIET, ls="--", lw=1)
    ax.set(xlabel="difference of the two methods (points)", ylabel="draws of ten classes")
    ax.legend(frameon=False, loc="upper left")
    plt.close(fig)
    return fig
