"""How far a mean over queries would move with other queries: intervals by drawing again."""

import numpy as np

from cdir_nb.errors import CdirError

DRAWS = 1000


def bootstrap_interval(
    values: np.ndarray, groups: np.ndarray | None = None, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """(low, high): where the mean of (Q,) values lies in `level` of the draws with replacement.

    groups  (Q,) draw whole groups, such as classes, in place of single queries: queries of a class share their fate,
            so intervals over classes are wider, and the honest ones for a claim about other classes
    NaN values stay out. Raises CdirError where no value is left.
    """
    values = np.asarray(values, float)
    defined = ~np.isnan(values)
    if not defined.any():
        raise CdirError("no query has a value: nothing to draw from")
    names = np.arange(len(values)) if groups is None else np.asarray(groups)
    codes = np.unique(names[defined], return_inverse=True)[1]
    sums, sizes = np.bincount(codes, values[defined]), np.bincount(codes)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(DRAWS, len(sums)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return tuple(float(x) for x in np.quantile(means, [(1 - level) / 2, (1 + level) / 2]))
