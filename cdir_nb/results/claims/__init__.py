"""The papers' claims about their numbers, and verdicts on the claims, computed from available numbers."""
