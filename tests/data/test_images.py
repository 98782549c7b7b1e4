"""ImageSet: selecting keeps rows together, and the fingerprint follows the content."""

import numpy as np
import pytest
from PIL import Image

from cdir_nb.data.images import ImageSet


@pytest.fixture
def images() -> ImageSet:
    keys = ("real/dog/1", "real/cat/2", "sketch/dog/3", "sketch/cat/4")
    domains, labels = np.array(["real", "real", "sketch", "sketch"]), np.array(["dog", "cat", "dog", "cat"])
    return ImageSet(keys, domains, labels, lambda key: Image.new("RGB", (int(key[-1]), 1)), ("a", "b", "c", "d"))


def test_select_by_domain_and_class_keeps_order_and_rows_together(images):
    dogs = images.select(labels=["dog"])
    assert dogs.keys == ("real/dog/1", "sketch/dog/3") and dogs.digests == ("a", "c")
    assert dogs.select("sketch").image(0).size == (3, 1)


def test_take_by_index_by_mask_and_nothing(images):
    assert images.take([3, 0]).keys == ("sketch/cat/4", "real/dog/1")
    assert images.take(images.labels == "cat").digests == ("b", "d")
    assert len(images.take([])) == 0 == len(images.select("painting"))


def test_fingerprint_follows_content_label_domain_and_order(images):
    same = ImageSet(images.keys, images.domains, images.labels, images.load, images.digests)
    assert same.fingerprint == images.fingerprint
    changed = ImageSet(images.keys, images.domains, images.labels, images.load, ("a", "b", "c", "e"))
    relabelled = ImageSet(images.keys, images.domains, images.labels[::-1], images.load, images.digests)
    others = {changed.fingerprint, relabelled.fingerprint, images.take([1, 0, 2, 3]).fingerprint}
    assert len(others | {images.fingerprint}) == 4


def test_columns_of_different_length_are_refused(images):
    with pytest.raises(ValueError, match="differ in length"):
        ImageSet(images.keys, images.domains[:2], images.labels, images.load, images.digests)
