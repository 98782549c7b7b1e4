"""Figures for SnMpNet: protocols as grids, mixed images, the semantic loss in the plane, maps of four groups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Rectangle
from PIL import Image

from cdir_nb.data.protocols import Protocol
from cdir_nb.show.grids import thumbnail
from cdir_nb.show.style import EMPTY, PALETTE, SMALL, WIDTH, bare, pretty, styled, titled

ROLES = {"training": "#A9D0EA", "queries": "#D55E00", "gallery": "#117733"}
GROUPS = ("training classes", "validation classes", "unseen classes")
PIXELS = 128  # of a thumbnail
BOX = {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1}


@styled
def protocol_grids(
    tasks: Mapping[str, Protocol], hidden: Sequence[Sequence[str]] = ((),), *, title: str = ""
) -> Figure:
    """One column per task; in a panel, domains are columns, groups of classes are rows, and colours are roles.

    hidden  the roles that are left out, for each row of panels
    A sampled cell is filled in proportion to its sampled fraction, but at least by a tenth.
    """
    fig, axes = plt.subplots(
        len(hidden), len(tasks), figsize=(WIDTH, 2.1 * len(hidden) + 0.6), squeeze=False, sharex=True
    )
    for i, (row, without) in enumerate(zip(axes, hidden)):
        for ax, (name, task) in zip(row, tasks.items()):
            _draw_protocol(ax, task, without, with_names=ax is row[0])
            if i == 0:
                ax.set_title(name)
    keys = [Patch(color=colour, label=role) for role, colour in ROLES.items()]
    fig.legend(handles=keys, loc="outside lower left", ncols=3)
    return titled(fig, title)


def _draw_protocol(ax: Axes, task: Protocol, without: Sequence[str], *, with_names: bool) -> None:
    domains = list(dict.fromkeys(task.images.domains.tolist()))
    groups = dict(zip(GROUPS, (task.seen, task.validation, task.unseen)))
    ax.axis("on")
    for y, classes in enumerate(groups.values()):
        for x, domain in enumerate(domains):
            ax.add_patch(Rectangle((x, y), 0.92, 0.86, color="#F1F1F1", lw=0))
            for role, fraction in _role_fractions(task, domain, set(classes)).items():
                if role not in without:
                    ax.add_patch(Rectangle((x, y), 0.92 * fraction, 0.86, color=ROLES[role], lw=0))
    ax.set(xlim=(-0.1, len(domains)), ylim=(3, -0.1))
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
    for role, domains, labels, sampled in (
        ("queries", queries, task.classes, task.query_fractions),
        ("gallery", galleries, task.gallery_classes, task.gallery_fractions),
    ):
        members = [label for label in labels if label in classes]
        if members and domain in domains:
            fractions[role] = max(0.1, sampled.get(members[0], 1.0))
    return fractions


@dataclass(frozen=True)
class Mixture:
    """Two images, their mixture, a caption for each of the three, and the soft label {class: fraction}."""

    images: tuple[Image.Image, Image.Image, Image.Image]
    captions: tuple[str, str, str]
    soft_label: Mapping[str, float]


@styled
def mixture_figure(mixtures: Sequence[Mixture], *, title: str = "") -> Figure:
    """One row per mixture: two images, their mixture, and its soft label as bars."""
    size = (WIDTH, 2.0 * len(mixtures) + 0.5)
    fig, axes = plt.subplots(len(mixtures), 4, figsize=size, width_ratios=(1, 1, 1, 1.5), squeeze=False)
    for row, mixture in zip(axes, mixtures):
        for ax, image, caption in zip(row, mixture.images, mixture.captions):
            ax.imshow(thumbnail(image, PIXELS))
            ax.set_xlabel(caption, fontsize=SMALL)
            ax.set(xticks=[], yticks=[])
        classes = [pretty(label) for label in mixture.soft_label]
        bars = row[-1].barh(classes, list(mixture.soft_label.values()), color=PALETTE[4], height=0.5)
        row[-1].bar_label(bars, fmt="%.2f", padding=3)
        row[-1].set(xlim=(0, 1.18), xticks=[0, 0.5, 1])
        row[-1].invert_yaxis()
    axes[0, -1].set_title("label of the mixture")
    return titled(fig, title)


@styled
def neighbourhood_figure(
    vectors: Mapping[str, tuple[float, float]],
    feature: tuple[float, float],
    kappas: Sequence[float],
    *,
    title: str = "",
) -> Figure:
    """The semantic neighbourhood loss in the plane, one panel per kappa.

    vectors  {class: point}, the class of the image first; feature: where the network puts the image

    A ring around a class vector has the wanted distance as radius and the weight of that distance as line width; the
    shade is the loss of a feature at each point, and the arrow the direction of a gradient step.
    """
    fig, axes = plt.subplots(1, len(kappas), figsize=(WIDTH, 3.5), squeeze=False, sharex=True, sharey=True)
    points = np.array(list(vectors.values()))
    wanted = np.linalg.norm(points - points[0], axis=1)
    grid = np.stack(np.meshgrid(np.linspace(-1.9, 1.9, 121), np.linspace(-1.9, 1.9, 121)), axis=-1)
    for ax, kappa in zip(axes[0], kappas):
        weight = np.exp(-kappa * wanted / wanted.max())

        def loss(x: np.ndarray, weight: np.ndarray = weight) -> np.ndarray:
            distance = np.linalg.norm(x[..., None, :] - points, axis=-1)
            return (weight * (distance - wanted) ** 2).mean(-1)

        ax.contourf(grid[..., 0], grid[..., 1], np.sqrt(loss(grid)), levels=12, cmap="Greys", alpha=0.45)
        for (name, point), radius, w, colour in zip(vectors.items(), wanted, weight, PALETTE[2:]):
            ax.add_patch(Circle(point, radius, fill=False, ec=colour, lw=0.6 + 3.4 * w))
            ax.plot(*point, "s", color=colour, ms=8, mec="white")
            label = f"{name}, weight {w:.2f}"
            ax.annotate(label, point, xytext=(0, 9), textcoords="offset points", fontsize=SMALL, ha="center", bbox=BOX)
        _draw_step(ax, np.array(feature), loss)
        ax.set(title=f"κ = {kappa:g}", xlim=(-1.9, 1.9), ylim=(-1.9, 1.9), aspect="equal")
        bare(ax)
    return titled(fig, title)


def _draw_step(ax: Axes, feature: np.ndarray, loss: Callable[[np.ndarray], np.ndarray]) -> None:
    """The feature as a star, and an arrow of fixed length against the gradient of the loss."""
    steps = 1e-4 * np.eye(2)
    gradient = np.array([float(loss(feature + step) - loss(feature - step)) for step in steps])
    end = feature - 0.6 * gradient / max(float(np.linalg.norm(gradient)), 1e-12)
    ax.annotate(
        "", xy=tuple(end), xytext=tuple(feature), arrowprops={"arrowstyle": "-|>", "lw": 2.2, "color": PALETTE[0]}
    )
    ax.plot(*feature, "*", ms=15, color=PALETTE[0], mec="white")
    ax.annotate("$f$", tuple(feature), xytext=(-14, -4), textcoords="offset points")


@styled
def four_groups_map(
    points: np.ndarray, labels: np.ndarray, domains: np.ndarray, panels: Mapping[str, Sequence[str]], *, title: str = ""
) -> Figure:
    """One map in two panels, seen and unseen classes: the colour is the class, the marker the domain.

    points (N, 2), labels (N,), domains (N,); panels: {title: classes}
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 4.6), sharex=True, sharey=True, squeeze=False)
    markers = dict(zip(dict.fromkeys(domains.tolist()), ("o", "x")))
    for ax, (name, classes) in zip(axes[0], panels.items()):
        ax.scatter(*points.T, s=5, color=EMPTY, lw=0, zorder=0)
        for label, colour in zip(classes, PALETTE):
            for domain, marker in markers.items():
                rows = (labels == label) & (domains == domain)
                look = {"lw": 1.4, "s": 24} if marker == "x" else {"lw": 0, "s": 20}
                ax.scatter(*points[rows].T, color=colour, marker=marker, alpha=0.85, **look)
            ax.scatter([], [], color=colour, marker="s", s=30, label=pretty(label))
        ax.set_title(name)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4, fontsize=SMALL, handletextpad=0.2)
        bare(ax)
    keys = [Line2D([], [], color="#444444", marker=m, ls="", label=pretty(d)) for d, m in markers.items()]
    axes[0, 0].add_artist(axes[0, 0].legend_)
    fig.legend(handles=keys, loc="outside upper right", ncols=2)
    return titled(fig, title)
