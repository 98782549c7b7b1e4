"""Fixtures of the tests of ranking."""

import pytest

from cdir_nb.retrieval import blocks


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that every path is walked: many query blocks, many gallery blocks, halving."""
    monkeypatch.setattr(blocks, "QUERY_ROWS", 7)
    monkeypatch.setattr(blocks, "GALLERY_ROWS", 32)
    monkeypatch.setattr(blocks, "MOST_CANDIDATES", 50)
