"""Changed pictures: the change is made, rows stay, and no cache can take them for the originals."""

import numpy as np
import pytest
from PIL import Image

from cdir_nb.data.derived import altered, cut_to_strip, inverted
from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError


@pytest.fixture
def images() -> ImageSet:
    labels = np.array(["cat", "dog"])
    return ImageSet(("s/cat/1", "s/dog/2"), np.array(["s", "s"]), labels, picture, ("a", "b"))


def picture(key: str) -> Image.Image:
    """24 x 24; the red value of a pixel is its row."""
    rows = np.zeros((24, 24, 3), np.uint8)
    rows[..., 0] = np.arange(24)[:, None]
    return Image.fromarray(rows)


def test_a_change_reaches_the_pictures_of_any_subset_and_rows_stay(images):
    strips = altered(images, cut_to_strip, "4:3")
    assert strips.keys == images.keys and strips.labels.tolist() == ["cat", "dog"]
    assert strips.select(labels=["dog"]).image(0).size == (24, 18)
    assert images.image(0).size == (24, 24)


def test_the_strip_is_the_middle_of_the_height(images):
    red = np.asarray(altered(images, cut_to_strip, "4:3").image(0))[:, 0, 0]
    assert red.tolist() == list(range(3, 21))


def test_inverting_twice_gives_the_picture_back(images):
    once = altered(images, inverted, "inverted")
    assert np.asarray(once.image(0)).max() == 255 and (np.asarray(once.image(0))[..., 1] == 255).all()
    twice = altered(once, inverted, "again")
    assert (np.asarray(twice.image(1)) == np.asarray(images.image(1))).all()


def test_digests_tell_pictures_and_changes_apart(images):
    one, other = altered(images, inverted, "inverted"), altered(images, cut_to_strip, "4:3")
    assert len({*images.digests, *one.digests, *other.digests}) == 6
    assert one.digests == altered(images, inverted, "inverted").digests
    with pytest.raises(CdirError, match="needs a name"):
        altered(images, inverted, "")
