"""Claims within one method: its precision falls as the cut-off grows. Each cut-off is compared like a method."""

from collections.abc import Collection

from cdir_nb.results.claims.claim import Claim


def named_at(method: str, k: int) -> str:
    """A method's numbers at one cut-off, as the name of a method: "UCDIR at 15"."""
    return f"{method} at {k}"


def cutoffs_of(claim: Claim, found: Collection[int | None]) -> list[int]:
    """The cut-offs of a claim within one method that were `found`, largest first; none if fewer than two were."""
    cutoffs = sorted((k for k in claim.k if k in found), reverse=True)
    return cutoffs if len(cutoffs) > 1 else []


def as_chain(claim: Claim, cutoffs: list[int]) -> Claim:
    """The claim as a chain of at least two cut-offs, largest first; all numbers stand under the smallest of them."""
    names = tuple(named_at(claim.falling, k) for k in cutoffs)
    return claim.model_copy(update={"falling": "", "chain": names, "k": (cutoffs[-1],)})
