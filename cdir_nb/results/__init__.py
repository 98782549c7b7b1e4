"""Numbers with their context: records, tables of them, and what they say to the papers' claims."""

from cdir_nb.results.claims.claim import Claim, load_claims
from cdir_nb.results.claims.verdicts import published_verdicts, verdicts
from cdir_nb.results.records import (
    Record,
    config_digest,
    current_commit,
    load_records,
    reproduced_records,
    save_records,
    to_frame,
)
from cdir_nb.results.tables import direction_tables, headline, metric_name

__all__ = [
    "Claim",
    "Record",
    "config_digest",
    "current_commit",
    "direction_tables",
    "headline",
    "load_claims",
    "load_records",
    "metric_name",
    "published_verdicts",
    "reproduced_records",
    "save_records",
    "to_frame",
    "verdicts",
]
