"""Images that nothing was trained on: other drawings of the world, or what a sample of training images left over."""

import numpy as np
import pytest

from cdir_nb.data import held_out, load_card, load_protocol
from cdir_nb.data.world import load_world
from cdir_nb.methods.two_domains import drawn_rows, training_images
from tests.data.test_protocols import pictures_of

PAIR = ("photo", "sketch")


@pytest.fixture(scope="module")
def closed():
    return load_protocol("pacs-closed", pictures_of("pacs", per_class=5)).between(*PAIR)


def trained_on(task, domains=PAIR, count=0):
    """The training images of a pair of domains; at most `count` of each, 0: all."""
    images = training_images(task, domains)
    return images.take(np.sort(np.concatenate(drawn_rows(images, domains, count, seed=0))))


def keys_of(task) -> set[str]:
    return {key for side in (*task.queries.values(), *task.galleries.values()) for key in side.keys}


def test_a_sample_of_training_images_leaves_the_others(closed):
    trained = trained_on(closed, count=10)
    rest = held_out(closed, trained)
    assert rest.name == "pacs-closed-rest" and rest.directions == closed.directions
    assert keys_of(rest).isdisjoint(trained.keys)
    assert keys_of(rest) | set(trained.keys) == keys_of(closed)


def test_there_are_none_without_images_that_are_left_or_without_training_on_test_classes(closed):
    assert held_out(closed, trained_on(closed)) is None
    dogs = [row for row, key in enumerate(closed.images.keys) if key.startswith("photo/dog/")]
    assert held_out(closed, closed.images.take(dogs)) is None  # a class has no image left
    unseen = load_protocol("pacs-unseen", pictures_of("pacs", per_class=3)).between(*PAIR)
    assert held_out(unseen, trained_on(unseen, count=4)) is None


def test_the_drawn_world_has_drawings_of_another_seed():
    few = load_world(1, classes=load_card("world").class_set("unseen_10"))
    task = load_protocol("world-closed", few).between("clipart", "sketch")
    other = held_out(task, trained_on(task, ("clipart", "sketch")))
    assert other.name == "world-closed-redrawn" and other.directions == task.directions
    digests = [{d for side in t.queries.values() for d in side.digests} for t in (task, other)]
    assert len(digests[1]) == 2 * 10 * 30 and digests[0].isdisjoint(digests[1])


def test_a_part_of_the_world_has_the_pictures_of_the_whole():
    whole, part = load_world(1), load_world(1, classes=("dog", "apple"))
    rows = np.flatnonzero(np.isin(whole.labels, ["dog", "apple"]))
    assert part.keys == tuple(whole.keys[row] for row in rows)
    assert part.digests == tuple(whole.digests[row] for row in rows)
    assert load_world(1).digests == whole.digests  # the part has not taken the whole's place in the cache
