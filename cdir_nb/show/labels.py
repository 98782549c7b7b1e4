"""Figures for pseudo-labels: how sure they are, how often they are right, and what a refinement does to them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdir_nb.data.images import ImageSet
from cdir_nb.show.grids import thumbnail
from cdir_nb.show.style import PALETTE, QUIET, RIGHT, WIDTH, looks, pretty, shorten, styled


def reliability_bins(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> np.ndarray:
    """(B, 3) mean confidence, share of right labels and number of images of each bin of confidence that has any.

    confidence (N,) in 0..1, right (N,) bool; `bins` of equal width (Guo et al., ICML 2017).
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    parts = [place == b for b in np.unique(place)]
    return np.array([[confidence[part].mean(), right[part].mean(), part.sum()] for part in parts])


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error, 0 to 1: |share right - mean confidence| of each bin, weighted by its size."""
    sure, share, count = reliability_bins(confidence, right, bins).T
    return float((count * np.abs(share - sure)).sum() / count.sum())


def accuracy_at_coverage(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N,) the share of right labels among the n most confident images, for n = 1 to N (1 - risk at coverage n / N)."""
    order = np.argsort(-np.asarray(confidence, float), kind="stable")
    return np.cumsum(np.asarray(right, float)[order]) / np.arange(1, len(order) + 1)


@styled
def softmax_figure(probabilities: Mapping[str, np.ndarray], *, title: str = "") -> Figure:
    """How sharp a softmax is: mean probability of the best class, the second, ... (left), and confidences (right).

    probabilities  {scale: (N, K)}, all with the same K
    """
    fig, (ranks, sure) = plt.subplots(1, 2, figsize=(WIDTH, 3.4))
    classes = next(iter(probabilities.values())).shape[1]
    for name, (colour, marker) in looks(list(probabilities)).items():
        table = -np.sort(-np.asarray(probabilities[name]), axis=1)
        ranks.plot(np.arange(1, classes + 1), table.mean(0), color=colour, marker=marker, ms=4, label=name)
        sure.hist(table[:, 0], np.linspace(0, 1, 51), histtype="stepfilled", alpha=0.55, color=colour, label=name)
    ranks.axhline(1 / classes, color=QUIET, ls="--", lw=1.2, label=f"uniform: 1 / {classes}")
    ranks.set(title="mean probability", xlabel="rank of the class", xlim=(0, min(classes, 15) + 1), ylim=(0, None))
    sure.set(title="confidence: probability of the best class", xlabel="confidence", ylabel="images", xlim=(0, 1))
    ranks.legend()
    fig.suptitle(title, x=0.01, ha="left")
    return fig


@styled
def reliability(groups: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str = "", bins: int = 10) -> Figure:
    """Confidence against correctness: reliability diagram (left), accuracy of the most confident share (right).

    groups  {name: (confidence (N,), right (N,) bool)}
    """
    fig, (diagram, coverage) = plt.subplots(1, 2, figsize=(WIDTH, 3.9))
    diagram.plot([0, 1], [0, 1], color=QUIET, ls="--", lw=1.2, label="as sure as right")
    for name, (colour, marker) in looks(list(groups)).items():
        confidence, right = groups[name]
        sure, share, _ = reliability_bins(confidence, right, bins).T
        error = calibration_error(confidence, right, bins)
        diagram.plot(sure, share, color=colour, marker=marker, ms=5, label=f"{pretty(name)} (ECE {error:.2f})")
        kept = accuracy_at_coverage(confidence, right)
        coverage.plot(np.arange(1, len(kept) + 1) / len(kept), kept, color=colour)
    diagram.set(title="reliability", xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    coverage.set(
        title="only the most confident",
        xlabel="share of images kept",
        ylabel="share that is right",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    fig.legend(loc="outside lower left", ncols=4)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


@styled
def psi_figure(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], scores: Mapping[str, np.ndarray], *, title: str = ""
) -> Figure:
    """psi over y, one curve a setting {name: (y, psi(y))}, above histograms of the scores that it is applied to."""
    fig, (top, below) = plt.subplots(2, 1, figsize=(WIDTH * 0.85, 4.4), sharex=True, height_ratios=(1.6, 1))
    for name, (colour, _) in looks(list(curves)).items():
        top.plot(*curves[name], color=colour, label=name)
    for name, (colour, _) in looks(list(scores)).items():
        below.hist(scores[name], 80, density=True, histtype="step", lw=1.5, color=colour, label=name)
    for ax in (top, below):
        ax.axvline(0.5, color=QUIET, ls=":", lw=1.2)
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    top.set(ylabel=r"$\psi(y)$", ylim=(0, None))
    below.set(xlabel="y", ylabel="density")
    fig.suptitle(title, x=0.01, ha="left")
    return fig


@styled
def label_changes(
    images: ImageSet,
    rows: Sequence[int],
    before: np.ndarray,
    after: np.ndarray,
    classes: Sequence[str],
    *,
    top: int = 4,
    title: str = "",
) -> Figure:
    """Pictures, each over its likeliest classes and the true one (a check): probability before (hollow), after (filled).

    before, after  (n, K) probabilities of the n `rows`, columns in the order of `classes`
    """
    fig, axes = plt.subplots(2, len(rows), figsize=(WIDTH, 3.6), height_ratios=(1, 1.25), squeeze=False)
    longest = 1.05 * float(max(np.max(before), np.max(after)))
    for picture, ax, row, p, q in zip(*axes, rows, before, after):
        picture.imshow(thumbnail(images.image(row), 64))
        picture.axis("off")
        picture.set_title(f"{shorten(images.labels[row], 12)}\n{shorten(images.domains[row], 12)}", fontsize=9)
        _bars(ax, np.asarray(p), np.asarray(q), classes, images.labels[row], top)
        ax.set(xlim=(0, longest), xticks=[0, round(longest / 1.2, 1)])
    axes[1, 0].legend(loc="upper left", bbox_to_anchor=(-0.3, -0.18), ncols=2, fontsize=8)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _bars(ax: Axes, before: np.ndarray, after: np.ndarray, classes: Sequence[str], truth: str, top: int) -> None:
    """Two bars a class: the `top` likeliest before or after, the true one among them, in the order after."""
    is_true = np.array([name == truth for name in classes])
    best = np.argsort(-np.maximum(before, after) - is_true, kind="stable")[:top]
    best = best[np.argsort(-after[best], kind="stable")]
    at = np.arange(len(best))
    colours = [RIGHT if classes[j] == truth else PALETTE[9] for j in best]
    ax.barh(at - 0.2, before[best], 0.36, color="white", ec=colours, lw=1.2, label="before")
    ax.barh(at + 0.2, after[best], 0.4, color=colours, ec=colours, lw=1.2, label="after")
    ax.set_yticks(at, [("✓ " if classes[j] == truth else "") + shorten(classes[j], 9) for j in best], fontsize=8)
    ax.set_ylim(top - 0.5, -0.5)


@styled
def step_curves(
    panels: Mapping[str, Mapping[str, Sequence[float]]], *, across: str, value: str, every: int = 1, title: str = ""
) -> Figure:
    """Values at step 0, `every`, ...: {panel: {curve: values}}, panels side by side on one scale, one legend below."""
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.5), sharey=True, squeeze=False)
    look = looks(list(dict.fromkeys(name for curves in panels.values() for name in curves)))
    for ax, (panel, curves) in zip(axes[0], panels.items()):
        for name, values in curves.items():
            ax.plot(
                every * np.arange(len(values)),
                values,
                color=look[name][0],
                marker=look[name][1],
                ms=4,
                markevery=0.2,
                label=pretty(name),
            )
        ax.set(title=pretty(panel), xlabel=across)
        ax.grid(True)
    axes[0, 0].set_ylabel(value)
    keys = {label: key for ax in axes[0] for key, label in zip(*ax.get_legend_handles_labels())}
    fig.legend(keys.values(), keys, loc="outside lower left", ncols=6)
    fig.suptitle(title, x=0.01, ha="left")
    return fig
