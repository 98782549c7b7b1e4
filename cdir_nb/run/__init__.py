"""Running notebooks in batch: profiles, a strict and resumable runner, executed notebooks as HTML pages."""

import sys

from cdir_nb.errors import require_extra

require_extra("notebooks", "papermill", "nbformat", "ipykernel")

# nbformat imports jsonschema, which compiles 38 grammars for international addresses on import, if this package is
# there: two seconds and a half in each process of a run. Notebooks have none of these.
sys.modules.setdefault("rfc3987_syntax", None)
