"""Fixtures for the tests of data: a manifest of the test's own, tiny datasets sound and broken."""

from pathlib import Path

import pytest
from toy_data import write_card, write_images

from cdir_nb import paths


@pytest.fixture
def manifest(tmp_path, monkeypatch, fresh_cache) -> Path:
    """A manifest that holds only the toy card."""
    monkeypatch.setattr(paths, "MANIFEST", tmp_path / "data_manifest")
    write_card(paths.MANIFEST)
    return paths.MANIFEST


@pytest.fixture
def toy(tmp_path, manifest) -> Path:
    """A sound folder for the toy card: 2 domains x 2 classes x 2 images."""
    return write_images(tmp_path / "toy")


@pytest.fixture
def broken(toy) -> Path:
    """The toy folder with one of every defect."""
    whole = (toy / "Photo/dog/0.png").read_bytes()
    (toy / "Photo/dog/1.png").write_bytes(b"")  # zero bytes
    (toy / "Photo/dog/2.JPEG").write_bytes(whole[:50])  # cut short, and one too many
    (toy / "Sketch/alarm_clock/1.png").unlink()  # one too few
    (toy / "Photo/alarm_clock/list.txt").write_text("0.png")  # no image
    (toy / "Photo/alarm_clock/gone.png").symlink_to(toy / "nowhere.png")  # broken link
    (toy / "Photo/cat").mkdir()  # no class of the card
    (toy / "Photo/cat/0.png").write_bytes(whole)
    (toy / "Photo/readme.md").write_text("?")
    (toy / "notes").mkdir()
    (toy / "Photo/dog/.DS_Store").write_text("litter")
    (toy / "Photo/dog/Thumbs.db").write_text("litter")
    (toy / "Sketch/dog").rename(toy / "Sketch/alarm_clock/dog")  # class folder nested in another, so missing
    return toy
