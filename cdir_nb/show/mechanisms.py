"""Figures of how a method works: Q and its rotation, tokens and attention, weights in a loss, the Poincaré disc."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from cdir_nb.analysis import evenly, shares
from cdir_nb.encoders import ClipEncoder
from cdir_nb.methods.tki.hyperbolic import exp_map_origin, mobius_add
from cdir_nb.show.style import PALETTE, QUIET, RIGHT, SMALL, WIDTH, WRONG, bare, looks, pretty, shorten, styled, titled

CLASS_TOKEN, PROMPT = PALETTE[3], PALETTE[5]
MOST_PATCHES = 8  # patches drawn per row of the image: more would be too small
MOST_BARS = 60
ARROW = {"arrowstyle": "-|>", "lw": 0.8, "mutation_scale": 7, "shrinkA": 0, "shrinkB": 0}


@styled
def rotation_figure(q: np.ndarray, angles: np.ndarray, singular: np.ndarray, known: int, *, title: str = "") -> Figure:
    """Q in three panels: how far it turns each axis, by which angle it rotates each plane, what the pairs determine.

    q (D, D), angles (P,) largest first, singular (D,) values of the pairs' product, of which the first `known` are
    above rounding error
    """
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.2))
    turned = np.degrees(np.arccos(np.clip(np.diag(q), -1, 1)))
    axes[0].hist(turned, np.arange(0, 181, 10), color=PALETTE[6])
    axes[0].axvline(0, color=QUIET, ls="--", lw=1.2, label="identity")
    axes[0].set(title="angle between axis and image", xlabel="degrees", ylabel="axes", xticks=range(0, 181, 45))
    axes[0].legend()
    axes[1].bar(np.arange(1, len(angles) + 1), angles, width=1, color=PALETTE[4])
    axes[1].set(title="angle of each plane", xlabel="plane", ylabel="degrees", ylim=(0, 180), yticks=range(0, 181, 45))
    axes[2].plot(np.arange(1, len(singular) + 1), np.maximum(singular, 1e-16), color=PALETTE[0])
    axes[2].axvline(known + 0.5, color=QUIET, ls="--", lw=1.2)
    axes[2].set(
        title=f"{known} of {len(singular)} determined", xlabel="direction", ylabel="singular value", yscale="log"
    )
    return titled(fig, title)


@dataclass(frozen=True)
class FlatDomain:
    """One domain on a flat map: its name, points (N, 2), and their classes (N,)."""

    name: str
    points: np.ndarray
    labels: np.ndarray


@styled
def way_figure(
    before: FlatDomain,
    now: FlatDomain,
    fixed: FlatDomain,
    curves: dict[str, Sequence[float]],
    stops: Sequence[float],
    at: float,
    *,
    value: str,
    title: str = "",
) -> Figure:
    """Two domains before any rotation and at stop `at`, lines between class means, and curves over all stops.

    before, now  the domain that is rotated; fixed  the other one. curves  {name: one value per stop (0 to 1)}.
    """
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.9), width_ratios=(1, 1, 0.9))
    classes = [x for x in dict.fromkeys(fixed.labels) if x in set(before.labels)]
    for ax, moved, name in ((axes[0], before, "identity"), (axes[1], now, f"{100 * at:.0f} % of the way to Q")):
        _linked(ax, moved, fixed, classes)
        ax.set_title(name)
    reach = np.concatenate([before.points, now.points, fixed.points])
    for ax in axes[:2]:
        ax.set(xlim=_limits(reach[:, 0]), ylim=_limits(reach[:, 1]))
        bare(ax)
    _curves(axes[2], curves, stops, at, value)
    keys = [key for ax in (axes[0], axes[2]) for key in zip(*ax.get_legend_handles_labels())]
    fig.legend(*zip(*keys), loc="outside lower left", ncols=5, columnspacing=1.2, handletextpad=0.4)
    return titled(fig, title)


def _limits(values: np.ndarray) -> tuple[float, float]:
    margin = 0.04 * (values.max() - values.min())
    return float(values.min() - margin), float(values.max() + margin)


def _linked(ax: Axes, moved: FlatDomain, fixed: FlatDomain, classes: Sequence[str]) -> None:
    """Faint points, and for each class a line between its means in both domains (disc: rotated, cross: fixed)."""
    for name, (colour, _) in looks(list(classes)).items():
        ends = []
        for domain, marker in ((moved, "o"), (fixed, "X")):
            here = domain.points[domain.labels == name]
            ax.scatter(*here.T, s=4, color=colour, alpha=0.25, lw=0, zorder=1)
            ends.append(here.mean(0))
            ax.plot(*ends[-1], marker=marker, ms=7, color=colour, mec="white", mew=0.8, zorder=3)
        ax.plot(*np.transpose(ends), color=colour, lw=1.6, zorder=2, label=shorten(name, 14))
    for domain, marker in ((moved, "o"), (fixed, "X")):
        ax.plot([], [], marker=marker, color="#444444", ls="", label=f"{pretty(domain.name)}, class means")


def _curves(ax: Axes, curves: dict[str, Sequence[float]], stops: Sequence[float], at: float, value: str) -> None:
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(stops, values, ls=["-", "--"][i % 2], color=PALETTE[i], marker="o", ms=3, label=name)
    ax.axvline(at, color=QUIET, ls=":", lw=1.4)
    ax.set(title="along the way", xlabel="identity (0) to Q (1)", ylabel=value)
    ax.margins(y=0.12)


def pictures_of(encoder: ClipEncoder, batch: torch.Tensor) -> np.ndarray:
    """(B, H, W, 3) values in 0..1 from preprocessed images (B, 3, H, W), with the encoder's normalisation undone."""
    cfg = encoder.built.preprocess_cfg
    mean, std = (torch.tensor(cfg[name])[:, None, None] for name in ("mean", "std"))
    return (batch.cpu() * std + mean).clamp(0, 1).permute(0, 2, 3, 1).numpy()


@styled
def token_figure(
    image: np.ndarray, views: Sequence[np.ndarray], side: int, n_prompts: int, *, title: str = ""
) -> Figure:
    """Top: an image and random views of it. Bottom: the tokens that the tower reads: class token, patches, prompts.

    image, views  (H, W, 3) values in 0..1; side: patches per row of the image
    """
    fig = plt.figure(figsize=(WIDTH, 3.6))
    top, below = fig.add_gridspec(2, 1, height_ratios=(1, 1.15))
    pictures = {"image": image, **{f"view {i + 1}": view for i, view in enumerate(views)}}
    for cell, (name, picture) in zip(top.subgridspec(1, len(pictures)), pictures.items()):
        ax = fig.add_subplot(cell)
        ax.imshow(picture)
        ax.set_title(name)
        bare(ax)
    _tokens(fig.add_subplot(below), image, side, n_prompts)
    return titled(fig, title)


def _tokens(ax: Axes, image: np.ndarray, side: int, n_prompts: int) -> None:
    """A row of squares, one per token; of the patches, only the image's middle row."""
    step, shown = image.shape[0] // side, min(side, MOST_PATCHES)
    first, top = (side - shown) // 2, side // 2 * step
    ax.add_patch(Rectangle((0, 0), 0.9, 0.9, fc=CLASS_TOKEN, ec="none"))
    ax.text(1.45, 0.5, "…", ha="center", va="center", fontsize=14)
    for i in range(shown):
        left = (first + i) * step
        ax.imshow(image[top : top + step, left : left + step], extent=(2 + i, 2.9 + i, 0.9, 0), interpolation="nearest")
        ax.add_patch(Rectangle((2 + i, 0), 0.9, 0.9, fill=False, ec="#999999", lw=0.6))
    ax.text(2.45 + shown, 0.5, "…", ha="center", va="center", fontsize=14)
    start, width = 3 + shown, min(1.0, 4.4 / max(n_prompts, 1))
    for i in range(n_prompts):
        ax.add_patch(Rectangle((start + i * width, 0), 0.9 * width, 0.9, fc=PROMPT, ec="none"))
    end = start + n_prompts * width
    below = {
        0.45: "class\ntoken",
        2 + shown / 2: f"{side * side} patches + position embedding;\nmiddle row shown",
        (start + end) / 2: f"{n_prompts} prompts,\nlearnt" if n_prompts else "no\nprompts",
    }
    for x, text in below.items():
        ax.text(x, 1.1, text, ha="center", va="top")
    ax.annotate("", xy=(end + 1.1, 0.45), xytext=(end + 0.1, 0.45), arrowprops={"arrowstyle": "-|>", "lw": 1.4})
    ax.text(end + 1.25, 0.45, "LayerNorm,\nall layers;\noutput: the\nclass token", va="center")
    ax.set(xlim=(-0.1, end + 4), ylim=(1.9, -0.1), aspect="equal")
    ax.axis("off")


@styled
def weight_figure(banks: Mapping[str, tuple[np.ndarray, np.ndarray]], temperature: float, *, title: str = "") -> Figure:
    """Each memory's share of the denominator of a contrastive loss, one panel per bank, nearest memories first.

    banks  {name: ((N,) cosines of one image with the memories, (N,) True for memories of the image's class)}
    """
    fig, axes = plt.subplots(1, len(banks), figsize=(WIDTH, 3.2), squeeze=False, sharey=True)
    for ax, (name, (cosines, same)) in zip(axes[0], banks.items()):
        weights, positive = shares(cosines, temperature), np.asarray(same)
        order = np.argsort(-weights, kind="stable")
        for kind, colour, hatch, text in ((True, RIGHT, "", "same class"), (False, WRONG, "////", "other class")):
            at = np.flatnonzero(positive[order[:MOST_BARS]] == kind)
            share = 100 * weights[positive == kind].sum()
            ax.bar(
                at,
                100 * weights[order[at]],
                width=0.85,
                color=colour,
                hatch=hatch,
                ec="white",
                lw=0,
                label=f"{text}: {share:.0f} % of the sum, {(positive == kind).sum()} memories",
            )
        ax.set(title=f"{name}: effectively {evenly(weights):.0f} of {len(weights)}", xlabel="memories, nearest first")
        ax.legend(loc="upper right")
    axes[0, 0].set_ylabel("share of the sum (%)")
    return titled(fig, title)


@styled
def attention_figure(
    pictures: Sequence[np.ndarray], names: Sequence[str], attention: np.ndarray, *, title: str = ""
) -> Figure:
    """Attention of each prompt (columns) in each picture (rows), as multiples of uniform attention, on one scale.

    pictures   (H, W, 3) values in 0..1
    attention  (B, n_p, L) from `prompt_attention`: class token, patches row by row, prompts; shows five prompts at most
    """
    count, n_prompts, length = attention.shape
    side = int(round((length - 1 - n_prompts) ** 0.5))
    patches = length * attention[:, :5, 1 : 1 + side * side].reshape(count, -1, side, side)
    fig, axes = plt.subplots(count, patches.shape[1] + 1, figsize=(WIDTH, 1.5 * count + 0.6), squeeze=False)
    for i, ax in enumerate(axes[0, 1:], start=1):
        ax.set_title(f"prompt {i}")
    for row, picture, name, maps in zip(axes, pictures, names, patches):
        row[0].imshow(picture)
        row[0].set_ylabel(name, fontsize=SMALL)
        grey = picture.mean(axis=2)
        for ax, values in zip(row[1:], maps):
            ax.imshow(grey, cmap="gray", vmin=-0.6, vmax=1)
            drawn = ax.imshow(
                values,
                cmap="magma",
                vmin=0,
                vmax=patches.max(),
                alpha=0.6,
                interpolation="bilinear",
                extent=(-0.5, grey.shape[1] - 0.5, grey.shape[0] - 0.5, -0.5),
            )
    for ax in axes.flat:
        bare(ax)
    fig.colorbar(drawn, ax=axes, label="multiple of uniform attention", shrink=0.8, pad=0.01)
    return titled(fig, title)


@styled
def poincare_disc(
    vectors: np.ndarray, bias: np.ndarray, labels: Sequence[str], radius: float, *, title: str = ""
) -> Figure:
    """The non-Euclidean layer in two dimensions: tangent plane with u + b (left), disc with exp(u) (+) exp(b) (middle),
    and by how many degrees the bias turns each point in the plane and in the disc (right).

    vectors (N, 2) tangent vectors u = W v, bias (2,), labels (N,). Grey: a square grid and its image in the disc.
    """
    fig, (flat, disc, turns) = plt.subplots(1, 3, figsize=(WIDTH, 4.1), width_ratios=(1, 1, 0.85))
    v, b = torch.as_tensor(vectors).double(), torch.as_tensor(bias).double()
    points, moved = exp_map_origin(v, radius), exp_map_origin(b, radius)
    reach = 1.1 * float(torch.cat([v, v + b]).abs().max())
    for line in _grid(reach):
        flat.plot(*line.T, color="#DDDDDD", lw=0.7, zorder=0)
        disc.plot(*exp_map_origin(line, radius).T, color="#DDDDDD", lw=0.7, zorder=0)
    disc.add_patch(Circle((0, 0), radius, fill=False, ec="#555555", lw=1.2))
    ends = mobius_add(points, moved.expand_as(points), radius)
    _arrows(flat, v, v + b, labels)
    _arrows(disc, points, ends, labels)
    disc.plot(*np.stack([0 * points, points], 2).transpose(1, 2, 0), color="#BBBBBB", lw=0.7, zorder=1)
    _turns(turns, _degrees(v, v + b), _degrees(points, ends), labels)
    for ax, name, limit in (
        (flat, "tangent plane: $u + b$", reach),
        (disc, f"disc, radius {radius:g}: $\\exp(u) \\oplus \\exp(b)$", 1.04 * radius),
    ):
        ax.set(title=name, xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        bare(ax)
    handles, names = flat.get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=6, markerscale=1.6)
    return titled(fig, title)


def _degrees(start: torch.Tensor, end: torch.Tensor) -> np.ndarray:
    """(N,) angles between the vectors of two sets (N, 2)."""
    return np.degrees(np.arccos(torch.cosine_similarity(start, end).clamp(-1, 1).numpy()))


def _turns(ax: Axes, plane: np.ndarray, disc: np.ndarray, labels: Sequence[str]) -> None:
    """Degrees by which the bias turns each point: in the disc (up) against in the plane (across)."""
    labels, top = np.asarray(labels), 1.08 * float(max(plane.max(), disc.max(), 1e-9))
    for name, (colour, marker) in looks(list(dict.fromkeys(labels))).items():
        here = labels == name
        ax.scatter(plane[here], disc[here], s=20, c=colour, marker=marker, lw=0)
    ax.plot([0, top], [0, top], color=QUIET, ls="--", lw=1.2)
    ax.text(0.7 * top, 0.73 * top, "alike", ha="right", va="bottom", color=QUIET)
    ax.set(title="turned by the bias", xlabel="in the plane (degrees)", ylabel="in the disc (degrees)")
    ax.set(xlim=(0, top), ylim=(0, top), aspect="equal")


def _grid(reach: float) -> list[torch.Tensor]:
    """Lines of a square grid, each (200, 2)."""
    along = torch.linspace(-reach, reach, 200, dtype=torch.double)
    upright = [torch.stack([torch.full_like(along, float(x)), along], 1) for x in torch.linspace(-reach, reach, 13)]
    return upright + [line.flip(1) for line in upright]


def _arrows(ax: Axes, start: torch.Tensor, end: torch.Tensor, labels: Sequence[str]) -> None:
    """A marker at each point, coloured by class, and an arrow to where the bias moves it."""
    labels = np.asarray(labels)
    for name, (colour, marker) in looks(list(dict.fromkeys(labels))).items():
        here = np.flatnonzero(labels == name)
        ax.scatter(*start[here].T, s=14, c=colour, marker=marker, lw=0, label=shorten(name, 16), zorder=3)
        for i in here:
            ax.annotate(
                "", xy=end[i].tolist(), xytext=start[i].tolist(), arrowprops={**ARROW, "color": colour}, zorder=2
            )
