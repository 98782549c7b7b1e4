"""HTML and Markdown pages made from records: the offline report, executed notebooks, pages on claims.

Import from its modules: each notebook's process needs `html` alone, without the libraries of the report.
"""

from cdir_nb.errors import require_extra

require_extra("notebooks", "nbconvert", "nbformat", "jinja2", "latex2mathml", "matplotlib")
