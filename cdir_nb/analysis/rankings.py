"""Analyses of rankings: values by direction, class confusions, hubs (images retrieved by many queries)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd


def direction_table(values: Mapping[tuple[str, str], float], domains: Sequence[str]) -> pd.DataFrame:
    """{(query domain, gallery domain): value} -> table, queries as rows, galleries as columns, NaN if missing."""
    table = pd.DataFrame(np.nan, index=list(domains), columns=list(domains))
    for (query, gallery), value in values.items():
        table.loc[query, gallery] = value
    return table.rename_axis(index="query", columns="gallery")


def confusion_table(
    indices: np.ndarray, query_labels: np.ndarray, gallery_labels: np.ndarray, classes: Sequence[str], k: int
) -> pd.DataFrame:
    """Percent of the results in the first k ranks that are of each class: (C query classes, C retrieved classes).

    indices (Q, >=k) gallery rows in order. Rows add up to 100 if every retrieved class is in `classes`; the row of a
    class without queries is NaN. The diagonal is the mean P@k (hits_over_k) of each class, in percent.
    """
    indices = np.asarray(indices)[:, :k]
    found = np.asarray(gallery_labels)[indices]  # (Q, k) class names
    table = pd.DataFrame(np.nan, index=list(classes), columns=list(classes))
    for label in classes:
        own = found[np.asarray(query_labels) == label]
        if len(own):
            table.loc[label] = [100 * np.mean(own == other) for other in classes]
    return table


def top_confusions(table: pd.DataFrame, n: int) -> list[tuple[str, str, float]]:
    """The n largest off-diagonal cells of a confusion table, largest first: (query, retrieved, percent)."""
    cells = [
        (q, g, float(table.loc[q, g])) for q in table.index for g in table.columns if q != g and table.loc[q, g] > 0
    ]
    return sorted(cells, key=lambda cell: (-cell[2], cell[0], cell[1]))[:n]


def k_occurrence(indices: np.ndarray, n_gallery: int, k: int) -> np.ndarray:
    """(G,) int: N_k, the number of queries that have each gallery image in their first k ranks; its mean is Q k / G.

    Radovanović et al., "Hubs in space", JMLR 2010.
    """
    return np.bincount(np.asarray(indices)[:, :k].ravel(), minlength=n_gallery)


def skewness(counts: np.ndarray) -> float:
    """Third standardised moment of N_k: 0 if all images are retrieved equally often, above about 1 with hubs."""
    counts = np.asarray(counts, dtype=float)
    spread = counts.std()
    return float(((counts - counts.mean()) ** 3).mean() / spread**3) if spread else 0.0
