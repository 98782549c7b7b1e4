"""The papers' claims about their numbers, and verdicts on the claims, computed from available numbers."""

from cdir_nb.results.claims.claim import Claim, load_claims
from cdir_nb.results.claims.verdicts import published_verdicts, verdicts

__all__ = ["Claim", "load_claims", "published_verdicts", "verdicts"]
