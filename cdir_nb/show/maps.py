"""Flat maps of embeddings: t-SNE and UMAP, coloured by class and by domain.

Both keep neighbours near; neither keeps distances, sizes of clumps or gaps between them. Look, then measure.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from cdir_nb.errors import CdirError
from cdir_nb.show.style import WIDTH, looks, shorten, styled

SMALLEST = 10  # points below which neither method has neighbours to speak of


def sample_rows(groups: Sequence[str], n: int, seed: int) -> np.ndarray:
    """At most n row numbers, sorted: an equal share of every group (all of a small one), picked with `seed`.

    groups  (N,) the name of each row's group, for instance "domain/class"
    """
    groups = np.asarray(groups)
    if len(groups) <= n:
        return np.arange(len(groups))
    order = np.random.default_rng(seed).permutation(len(groups))
    _, inverse = np.unique(groups[order], return_inverse=True)
    turn = _turn_within_group(inverse)
    return np.sort(order[np.argsort(turn, kind="stable")[:n]])  # all groups' first rows, then all their second ...


def _turn_within_group(group: np.ndarray) -> np.ndarray:
    """(N,) int: how many earlier rows belong to the same group."""
    turn = np.zeros(len(group), dtype=int)
    for value in np.unique(group):
        member = group == value
        turn[member] = np.arange(member.sum())
    return turn


def project(emb: np.ndarray, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """(N, D) embeddings -> (N, 2) points by cosine; `method`: "tsne" (sklearn) or "umap" (umap-learn).

    The same seed gives the same map on one machine; other machines may turn or fold it. Raises CdirError for
    another method or fewer than 10 rows.
    """
    emb = np.asarray(emb, dtype=np.float32)
    if len(emb) < SMALLEST:
        raise CdirError(f"a map needs at least {SMALLEST} points, got {len(emb)}: raise map_points")
    unit = emb / np.linalg.norm(emb, axis=1, keepdims=True).clip(1e-12)
    if method == "tsne":
        perplexity = min(30, (len(emb) - 1) / 3)
        return TSNE(2, perplexity=perplexity, init="pca", metric="euclidean", random_state=seed).fit_transform(unit)
    if method == "umap":
        from umap import UMAP  # imports numba: some ten seconds, paid only where a map is asked for

        neighbours = min(15, len(emb) - 1)
        return UMAP(n_neighbors=neighbours, min_dist=0.1, metric="cosine", random_state=seed, n_jobs=1).fit_transform(
            unit
        )
    raise CdirError(f'unknown map "{method}": use "tsne" or "umap"')


@styled
def map_figure(
    points: np.ndarray,
    labels: Sequence[str],
    domains: Sequence[str],
    *,
    title: str = "",
    label_order: Sequence[str] | None = None,
    domain_order: Sequence[str] | None = None,
) -> Figure:
    """The same points twice: coloured by class (left) and by domain (right); legends below the maps.

    points (N, 2), labels (N,), domains (N,); the orders (default: sorted) fix colours and legends.
    """
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 5.4))
    _scatter(axes[0], points, np.asarray(labels), label_order, "coloured by class")
    _scatter(axes[1], points, np.asarray(domains), domain_order, "coloured by domain")
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def _scatter(ax: Axes, points: np.ndarray, groups: np.ndarray, order: Sequence[str] | None, title: str) -> None:
    names = [x for x in (order if order is not None else sorted(set(groups))) if x in set(groups)]
    for name, (colour, marker) in looks(names).items():
        here = points[groups == name]
        ax.scatter(*here.T, s=11, c=colour, marker=marker, alpha=0.75, linewidths=0, label=shorten(name, 16))
    ax.set_title(title)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(0, -0.01),
        ncols=3,
        markerscale=1.8,
        handletextpad=0.1,
        columnspacing=0.8,
        borderaxespad=0,
    )
