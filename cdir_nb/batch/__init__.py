"""Running notebooks in batch: profiles, a strict and resumable runner, executed notebooks as HTML pages."""
