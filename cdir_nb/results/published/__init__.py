"""The papers' published numbers: every cell of their tables, with the context needed to compare it with ours.

`<paper>_table<N>.csv` has a table as printed, so that it can be checked by eye; `<paper>.yaml` says what its columns
mean, how certain that is, which printed numbers contradict each other, and which cells are unreadable in our scan.
"""

from cdir_nb.results.published.reader import (
    load_paper,
    misprints,
    own_method,
    papers,
    published,
    published_frame,
    recomputed_averages,
    tables,
    wide,
)

__all__ = [
    "load_paper",
    "misprints",
    "own_method",
    "papers",
    "published",
    "published_frame",
    "recomputed_averages",
    "tables",
    "wide",
]
