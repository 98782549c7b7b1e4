"""Numbers with their context: records, tables of records, and verdicts on the papers' claims."""

from cdir_nb.results.claims.claim import Claim, load_claims
from cdir_nb.results.claims.verdicts import published_verdicts, verdicts
from cdir_nb.results.files import load_records, reproduced_records, save_records, save_table
from cdir_nb.results.measure import about_images, context_of, measure, measure_references, percent_by_direction
from cdir_nb.results.records import Record, current_commit, settings_digest, to_frame
from cdir_nb.results.significance import Comparison, compare
from cdir_nb.results.tables import by_direction, direction_tables, headline

__all__ = [
    "Claim",
    "Comparison",
    "Record",
    "about_images",
    "by_direction",
    "compare",
    "context_of",
    "current_commit",
    "direction_tables",
    "headline",
    "load_claims",
    "load_records",
    "measure",
    "measure_references",
    "percent_by_direction",
    "published_verdicts",
    "reproduced_records",
    "save_records",
    "save_table",
    "settings_digest",
    "to_frame",
    "verdicts",
]
