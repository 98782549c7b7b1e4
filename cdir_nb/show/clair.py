"""Figures of CLAIR's training: views and tokens, who weighs in a loss, curves, what prompts look at, ablations."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from cdir_nb.encoders import ClipEncoder
from cdir_nb.show.style import PALETTE, QUIET, RIGHT, WIDTH, WRONG, looks, styled

CLASS_TOKEN, PROMPT = PALETTE[3], PALETTE[5]
MOST_PATCHES = 8  # drawn of a row of the image: more would be too small to see
MOST_BARS = 60


def pictures_of(encoder: ClipEncoder, batch: torch.Tensor) -> np.ndarray:
    """(B, H, W, 3) numbers in 0..1 of preprocessed images (B, 3, H, W): the encoder's normalisation undone."""
    cfg = encoder.built.preprocess_cfg
    mean, std = (torch.tensor(cfg[name])[:, None, None] for name in ("mean", "std"))
    return (batch.cpu() * std + mean).clamp(0, 1).permute(0, 2, 3, 1).numpy()


@styled
def token_figure(
    image: np.ndarray, views: Sequence[np.ndarray], side: int, n_prompts: int, *, title: str = ""
) -> Figure:
    """Above an image and random views of it, below what the tower reads: class token, patches, prompts.

    image, views  (H, W, 3) numbers in 0..1; side: patches in a row of the image
    """
    fig = plt.figure(figsize=(WIDTH, 3.6))
    top, below = fig.add_gridspec(2, 1, height_ratios=(1, 1.15))
    pictures = {"image": image, **{f"view {i + 1}": view for i, view in enumerate(views)}}
    for cell, (name, picture) in zip(top.subgridspec(1, len(pictures)), pictures.items()):
        ax = fig.add_subplot(cell)
        ax.imshow(picture)
        ax.set_title(name)
        _bare(ax)
    _tokens(fig.add_subplot(below), image, side, n_prompts)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _tokens(ax: Axes, image: np.ndarray, side: int, n_prompts: int) -> None:
    """Squares in a row: a token each. Of the patches, those of the image's middle row."""
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
        2 + shown / 2: f"{side * side} patches, their places added;\nhere the middle row",
        (start + end) / 2: f"{n_prompts} prompts,\nlearnt" if n_prompts else "no\nprompts",
    }
    for x, text in below.items():
        ax.text(x, 1.1, text, ha="center", va="top")
    ax.annotate("", xy=(end + 1.1, 0.45), xytext=(end + 0.1, 0.45), arrowprops={"arrowstyle": "-|>", "lw": 1.4})
    ax.text(end + 1.25, 0.45, "LayerNorm,\nall layers;\nread: the\nclass token", va="center")
    ax.set(xlim=(-0.1, end + 4), ylim=(1.9, -0.1), aspect="equal")
    ax.axis("off")


def _bare(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


@styled
def weight_figure(banks: Mapping[str, tuple[np.ndarray, np.ndarray]], temperature: float, *, title: str = "") -> Figure:
    """Each memory's share of the denominator of a contrastive loss, one panel a bank, the nearest memories first.

    banks  {name: (N,) cosines of one image with the memories, (N,) True where a memory has the image's class}
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
        ax.set(title=f"{name}: as if {evenly(weights):.0f} of {len(weights)} counted", xlabel="memories, nearest first")
        ax.legend(loc="upper right")
    axes[0, 0].set_ylabel("share of the sum (%)")
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def shares(cosines: np.ndarray, temperature: float) -> np.ndarray:
    """(N,) exp(cosine / temperature) over its sum: what each memory has of the denominator in equations 4 to 6."""
    raised = np.exp((cosines - np.max(cosines)) / temperature)
    return raised / raised.sum()


def evenly(weights: np.ndarray) -> float:
    """How many memories of equal weight would be as spread out: exp of the entropy, 1 to N."""
    present = weights[weights > 0]
    return float(np.exp(-(present * np.log(present)).sum()))


@styled
def clair_curves(
    histories: Mapping[str, Sequence[Mapping[str, float]]], chosen: Mapping[str, int], *, title: str = ""
) -> Figure:
    """Losses of the first method since its first epoch; of all methods validation and changed labels, over epochs.

    chosen  the epoch that each method's validation chose, ringed; 0, the start, is not on the axis
    """
    tables = {name: pd.DataFrame(history).set_index("epoch") for name, history in histories.items()}
    first = next(iter(tables))
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.6 + 0.08 * len(tables)))
    losses = tables[first].filter(regex="^L_")
    for name, (colour, marker) in looks(list(losses)).items():
        axes[0].plot(
            losses[name] - losses[name].iloc[0],
            color=colour,
            marker=marker,
            ms=4,
            label=f"$L_{{{name[2:]}}}$: {losses[name].iloc[0]:.2f}",
        )
    axes[0].legend(title="in the first epoch", fontsize=8, title_fontsize=8, loc="lower left", ncols=2)
    for name, (colour, marker) in looks(list(tables)).items():
        how = {"color": colour, "marker": marker, "ms": 4, "lw": 2.6 if name == first else 1.3, "label": name}
        for ax, column in zip(axes[1:], ("validation P@5", "labels changed")):
            ax.plot(100 * tables[name][column], **how)
        if chosen[name] in tables[name].index:
            axes[1].plot(
                chosen[name], 100 * tables[name]["validation P@5"][chosen[name]], "o", ms=11, mfc="none", mec=colour
            )
    for ax, name in zip(axes, (f"losses of {first}, change", "validation P@5 (%)", "labels changed (%)")):
        ax.set(title=name, xlabel="epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.margins(x=0.12, y=0.12)
        ax.grid(True)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low - 0.7 * (high - low), high)  # room for the legend
    fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


@styled
def attention_figure(
    pictures: Sequence[np.ndarray], names: Sequence[str], attention: np.ndarray, *, title: str = ""
) -> Figure:
    """What each prompt (columns) looks at in each picture (rows), as multiples of an even share, on one scale.

    pictures   (H, W, 3) numbers in 0..1
    attention  (B, n_p, L) of `prompt_attention`: class token, patches row by row, prompts; at most five prompts drawn
    """
    count, n_prompts, length = attention.shape
    side = int(round((length - 1 - n_prompts) ** 0.5))
    patches = length * attention[:, :5, 1 : 1 + side * side].reshape(count, -1, side, side)
    fig, axes = plt.subplots(count, patches.shape[1] + 1, figsize=(WIDTH, 1.5 * count + 0.6), squeeze=False)
    for i, ax in enumerate(axes[0, 1:], start=1):
        ax.set_title(f"prompt {i}")
    for row, picture, name, maps in zip(axes, pictures, names, patches):
        row[0].imshow(picture)
        row[0].set_ylabel(name, fontsize=8.5)
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
        _bare(ax)
    fig.colorbar(drawn, ax=axes, label="times an even share", shrink=0.8, pad=0.01)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


@styled
def method_bars(table: pd.DataFrame, full: str, baseline: str, *, value: str, title: str = "") -> Figure:
    """A panel for each column (a direction), a bar for each row (a method) in percent.

    `full` stands out; the dashed line is `baseline`, one of the rows
    """
    fig, axes = plt.subplots(1, table.shape[1], figsize=(WIDTH, 0.34 * len(table) + 1.3), sharey=True, squeeze=False)
    colours = [PALETTE[0] if name == full else QUIET if name == baseline else PALETTE[4] for name in table.index]
    for ax, name in zip(axes[0], table.columns):
        drawn = ax.barh(range(len(table)), table[name], color=colours)
        ax.bar_label(drawn, fmt="%.1f", padding=3, fontsize=9)
        ax.axvline(table.loc[baseline, name], color=QUIET, ls="--", lw=1.2)
        ax.set(title=name, xlabel=value)
        ax.margins(x=0.14)
    axes[0, 0].set_yticks(range(len(table)), table.index)
    axes[0, 0].invert_yaxis()
    fig.suptitle(title, x=0.01, ha="left")
    return fig
