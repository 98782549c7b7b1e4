"""Batch execution of notebooks: profiles, plans, a resumable runner, dask clusters."""

from cdir_nb.errors import require_extra

require_extra("notebooks", "papermill", "nbformat", "ipykernel")
