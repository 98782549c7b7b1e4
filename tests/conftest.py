"""Marks by folder, and fixtures for all tests."""

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parents[1] / "shared"
MARKS = {  # the tests of these folders load models, start processes, make reports or open a browser
    "browser": "browser",
    "course": "medium",
    "encoders": "medium",
    "explorer": "medium",
    "notebooks": "medium",
    "pages": "medium",
    "run": "medium",
}


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the mark of its folder."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        if folder in MARKS:
            item.add_marker(MARKS[folder])


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real images, on machines that have it; other machines skip the test."""
    if not SHARED.is_dir():
        pytest.skip("real images (../shared) are not on this machine")
    return SHARED


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache for one test, in place of the user's."""
    monkeypatch.setenv("CDIR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
