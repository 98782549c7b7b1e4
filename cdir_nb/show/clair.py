"""Figures for CLAIR: the mapping Q, tokens and attention of the prompted tower, weights in a contrastive loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cdir_nb.analysis import effective_number, softmax_weights
from cdir_nb.encoders import ClipEncoder
from cdir_nb.show.style import PALETTE, QUIET, RIGHT, SMALL, WIDTH, WRONG, bare, keys_of, looks, shorten, styled, titled

CLASS_TOKEN, PROMPT = PALETTE[3], PALETTE[5]
MOST_PATCHES = 8  # patches drawn per row of the image: more would be too small
MOST_BARS = 60


@styled
def rotation_figure(q: np.ndarray, angles: np.ndarray, singular: np.ndarray, rank: int, *, title: str = "") -> Figure:
    """Q in three panels: angles between axes and their images, angles of the rotated planes, singular values.

    q         (D, D)
    angles    (P,) rotation angles of the planes in degrees, largest first
    singular  (D,) singular values of the product of the pairs, largest first; `rank` of them exceed the rounding error
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
    axes[2].axvline(rank + 0.5, color=QUIET, ls="--", lw=1.2)
    axes[2].set(title=f"{rank} of {len(singular)} determined", xlabel="direction")
    axes[2].set(ylabel="singular value", yscale="log")
    return titled(fig, title)


@dataclass(frozen=True)
class FlatDomain:
    """One domain on a two-dimensional map: its name, points (N, 2), and their classes (N,)."""

    name: str
    points: np.ndarray
    labels: np.ndarray


@styled
def geodesic_figure(
    before: FlatDomain,
    now: FlatDomain,
    fixed: FlatDomain,
    curves: Mapping[str, Sequence[float]],
    stops: Sequence[float],
    stop: float,
    *,
    value: str,
    title: str = "",
) -> Figure:
    """Two domains before rotation and after a partial rotation towards Q, with class means, and scores along the path.

    before, now  the rotated domain, at stop 0 and at `stop`; 0 is the identity, 1 is Q
    fixed        the other domain
    curves       {name: one value per entry of `stops`}; `value` is the axis label
    """
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.9), width_ratios=(1, 1, 0.9))
    classes = [label for label in dict.fromkeys(fixed.labels) if label in set(before.labels)]
    points = np.concatenate([before.points, now.points, fixed.points])
    for ax, rotated, name in ((axes[0], before, "identity"), (axes[1], now, f"{100 * stop:.0f} % of the way to Q")):
        _link_class_means(ax, rotated, fixed, classes)
        ax.set(title=name, xlim=_limits(points[:, 0]), ylim=_limits(points[:, 1]))
        bare(ax)
    for i, (name, values) in enumerate(curves.items()):
        axes[2].plot(stops, values, ls=["-", "--"][i % 2], color=PALETTE[i], marker="o", ms=3, label=name)
    axes[2].axvline(stop, color=QUIET, ls=":", lw=1.4)
    axes[2].set(title="along the way", xlabel="identity (0) to Q (1)", ylabel=value)
    axes[2].margins(y=0.12)
    keys = keys_of((axes[0], axes[2]))
    fig.legend(keys.values(), keys, loc="outside lower left", ncols=5, columnspacing=1.2, handletextpad=0.4)
    return titled(fig, title)


def _limits(values: np.ndarray) -> tuple[float, float]:
    margin = 0.04 * (values.max() - values.min())
    return float(values.min() - margin), float(values.max() + margin)


def _link_class_means(ax: Axes, rotated: FlatDomain, fixed: FlatDomain, classes: Sequence[str]) -> None:
    """Faint points, and for each class a line between its means in both domains (disc: rotated, cross: fixed)."""
    for name, (colour, _) in looks(list(classes)).items():
        ends = []
        for domain, marker in ((rotated, "o"), (fixed, "X")):
            points = domain.points[domain.labels == name]
            ax.scatter(*points.T, s=4, color=colour, alpha=0.25, lw=0, zorder=1)
            ends.append(points.mean(0))
            ax.plot(*ends[-1], marker=marker, ms=7, color=colour, mec="white", mew=0.8, zorder=3)
        ax.plot(*np.transpose(ends), color=colour, lw=1.6, zorder=2, label=shorten(name, 14))
    for domain, marker in ((rotated, "o"), (fixed, "X")):
        ax.plot([], [], marker=marker, color="#444444", ls="", label=f"{shorten(domain.name, 20)}, class means")


def denormalised(encoder: ClipEncoder, batch: torch.Tensor) -> np.ndarray:
    """Undo the encoder's normalisation: images (B, 3, H, W) -> values (B, H, W, 3) in 0..1."""
    cfg = encoder.built.preprocess_cfg
    mean, std = (torch.tensor(cfg[name])[:, None, None] for name in ("mean", "std"))
    return (batch.cpu() * std + mean).clamp(0, 1).permute(0, 2, 3, 1).numpy()


@styled
def token_figure(
    image: np.ndarray, views: Sequence[np.ndarray], grid_size: int, n_prompts: int, *, title: str = ""
) -> Figure:
    """An image and random views of it (top), and the tokens of the tower (bottom): class token, patches, prompts.

    image, views  (H, W, 3) values in 0..1
    grid_size     patches per row of the image
    """
    fig = plt.figure(figsize=(WIDTH, 3.6))
    top, bottom = fig.add_gridspec(2, 1, height_ratios=(1, 1.15))
    images = {"image": image, **{f"view {i + 1}": view for i, view in enumerate(views)}}
    for cell, (name, pixels) in zip(top.subgridspec(1, len(images)), images.items()):  # pyright: ignore[reportArgumentType]
        ax = fig.add_subplot(cell)
        ax.imshow(pixels)
        ax.set_title(name)
        bare(ax)
    _draw_tokens(fig.add_subplot(bottom), image, grid_size, n_prompts)
    return titled(fig, title)


def _draw_tokens(ax: Axes, image: np.ndarray, grid_size: int, n_prompts: int) -> None:
    """A row of squares, one per token; of the patches, only the middle row of the image."""
    pixels, shown = image.shape[0] // grid_size, min(grid_size, MOST_PATCHES)
    first, top = (grid_size - shown) // 2, grid_size // 2 * pixels
    ax.add_patch(Rectangle((0, 0), 0.9, 0.9, fc=CLASS_TOKEN, ec="none"))
    ax.text(1.45, 0.5, "…", ha="center", va="center", fontsize=14)
    for i in range(shown):
        left = (first + i) * pixels
        patch = image[top : top + pixels, left : left + pixels]
        ax.imshow(patch, extent=(2 + i, 2.9 + i, 0.9, 0), interpolation="nearest")
        ax.add_patch(Rectangle((2 + i, 0), 0.9, 0.9, fill=False, ec="#999999", lw=0.6))
    ax.text(2.45 + shown, 0.5, "…", ha="center", va="center", fontsize=14)
    start, width = 3 + shown, min(1.0, 4.4 / max(n_prompts, 1))
    for i in range(n_prompts):
        ax.add_patch(Rectangle((start + i * width, 0), 0.9 * width, 0.9, fc=PROMPT, ec="none"))
    end = start + n_prompts * width
    captions = {
        0.45: "class\ntoken",
        2 + shown / 2: f"{grid_size * grid_size} patches + position embedding;\nmiddle row shown",
        (start + end) / 2: f"{n_prompts} prompts,\nlearnt" if n_prompts else "no\nprompts",
    }
    for x, caption in captions.items():
        ax.text(x, 1.1, caption, ha="center", va="top")
    ax.annotate("", xy=(end + 1.1, 0.45), xytext=(end + 0.1, 0.45), arrowprops={"arrowstyle": "-|>", "lw": 1.4})
    ax.text(end + 1.25, 0.45, "LayerNorm,\nall layers;\noutput: the\nclass token", va="center")
    ax.set(xlim=(-0.1, end + 4), ylim=(1.9, -0.1), aspect="equal")
    ax.axis("off")


@styled
def weight_figure(banks: Mapping[str, tuple[np.ndarray, np.ndarray]], temperature: float, *, title: str = "") -> Figure:
    """The weight of each memory entry in the denominator of a contrastive loss, one panel per bank, nearest first.

    banks  {name: ((N,) cosines of an image with the entries, (N,) bool, True for entries of the image's class)}
    """
    fig, axes = plt.subplots(1, len(banks), figsize=(WIDTH, 3.2), squeeze=False, sharey=True)
    for ax, (name, (cosines, same)) in zip(axes[0], banks.items()):
        weights, positive = softmax_weights(cosines, temperature), np.asarray(same)
        order = np.argsort(-weights, kind="stable")
        for kind, colour, hatch, text in ((True, RIGHT, "", "same class"), (False, WRONG, "////", "other class")):
            x = np.flatnonzero(positive[order[:MOST_BARS]] == kind)
            percent, count = 100 * weights[positive == kind].sum(), (positive == kind).sum()
            label = f"{text}: {percent:.0f} % of the sum, {count} memories"
            ax.bar(x, 100 * weights[order[x]], width=0.85, color=colour, hatch=hatch, ec="white", lw=0, label=label)
        ax.set(
            title=f"{name}: effectively {effective_number(weights):.0f} of {len(weights)}",
            xlabel="memories, nearest first",
        )
        ax.legend(loc="upper right")
    axes[0, 0].set_ylabel("share of the sum (%)")
    return titled(fig, title)


@styled
def attention_figure(
    images: Sequence[np.ndarray], names: Sequence[str], attention: np.ndarray, *, title: str = ""
) -> Figure:
    """Attention of at most five prompts (columns) in each image (rows), as multiples of uniform attention.

    images     (H, W, 3) values in 0..1
    attention  (B, n_p, L) from `prompt_attention`: class token, patches row by row, prompts
    """
    count, n_prompts, length = attention.shape
    size = int(round((length - 1 - n_prompts) ** 0.5))
    patches = length * attention[:, :5, 1 : 1 + size * size].reshape(count, -1, size, size)
    fig, axes = plt.subplots(count, patches.shape[1] + 1, figsize=(WIDTH, 1.5 * count + 0.6), squeeze=False)
    for i, ax in enumerate(axes[0, 1:], start=1):
        ax.set_title(f"prompt {i}")
    for row, image, name, maps in zip(axes, images, names, patches):
        row[0].imshow(image)
        row[0].set_ylabel(name, fontsize=SMALL)
        grey = image.mean(axis=2)
        scale = {"cmap": "magma", "vmin": 0, "vmax": patches.max(), "alpha": 0.6, "interpolation": "bilinear"}
        extent = (-0.5, grey.shape[1] - 0.5, grey.shape[0] - 0.5, -0.5)
        for ax, values in zip(row[1:], maps):
            ax.imshow(grey, cmap="gray", vmin=-0.6, vmax=1)
            overlay = ax.imshow(values, extent=extent, **scale)
    for ax in axes.flat:
        bare(ax)
    fig.colorbar(overlay, ax=axes, label="multiple of uniform attention", shrink=0.8, pad=0.01)
    return titled(fig, title)
