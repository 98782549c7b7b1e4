"""Claims within one method: its precision falls as the cut-off grows. Each cut-off is compared like a method."""

from collections.abc import Mapping
from typing import TypeVar

from cdir_nb.results.claims.claim import Claim

Rows = TypeVar("Rows")


def within_method(claim: Claim, found: Mapping[str, Rows]) -> tuple[Claim, dict[tuple[str, str], Rows]]:
    """The claim as a chain of cut-offs, and what was `found` by metric, now by (name, metric of the smallest cut-off).

    The names are "UCDIR at 15", "UCDIR at 5", "UCDIR at 1". Nothing is left, and the claim stays as it is, if fewer
    than two of its cut-offs were found.
    """
    metrics = sorted((metric for metric in claim.metrics if str(metric) in found), key=lambda metric: -metric.k)
    if len(metrics) < 2:
        return claim, {}
    names, smallest = tuple(f"{claim.falling} at {metric.k}" for metric in metrics), str(metrics[-1])
    chain = claim.model_copy(update={"falling": "", "chain": names, "metric": (smallest,)})
    return chain, {(name, smallest): found[str(metric)] for name, metric in zip(names, metrics)}
