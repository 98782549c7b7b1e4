"""Figures for learning from text: losses over training, gains by direction, sensitivity, and the Poincaré disc."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from cdir_nb.methods.tki.hyperbolic import exp_map_origin, mobius_add
from cdir_nb.show.style import PALETTE, QUIET, WIDTH, looks, shorten, styled

ARROW = {"arrowstyle": "-|>", "lw": 0.8, "mutation_scale": 7, "shrinkA": 0, "shrinkB": 0}


@styled
def training_curves(history: Sequence[Mapping[str, float]], *, title: str = "") -> Figure:
    """Losses at each step (left, logarithmic), and the cosine between two domains: mean, least and greatest (right)."""
    table = pd.DataFrame(history)
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2))
    for i, name in enumerate(name for name in table.columns if name.startswith("L_")):
        axes[0].plot(
            table[name].clip(lower=1e-4), ls=["-", "--"][i % 2], color=PALETTE[i], label=f"${name[:2]}{{{name[2:]}}}$"
        )
    axes[0].set(yscale="log", xlabel="step", title="losses")
    axes[0].legend()
    axes[1].fill_between(
        table.index,
        table["least cosine"],
        table["greatest cosine"],
        color=PALETTE[4],
        alpha=0.4,
        lw=0,
        label="least to greatest",
    )
    axes[1].plot(table["mean cosine"], color=PALETTE[0], label="mean")
    axes[1].set(xlabel="step", ylim=(-1, 1.02), title="cosine of two domains (“A [DOMAIN] style of”)")
    axes[1].legend(loc="lower left", ncols=2)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


@styled
def gain_map(tables: Mapping[str, pd.DataFrame], *, title: str = "", digits: int = 1) -> Figure:
    """Differences by direction, queries down: blue where better, red where worse, one colour scale around zero."""
    rows, columns = next(iter(tables.values())).shape
    size = (min(WIDTH, 1.6 + len(tables) * (0.6 * columns + 1.2)), max(2.6, 0.34 * rows + 1.9))
    fig, axes = plt.subplots(1, len(tables), figsize=size, squeeze=False)
    top = max(max(np.nanmax(np.abs(t.to_numpy(float))) for t in tables.values()), 1e-9)
    for ax, (name, table) in zip(axes[0], tables.items()):
        ax.set_facecolor("#EDEDED")
        sns.heatmap(
            table.astype(float),
            ax=ax,
            annot=True,
            fmt=f"+.{digits}f",
            cmap="RdBu",
            vmin=-top,
            vmax=top,
            cbar=False,
            linewidths=1,
            linecolor="white",
            annot_kws={"fontsize": 8.5},
            xticklabels=[shorten(x, 14) for x in table.columns],
            yticklabels=[shorten(x, 16) for x in table.index],
        )
        ax.set(title=name, xlabel="gallery domain", ylabel="query domain" if ax is axes[0, 0] else "")
        plt.setp(ax.get_xticklabels(), rotation=35, ha="right", rotation_mode="anchor")
        plt.setp(ax.get_yticklabels(), rotation=0)
        ax.tick_params(length=0)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


@styled
def sensitivity(table: pd.DataFrame, *, value: str, title: str = "", columns: int = 4) -> Figure:
    """Small panels, one a setting: mean over seeds and its range, the default ringed, the baseline dashed.

    table  rows of setting, value, seed, percent, default (bool), vanilla
    """
    names = list(dict.fromkeys(table["setting"]))
    rows = -(-len(names) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(WIDTH, 1.95 * rows + 0.6), sharey=True, squeeze=False)
    for ax, name in zip(axes.flat, names):
        _setting(ax, table[table["setting"] == name])
        ax.set_title(name.replace("_", " "), fontsize=9.5)
        ax.axhline(table["vanilla"].iloc[0], color=QUIET, ls="--", lw=1.1)
    for ax in axes.flat[len(names) :]:
        ax.axis("off")
    plt.setp(axes[:, 0], ylabel=value)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _setting(ax: Axes, table: pd.DataFrame) -> None:
    """One panel, its values side by side in ascending order (numbers), or as they come (texts)."""
    order = sorted(set(table["value"]), key=lambda text: (_number(text) is None, _number(text) or 0.0, str(text)))
    groups = [table[table["value"] == value] for value in order]
    means = np.array([group["percent"].mean() for group in groups])
    spread = [means - [g["percent"].min() for g in groups], [g["percent"].max() for g in groups] - means]
    ax.errorbar(range(len(order)), means, yerr=spread, color=PALETTE[0], marker="o", ms=4, capsize=2, lw=1.2)
    at = next((i for i, group in enumerate(groups) if group["default"].any()), None)
    if at is not None:
        ax.plot(at, means[at], "o", ms=10, mfc="none", mec=PALETTE[1], mew=1.6)
    ax.set_xticks(range(len(order)), [_text(value) for value in order], fontsize=8)
    ax.margins(x=0.15)


def _text(value: object) -> str:
    number = _number(value)
    return shorten(str(value), 9) if number is None or isinstance(value, (bool, np.bool_)) else f"{number:g}"


def _number(text: object) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def flatten(vectors: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) vectors and one (D,) more -> (N, 2) and (2,): directions by the two main axes, lengths as they are."""
    axes = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)[2][:2]

    def flat(rows: np.ndarray) -> np.ndarray:
        shadow, length = rows @ axes.T, np.linalg.norm(rows, axis=-1, keepdims=True)
        return length * shadow / np.linalg.norm(shadow, axis=-1, keepdims=True).clip(1e-12)

    return flat(vectors), flat(bias)


@styled
def poincare_disc(
    vectors: np.ndarray, bias: np.ndarray, labels: Sequence[str], radius: float, *, title: str = ""
) -> Figure:
    """The non-Euclidean layer in two dimensions: tangent plane with v + b (left), disc with exp(v) (+) exp(b) (right).

    vectors (N, 2) tangent vectors W v, bias (2,), labels (N,). Grey: a square grid, and what becomes of it.
    """
    fig, (flat, disc) = plt.subplots(1, 2, figsize=(WIDTH, 4.7))
    v, b = torch.as_tensor(vectors).double(), torch.as_tensor(bias).double()
    points, moved = exp_map_origin(v, radius), exp_map_origin(b, radius)
    reach = 1.1 * float(torch.cat([v, v + b]).abs().max())
    for line in _grid(reach):
        flat.plot(*line.T, color="#DDDDDD", lw=0.7, zorder=0)
        disc.plot(*exp_map_origin(line, radius).T, color="#DDDDDD", lw=0.7, zorder=0)
    disc.add_patch(Circle((0, 0), radius, fill=False, ec="#555555", lw=1.2))
    _arrows(flat, v, v + b, labels)
    _arrows(disc, points, mobius_add(points, moved.expand_as(points), radius), labels)
    for ax, name, limit in (
        (flat, "tangent plane: $u + b$", reach),
        (disc, f"disc of radius {radius:g}: $\\exp(u) \\oplus \\exp(b)$", 1.04 * radius),
    ):
        ax.set(title=name, xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    handles, names = flat.get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=6, markerscale=1.6)
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _grid(reach: float) -> list[torch.Tensor]:
    """Lines of a square grid, each (200, 2)."""
    along = torch.linspace(-reach, reach, 200, dtype=torch.double)
    upright = [torch.stack([torch.full_like(along, float(x)), along], 1) for x in torch.linspace(-reach, reach, 13)]
    return upright + [line.flip(1) for line in upright]


def _arrows(ax: Axes, start: torch.Tensor, end: torch.Tensor, labels: Sequence[str]) -> None:
    """A mark where each point was, coloured by class, and an arrow to where the bias takes it."""
    labels = np.asarray(labels)
    for name, (colour, marker) in looks(list(dict.fromkeys(labels))).items():
        here = np.flatnonzero(labels == name)
        ax.scatter(*start[here].T, s=14, c=colour, marker=marker, lw=0, label=shorten(name, 16), zorder=3)
        for i in here:
            ax.annotate(
                "", xy=end[i].tolist(), xytext=start[i].tolist(), arrowprops={**ARROW, "color": colour}, zorder=2
            )
