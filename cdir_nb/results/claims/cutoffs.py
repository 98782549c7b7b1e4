"""Claims within one method: its precision falls as the cut-off grows. Each cut-off is compared like a method."""

from typing import TYPE_CHECKING

from cdir_nb.results.claims.claim import Claim

if TYPE_CHECKING:
    import pandas as pd


def within_method(claim: Claim, rows: "pd.DataFrame", name: str = "method") -> tuple[Claim, "pd.DataFrame"]:
    """The claim as a chain of cut-offs, and the rows renamed to match: "UCDIR at 15", "UCDIR at 5", "UCDIR at 1".

    rows  with columns k and `name`; none are left if they have fewer than two of the claim's cut-offs
    Other claims and their rows stay as they are.
    """
    if not claim.falling:
        return claim, rows
    own = rows[(rows[name] == claim.falling) & rows["k"].isin(claim.k)]
    cutoffs = sorted(set(own["k"]), reverse=True)
    if len(cutoffs) < 2:
        return claim, rows.iloc[:0]
    chain = tuple(f"{claim.falling} at {k}" for k in cutoffs)
    renamed = own.assign(**{name: [f"{claim.falling} at {k}" for k in own["k"]], "k": cutoffs[-1]})
    return claim.model_copy(update={"falling": "", "chain": chain, "k": (cutoffs[-1],)}), renamed
