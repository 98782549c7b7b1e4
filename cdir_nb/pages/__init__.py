"""HTML and Markdown pages made from records: the offline report, executed notebooks, pages on claims."""

from cdir_nb.errors import require_extra

require_extra("notebooks", "nbconvert", "nbformat", "jinja2", "latex2mathml", "matplotlib")

from cdir_nb.pages.page import write_report
from cdir_nb.pages.run_folder import read_run

__all__ = ["read_run", "write_report"]
