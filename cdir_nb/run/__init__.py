"""Running notebooks in batch: profiles, plans, a strict and resumable runner, dask clusters."""
