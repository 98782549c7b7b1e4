"""Numbers with their context: records, and tables of them."""

from cdir_nb.results.records import (
    Record,
    config_digest,
    current_commit,
    load_records,
    save_records,
    to_frame,
)
from cdir_nb.results.tables import direction_tables, headline, metric_name

__all__ = [
    "Record",
    "config_digest",
    "current_commit",
    "direction_tables",
    "headline",
    "load_records",
    "metric_name",
    "save_records",
    "to_frame",
]
