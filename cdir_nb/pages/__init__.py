"""The offline HTML report: one page with all numbers, claims and figures of run folders."""

from cdir_nb.errors import require_extra

require_extra("notebooks", "nbconvert", "nbformat", "jinja2", "latex2mathml", "matplotlib")

from cdir_nb.pages.page import numbers_of, pipeline_test_of, write_report
from cdir_nb.pages.run_folder import read_run

__all__ = ["pipeline_test_of", "numbers_of", "read_run", "write_report"]
