"""Old module name, for notebooks; use `cdir_nb.methods.stored`."""

from cdir_nb.methods.stored import find_stored as find_kept  # noqa: F401
from cdir_nb.methods.stored import store as keep  # noqa: F401
