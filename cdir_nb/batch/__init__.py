"""Notebooks run in batch: profiles, a strict and resumable runner, and the HTML report."""
