"""The drawn world: deterministic, complete, cached, and colour does not give the class away."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cdir_nb.data import world as package
from cdir_nb.data.manifest import load_card
from cdir_nb.data.world import DOMAINS, PRETRAINING_SEED, SOURCES, draw, drawings, load_world
from cdir_nb.data.world.domains import _left_open
from cdir_nb.data.world.drawing import CANVAS, outline, pose
from cdir_nb.data.world.paint import lit_parts
from cdir_nb.errors import CdirError


@pytest.fixture
def world(fresh_cache):
    return load_world(images_per_class=2)


def test_same_seed_gives_the_same_picture_and_another_seed_another():
    first, again, other = draw("dog", "real", 3, 1), draw("dog", "real", 3, 1), draw("dog", "real", 4, 1)
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert first.size == (64, 64) and first.mode == "RGB"


def test_the_world_is_the_one_of_the_committed_records():
    """Frozen: a change of one drawing would make all records of the world those of another world."""
    pictures = b"".join(draw(label, domain, 0).tobytes() for domain in DOMAINS for label in sorted(drawings()))
    assert hashlib.sha256(pictures).hexdigest()[:12] == "8f081c101140", (
        "a changed drawing, or another version of Pillow"
    )


def test_world_agrees_with_its_card(world):
    card = load_card("world")
    assert set(world.labels) == set(card.classes) == set(drawings())
    assert set(world.domains) == set(card.domains) == set(DOMAINS)
    assert len(world) == 40 * 6 * 2 and len(set(world.keys)) == len(world) == len(set(world.digests))


@pytest.mark.medium
def test_cache_returns_the_same_and_a_damaged_file_is_drawn_again(world, fresh_cache):
    (file,) = (fresh_cache / "world").glob("*.npy")
    assert load_world(images_per_class=2).fingerprint == world.fingerprint
    file.write_bytes(b"not an array")
    assert load_world(images_per_class=2).fingerprint == world.fingerprint


def test_cache_depends_on_every_source_of_the_package():
    folder = Path(package.__file__).parent
    assert set(SOURCES) == {path.name for path in folder.iterdir() if path.suffix in (".py", ".yaml")}


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("label", sorted(drawings()))
def test_every_class_leaves_a_mark_in_every_domain(label, domain):
    pixels = np.asarray(draw(label, domain, 0)).astype(float)
    assert pixels.std() > 10, "an almost empty picture"


@pytest.mark.parametrize("label", sorted(drawings()))
def test_drawings_stay_on_the_canvas(label):
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = np.concatenate([p.points for p in pose(label, rng)])
        assert points.min() >= 0 and points.max() <= CANVAS


def test_closed_shapes_close():
    parts = pose("apple", np.random.default_rng(1))
    assert all(np.allclose(outline(p)[0], outline(p)[-1]) for p in parts if p.closed)


def test_light_stays_on_a_crescent():
    rng = np.random.default_rng(0)
    for _ in range(10):
        (body,) = [part for part in pose("banana", rng) if part.name in ("body", "front")]
        image, inside = Image.new("RGB", (CANVAS, CANVAS), "white"), Image.new("1", (CANVAS, CANVAS))
        lit_parts(image, [body], {body.role: (200, 40, 40)}, np.array([rng.uniform(-1, 1), -1.0]))
        ImageDraw.Draw(inside).polygon([tuple(p) for p in outline(body)], fill=1)
        changed = (np.asarray(image) != 255).any(axis=-1)
        assert len(np.unique(np.asarray(image)[changed], axis=0)) >= 2, "shade and light"
        assert (changed & ~np.asarray(inside)).sum() < 0.02 * changed.sum(), "but for the rounding of edges"


def test_an_outline_left_open_stops_within_its_last_edge():
    square = np.array([[0, 0], [8, 0], [8, 8], [0, 8], [0, 0]], dtype=float)
    for seed in range(20):
        opened = _left_open(square, np.random.default_rng(seed))
        assert np.array_equal(opened[:4], square[:4]) and opened[4, 0] == 0 and 0 <= opened[4, 1] <= 4
    assert np.array_equal(square[4], square[0]), "the outline itself is left alone"


@pytest.mark.medium
def test_mean_colour_says_almost_nothing_about_the_class():
    """Nearest-centroid on mean colour stays near chance: 1/40."""
    labels = sorted(drawings())
    colours = {
        n: [[np.asarray(draw(c, "real", 0, i)).mean((0, 1)) for c in labels] for i in range(*n)]
        for n in [(0, 12), (12, 24)]
    }
    centroids, probes = (np.array(colours[n]) for n in colours)
    distances = np.linalg.norm(probes[:, :, None] - centroids.mean(0)[None, None], axis=-1)
    assert (distances.argmin(-1) == np.arange(40)).mean() < 0.10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw("unicorn", "real", 0), "the world has no class 'unicorn'"),
        (lambda: draw("dog", "photo", 0), "the world has no domain 'photo'"),
        (lambda: load_world(0), "images_per_class is 0"),
        (lambda: load_world(1, classes=("unicorn",)), "no class 'unicorn'"),
        (lambda: load_world(1, PRETRAINING_SEED), "that the tiny CLIP was trained on"),
    ],
)
def test_errors_say_what_and_what_instead(call, message):
    with pytest.raises(CdirError, match=message):
        call()
