"""What the papers claim about their numbers, and what numbers at hand say to it."""

from cdir_nb.results.claims.claim import Claim, load_claims
from cdir_nb.results.claims.verdicts import published_verdicts, verdicts

__all__ = ["Claim", "load_claims", "published_verdicts", "verdicts"]
