"""Claims within one method: its precision falls as the cut-off grows. Each cut-off is compared like a method."""

from collections.abc import Mapping
from typing import TypeVar

from cdir_nb.results.claims.claim import Claim

Rows = TypeVar("Rows")


def within_method(claim: Claim, found: Mapping[int | None, Rows]) -> tuple[Claim, dict[tuple[str, int], Rows]]:
    """The claim as a chain of cut-offs, and what was `found` at these by (name, smallest cut-off of all).

    The names are "UCDIR at 15", "UCDIR at 5", "UCDIR at 1". Nothing is left, and the claim stays as it is, if fewer
    than two of its cut-offs were found.
    """
    cutoffs = sorted((k for k in claim.k if k in found), reverse=True)
    if len(cutoffs) < 2:
        return claim, {}
    names, k = tuple(f"{claim.falling} at {cutoff}" for cutoff in cutoffs), cutoffs[-1]
    chain = claim.model_copy(update={"falling": "", "chain": names, "k": (k,)})
    return chain, {(name, k): found[cutoff] for name, cutoff in zip(names, cutoffs)}
