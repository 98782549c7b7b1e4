"""The bundled doodles: people's own drawings, complete, attributed, and never mixed up with the drawn quickdraw."""

import json
from collections import Counter

import numpy as np
import pytest

from cdir_nb import paths
from cdir_nb.data import ImageSet, load_card, open_dataset
from cdir_nb.data.manifest import is_bundled
from cdir_nb.errors import CdirError

FOLDER = paths.MANIFEST / "doodles"
DIRECTIONS = {(a, b) for other in ("clipart", "sketch", "real") for a, b in [("doodle", other), (other, "doodle")]}


@pytest.fixture(scope="module")
def doodles() -> ImageSet:
    return open_dataset("doodles", progress=False)


@pytest.fixture
def both(monkeypatch, doodles) -> ImageSet:
    """world_doodle with two images per class of the drawn domains, so that little is drawn."""
    from cdir_nb.data import world

    few = world.load_world(2)
    monkeypatch.setattr(world, "load_world", lambda images_per_class, seed: few)
    return open_dataset("world_doodle", progress=False)


def test_the_doodles_agree_with_their_card(doodles):
    card = load_card("doodles")
    assert set(doodles.domains) == {"doodle"} == set(card.domains)
    assert Counter(doodles.labels.tolist()) == card.counts["doodle"] == dict.fromkeys(card.classes, 25)
    assert len(set(doodles.keys)) == len(doodles) == 975
    assert set(load_card("world").classes) - set(card.classes) == {"person"}


def test_a_doodle_is_black_strokes_on_white(doodles):
    for row in range(0, len(doodles), 100):
        picture = doodles.image(row)
        pixels = np.asarray(picture)
        assert picture.mode == "RGB" and pixels.min() == 0 and 0.5 < (pixels == 255).mean() < 0.99


def test_they_are_small_attributed_and_carry_nothing_but_strokes():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1e6
    note = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    words = ("The Quick, Draw! Dataset", "Google Creative Lab", "creativecommons.org/licenses/by/4.0", "Changes:")
    assert all(word in note for word in words)
    assert all("CC BY 4.0" in load_card(name).licence for name in ("doodles", "world_doodle"))
    lines = [json.loads(line) for path in FOLDER.rglob("*.ndjson") for line in path.read_text().splitlines()]
    assert {frozenset(line) for line in lines} == {frozenset({"word", "key_id", "drawing"})}


def test_strokes_are_those_of_the_source(shared):
    """Held against the full files, which stand outside of the repository."""
    for path in sorted((FOLDER / "drawings").glob("*.ndjson")):
        source = (shared / "data" / "quickdraw25" / path.name).read_text().splitlines()
        kept = [json.loads(line) for line in path.read_text().splitlines()]
        assert [(r["key_id"], r["drawing"]) for r in kept] == [
            (r["key_id"], r["drawing"]) for r in map(json.loads, source)
        ]


@pytest.mark.medium
def test_together_with_the_world_in_seven_domains(both, doodles):
    card = load_card("world_doodle")
    assert list(dict.fromkeys(both.domains)) == list(card.domains)
    assert set(both.labels) == set(card.classes) and len(both) == 39 * 6 * 2 + 975
    people = both.select("doodle")
    assert people.keys == doodles.keys and people.digests == doodles.digests
    assert not set(people.digests) & set(both.select("quickdraw").digests)
    assert both.image(len(both) - 1).tobytes() == doodles.image(len(doodles) - 1).tobytes()
    assert both.image(0).size == (64, 64)


def test_counts_of_the_combined_card_are_those_of_its_parts():
    counts, world, doodles = (load_card(name).counts for name in ("world_doodle", "world", "doodles"))
    classes = load_card("doodles").classes
    assert counts == {d: {c: n[c] for c in classes} for d, n in {**world, **doodles}.items()}
    assert load_card("world_doodle").class_set("unseen_10") == load_card("world").class_set("unseen_10")


def test_bundled_sets_take_no_folder():
    names = ("world", "doodles", "world_doodle", "pacs", "sketchy_quickdraw")
    assert [is_bundled(load_card(name)) for name in names] == [True, True, True, False, False]
    for name in ("doodles", "world_doodle"):
        with pytest.raises(CdirError, match=f"{name} comes with the workbook and takes no folder: leave root"):
            open_dataset(name, "somewhere")
    with pytest.raises(CdirError, match="sketchy_quickdraw needs the folder of its images"):
        open_dataset("sketchy_quickdraw")
