"""Notebooks run in batch: profiles, a strict and resumable runner, and each executed notebook as an HTML page."""
