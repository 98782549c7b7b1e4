"""Numbers with their context: records, tables of records, and verdicts on the papers' claims."""

from cdir_nb.results.claims.claim import Claim, load_claims
from cdir_nb.results.claims.printed import published_verdicts
from cdir_nb.results.claims.verdicts import verdicts
from cdir_nb.results.measure import context_of, measure, percent_by_direction
from cdir_nb.results.records import (
    Record,
    config_digest,
    current_commit,
    load_records,
    reproduced_records,
    save_records,
    to_frame,
)
from cdir_nb.results.tables import by_direction, direction_tables, headline, metric_name

__all__ = [
    "Claim",
    "Record",
    "by_direction",
    "config_digest",
    "context_of",
    "current_commit",
    "direction_tables",
    "headline",
    "load_claims",
    "load_records",
    "measure",
    "metric_name",
    "percent_by_direction",
    "published_verdicts",
    "reproduced_records",
    "save_records",
    "to_frame",
    "verdicts",
]
