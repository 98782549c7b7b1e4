"""Fixtures for all tests: caches and runs in a temporary folder, real images where they are at hand."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real images for development and CI; users don't have it."""
    if not SHARED.is_dir():
        pytest.skip("real images (../shared) are not on this machine")
    return SHARED


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of this test's own, in place of the user's."""
    monkeypatch.setenv("CDIR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
