"""Figures for SnMpNet: protocols as grids, mixed images, distances between classes, maps with unseen classes."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from cdir_nb.data.protocols import Protocol
from cdir_nb.show.grids import thumbnail
from cdir_nb.show.style import PALETTE, SEQUENTIAL, SMALL, WIDTH, bare, pretty, shorten, styled, titled

ROLES = {"training": "#A9D0EA", "queries": "#D55E00", "gallery": "#117733"}
GROUPS = ("training classes", "validation classes", "unseen classes")
PIXELS = 128  # of a thumbnail
BOX = {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1}


@styled
def protocol_grids(tasks: Mapping[str, Protocol], *, title: str = "") -> Figure:
    """One panel per task: domains as columns, groups of classes as rows, coloured by role (training, queries, gallery).

    A sampled cell is filled in proportion to its sampled fraction, at least to a tenth.
    """
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(WIDTH, 2.1 * rows + 0.6), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (name, task) in zip(axes.flat, tasks.items()):
        _draw_protocol(ax, name, task, with_names=ax in axes[:, 0])
    keys = [Patch(color=colour, label=role) for role, colour in ROLES.items()]
    fig.legend(handles=keys, loc="outside lower left", ncols=3)
    return titled(fig, title)


def _draw_protocol(ax: Axes, name: str, task: Protocol, *, with_names: bool) -> None:
    domains = list(dict.fromkeys(task.images.domains.tolist()))
    groups = dict(zip(GROUPS, (task.seen, task.validation, task.unseen)))
    ax.axis("on")
    for y, classes in enumerate(groups.values()):
        for x, domain in enumerate(domains):
            ax.add_patch(Rectangle((x, y), 0.92, 0.86, color="#F1F1F1", lw=0))
            for role, fraction in _role_fractions(task, domain, set(classes)).items():
                ax.add_patch(Rectangle((x, y), 0.92 * fraction, 0.86, color=ROLES[role], lw=0))
    ax.set(xlim=(-0.1, len(domains)), ylim=(3, -0.1), title=name)
    ax.set_xticks(np.arange(len(domains)) + 0.46, [pretty(d) for d in domains], rotation=40, ha="right", fontsize=SMALL)
    names = [f"{len(classes)} {name}" for name, classes in groups.items()]
    ax.set_yticks((np.arange(3) + 0.43) if with_names else [], names if with_names else [], fontsize=SMALL)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _role_fractions(task: Protocol, domain: str, classes: set[str]) -> dict[str, float]:
    """{role: fraction of the images of these classes in this domain}, in drawing order."""
    fractions = {}
    if domain in task.train_domains and classes & set(task.seen):
        fractions["training"] = 1.0
    queries, galleries = zip(*task.directions)
    for role, domains, labels, shares in (
        ("queries", queries, task.classes, task.query_fractions),
        ("gallery", galleries, task.gallery_classes, task.gallery_fractions),
    ):
        members = [label for label in labels if label in classes]
        if members and domain in domains:
            fractions[role] = max(0.1, shares.get(members[0], 1.0))
    return fractions


@styled
def mixture_figure(images: Sequence[Image.Image], names: Sequence[str], soft_label: Mapping[str, float]) -> Figure:
    """Two images and their mixture, with captions, and the soft label {class: fraction} of the mixture as bars."""
    widths = [1] * len(images) + [1.5]
    fig, axes = plt.subplots(1, len(widths), figsize=(WIDTH, 2.5), width_ratios=widths)
    for ax, image, name in zip(axes, images, names):
        ax.imshow(thumbnail(image, PIXELS))
        ax.set_xlabel(name, fontsize=9)
        ax.set(xticks=[], yticks=[])
    classes = [pretty(label) for label in soft_label]
    bars = axes[-1].barh(classes, list(soft_label.values()), color=PALETTE[4], height=0.5)
    axes[-1].bar_label(bars, fmt="%.2f", padding=3)
    axes[-1].set(xlim=(0, 1.15), xlabel="share of the class", ylim=(len(classes) - 0.3, -0.7))
    return titled(fig, "Two images, their mixture, and its label")


@styled
def neighbourhoods(tables: Mapping[str, pd.DataFrame], *, title: str = "") -> Figure:
    """Distances of classes (rows) from class vectors (columns), one panel per table, with a common colour scale.

    If there are many classes, only every second or third has a label.
    """
    fig, axes = plt.subplots(1, len(tables), figsize=(WIDTH, 3.5), sharey=True, squeeze=False)
    top = max(float(np.nanmax(table.to_numpy())) for table in tables.values())
    for ax, (name, table) in zip(axes[0], tables.items()):
        image = ax.imshow(table.to_numpy(), cmap=SEQUENTIAL, vmin=0, vmax=top, aspect="equal")
        step = -(-len(table) // 14)  # more names would overlap
        columns, rows = ([shorten(label, 11) for label in axis[::step]] for axis in (table.columns, table.index))
        ax.set_xticks(range(0, table.shape[1], step), columns, rotation=90, fontsize=SMALL)
        ax.set_yticks(range(0, len(table), step), rows, fontsize=SMALL)
        ax.set_title(name, fontsize=10)
        ax.tick_params(length=0)
    fig.colorbar(image, ax=axes, shrink=0.7, label="distance")
    return titled(fig, title)


@styled
def universal_map(
    points: np.ndarray, labels: np.ndarray, unseen: np.ndarray, order: Sequence[str], *, title: str = ""
) -> Figure:
    """A map as in the paper's Figure 3, coloured by class: dots for seen classes, crosses for unseen ones.

    points (N, 2), labels (N,), unseen (N,) bool; `order`: the classes, seen ones first.
    """
    fig, ax = plt.subplots(figsize=(WIDTH, 4.6))
    for i, label in enumerate(order):
        rows = labels == label
        is_unseen = bool(unseen[rows].any())
        look = {"marker": "x", "s": 22, "linewidths": 1.4} if is_unseen else {"marker": "o", "s": 16, "linewidths": 0}
        ax.scatter(*points[rows].T, color=PALETTE[i % len(PALETTE)], alpha=0.8, **look)
        x, y = np.median(points[rows], axis=0)
        font = {"fontsize": 9, "ha": "center", "va": "bottom", "weight": "bold" if is_unseen else None}
        ax.text(x, y, pretty(label), bbox=BOX, zorder=5, **font)
    bare(ax)
    ax.set_title("dots: seen classes; crosses and bold names: unseen classes of the unseen domain", fontsize=9)
    fig = titled(fig, title)
    _separate(fig, ax)
    return fig


def _separate(fig: Figure, ax: Axes) -> None:
    """Move the names in `ax` up until none overlaps another; they are aligned at their bottom."""
    fig.draw_without_rendering()
    to_data, boxes = ax.transData.inverted(), []
    for name in sorted(ax.texts, key=lambda name: name.get_position()[1]):
        box = name.get_window_extent()
        for lower in sorted(boxes, key=lambda box: box.y0):
            if box.overlaps(lower):
                box = box.translated(0, lower.y1 - box.y0 + 1)
        boxes.append(box)
        name.set_y(to_data.transform(box.p0)[1])
