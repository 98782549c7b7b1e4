"""Bootstrap intervals: how much a mean over queries would vary with other queries."""

import numpy as np

from cdir_nb.errors import CdirError

DRAWS = 1000


def bootstrap_interval(
    values: np.ndarray, groups: np.ndarray | None = None, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """(low, high): percentile bootstrap interval of the mean of (Q,) values, at confidence `level`.

    groups  (Q,) resample whole groups, such as classes, instead of single queries: queries of one class are
            correlated, so intervals over classes are wider, and they are the right ones for a claim about new classes
    NaN values are ignored. Raises CdirError if all values are NaN.
    """
    values = np.asarray(values, float)
    defined = ~np.isnan(values)
    if not defined.any():
        raise CdirError("no query has a value, so there is no interval: check labels and convention")
    names = np.arange(len(values)) if groups is None else np.asarray(groups)
    codes = np.unique(names[defined], return_inverse=True)[1]
    sums, sizes = np.bincount(codes, values[defined]), np.bincount(codes)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(DRAWS, len(sums)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return tuple(float(x) for x in np.quantile(means, [(1 - level) / 2, (1 + level) / 2]))
