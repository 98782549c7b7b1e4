"""Running notebooks in batch: profiles, plans, a strict and resumable runner, dask clusters."""

from cdir_nb.errors import require_extra

require_extra("notebooks", "papermill", "nbformat", "ipykernel")
