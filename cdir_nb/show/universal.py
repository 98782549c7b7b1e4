"""Pictures of universal retrieval: protocols as grids, mixed images, distances between classes, unseen classes."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
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
    """One panel per task: domains across, groups of classes down; what is trained on, asked and searched in.

    A sampled part is drawn as wide as its share, at least a tenth.
    """
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(WIDTH, 2.1 * rows + 0.6), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (name, task) in zip(axes.flat, tasks.items()):
        _grid(ax, name, task, first=ax in axes[:, 0])
    keys = [Patch(color=colour, label=role) for role, colour in ROLES.items()]
    fig.legend(handles=keys, loc="outside lower left", ncols=3)
    return titled(fig, title)


def _grid(ax: Axes, name: str, task: Protocol, *, first: bool) -> None:
    domains = list(dict.fromkeys(task.images.domains.tolist()))
    groups = dict(zip(GROUPS, (task.seen, task.validation, task.unseen)))
    ax.axis("on")
    for y, classes in enumerate(groups.values()):
        for x, domain in enumerate(domains):
            ax.add_patch(Rectangle((x, y), 0.92, 0.86, color="#F1F1F1", lw=0))
            for role, share in _roles(task, domain, classes).items():
                ax.add_patch(Rectangle((x, y), 0.92 * share, 0.86, color=ROLES[role], lw=0))
    ax.set(xlim=(-0.1, len(domains)), ylim=(3, -0.1), title=name)
    ax.set_xticks(np.arange(len(domains)) + 0.46, [pretty(d) for d in domains], rotation=40, ha="right", fontsize=SMALL)
    names = [f"{len(classes)} {name}" for name, classes in groups.items()]
    ax.set_yticks((np.arange(3) + 0.43) if first else [], names if first else [], fontsize=SMALL)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _roles(task: Protocol, domain: str, classes: Sequence[str]) -> dict[str, float]:
    """{role: share of the images of these classes in this domain}, in the order of drawing."""
    found, some = {}, set(classes)
    if domain in task.train_domains and some & set(task.seen):
        found["training"] = 1.0
    for role, side, known, shares in (
        ("queries", 0, task.classes, task.query_shares),
        ("gallery", 1, task.gallery_classes, task.gallery_shares),
    ):
        own = [label for label in known if label in some]
        if own and domain in {pair[side] for pair in task.directions}:
            found[role] = max(0.1, shares.get(own[0], 1.0))
    return found


@styled
def mixture_figure(
    pictures: Sequence[Image.Image],
    names: Sequence[str],
    shares: Mapping[str, float],
    *,
    title: str = "Two images, their mixture, and its label",
) -> Figure:
    """Two images and their mixture with names below, and the mixture's soft label {class: share} as bars."""
    widths = [1] * len(pictures) + [1.5]
    fig, axes = plt.subplots(1, len(widths), figsize=(WIDTH, 2.5), width_ratios=widths)
    for ax, picture, name in zip(axes, pictures, names):
        ax.imshow(thumbnail(picture, PIXELS))
        ax.set_xlabel(name, fontsize=9)
        ax.set(xticks=[], yticks=[])
    drawn = axes[-1].barh([pretty(label) for label in shares], list(shares.values()), color=PALETTE[4], height=0.5)
    axes[-1].bar_label(drawn, fmt="%.2f", padding=3)
    axes[-1].set(xlim=(0, 1.15), xlabel="share of the class", ylim=(len(shares) - 0.3, -0.7))
    return titled(fig, title)


@styled
def neighbourhoods(tables: Mapping[str, pd.DataFrame], *, title: str = "") -> Figure:
    """Distances of classes (rows) to class vectors (columns) as colours, one panel per table, all on one scale.

    With many classes only every second or third is named.
    """
    fig, axes = plt.subplots(1, len(tables), figsize=(WIDTH, 3.5), sharey=True, squeeze=False)
    top = max(float(np.nanmax(table.to_numpy())) for table in tables.values())
    for ax, (name, table) in zip(axes[0], tables.items()):
        image = ax.imshow(table.to_numpy(), cmap=SEQUENTIAL, vmin=0, vmax=top, aspect="equal")
        every = -(-len(table) // 14)  # more names would run into each other
        ax.set_xticks(
            range(0, table.shape[1], every),
            [shorten(c, 11) for c in table.columns[::every]],
            rotation=90,
            fontsize=SMALL,
        )
        ax.set_yticks(range(0, len(table), every), [shorten(c, 11) for c in table.index[::every]], fontsize=SMALL)
        ax.set_title(name, fontsize=10)
        ax.tick_params(length=0)
    fig.colorbar(image, ax=axes, shrink=0.7, label="distance")
    return titled(fig, title)


@styled
def training_figure(history: Sequence[Mapping[str, float]], chosen: int, *, score: str, title: str = "") -> Figure:
    """Each loss over epochs, relative to its first value (left), and the validation score, the chosen epoch circled."""
    table = pd.DataFrame(history).set_index("epoch")
    losses = [name for name in table if name.startswith("L_")]
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.1))
    for name, colour in zip(losses, PALETTE):
        left.plot(table[name] / table[name].iloc[0], color=colour, label=f"${_subscript(name)}$")
    left.set(title="losses, first epoch = 1", xlabel="epoch", ylim=(0, None))
    left.legend()
    right.plot(100 * table[score], color=PALETTE[0])
    if chosen in table.index:
        right.plot(chosen, 100 * table[score][chosen], "o", ms=11, mfc="none", mec=PALETTE[1])
    right.set(title=f"{score} (%)", xlabel="epoch")
    for ax in (left, right):
        ax.grid(True)
    return titled(fig, title)


def _subscript(name: str) -> str:
    return f"L_{{{name[2:]}}}"


@styled
def universal_map(
    points: np.ndarray, labels: np.ndarray, unseen: np.ndarray, order: Sequence[str], *, title: str = ""
) -> Figure:
    """t-SNE as in the paper's Figure 3: colour by class; dots are seen classes, crosses unseen ones, named at their
    middle. points (N, 2), labels (N,), unseen (N,) bool; order: the classes, seen ones first."""
    fig, ax = plt.subplots(figsize=(WIDTH, 4.6))
    for i, label in enumerate(order):
        here = labels == label
        strange = bool(unseen[here].any())
        look = {"marker": "x", "s": 22, "linewidths": 1.4} if strange else {"marker": "o", "s": 16, "linewidths": 0}
        ax.scatter(*points[here].T, color=PALETTE[i % len(PALETTE)], alpha=0.8, **look)
        x, y = np.median(points[here], axis=0)
        font = {"fontsize": 9, "ha": "center", "va": "bottom", "weight": "bold" if strange else None}
        ax.text(x, y, pretty(label), bbox=BOX, zorder=5, **font)
    bare(ax)
    ax.set_title("dots: seen classes; crosses and bold names: unseen classes of the unseen domain", fontsize=9)
    fig = titled(fig, title)
    _raise_covered(ax.texts)
    return fig


def _raise_covered(names: Sequence[Text]) -> None:
    """Move names up until none covers another; they are aligned at their bottom."""
    names[0].figure.draw_without_rendering()
    to_data, placed = names[0].axes.transData.inverted(), []
    for name in sorted(names, key=lambda name: name.get_position()[1]):
        box = name.get_window_extent()
        for other in sorted(placed, key=lambda box: box.y0):
            if box.overlaps(other):
                box = box.translated(0, other.y1 - box.y0 + 1)
        placed.append(box)
        name.set_y(to_data.transform(box.p0)[1])
