"""ImageSet: selecting keeps rows together, the fingerprint follows the content, sets made of others stay whole."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from toy_data import write_images

from cdir_nb.data import open_folder
from cdir_nb.data.images import (
    ImageSet,
    altered,
    combine,
    copies,
    credit_line,
    cut_to_strip,
    inverted,
    own_rows,
    rename,
)
from cdir_nb.errors import CdirError


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


def test_copies_and_own_rows_are_found_by_content_not_by_name_or_class(images):
    twice = ImageSet(images.keys, images.domains, images.labels, images.load, ("a", "b", "b", "a"))
    assert [rows.tolist() for rows in copies(twice)] == [[0, 3], [1, 2]]
    assert copies(images) == []
    assert [rows.tolist() for rows in own_rows(images, twice)] == [[0, 3], [1, 2], [], []]
    assert [rows.tolist() for rows in own_rows(twice.take([1]), twice.take([3, 2, 0, 1]))] == [[1, 3]]


def test_columns_of_different_length_are_refused(images):
    with pytest.raises(ValueError, match="differ in length"):
        ImageSet(images.keys, images.domains[:2], images.labels, images.load, images.digests)


def test_combined_sets_keep_rows_and_load_from_where_they_came(tmp_path, fresh_cache):
    first = open_folder(write_images(tmp_path / "a", ["photo"], ["hot-dog"]), progress=False)
    second = open_folder(write_images(tmp_path / "b", ["ink"], ["hot_dog"], per_class=3), progress=False)
    both = combine(rename(first, {"hot-dog": "hot_dog"}), second)
    assert both.labels.tolist() == ["hot_dog"] * 5 and both.domains.tolist() == ["photo"] * 2 + ["ink"] * 3
    assert both.digests == first.digests + second.digests
    assert both.keys[0] == "photo/hot-dog/0.png"
    assert both.image(1).tobytes() == first.image(1).tobytes() and both.image(4).tobytes() == second.image(2).tobytes()
    with pytest.raises(CdirError, match="photo/hot-dog/0.png is in two of the sets"):
        combine(first, second, first)


@pytest.fixture
def pair() -> ImageSet:
    labels = np.array(["cat", "dog"])
    return ImageSet(("s/cat/1", "s/dog/2"), np.array(["s", "s"]), labels, picture, ("a", "b"))


def picture(key: str) -> Image.Image:
    """24 x 24; the red value of a pixel is its row."""
    rows = np.zeros((24, 24, 3), np.uint8)
    rows[..., 0] = np.arange(24)[:, None]
    return Image.fromarray(rows)


def test_a_change_reaches_the_pictures_of_any_subset_and_rows_stay(pair):
    strips = altered(pair, cut_to_strip, "4:3")
    assert strips.keys == pair.keys and strips.labels.tolist() == ["cat", "dog"]
    assert strips.select(labels=["dog"]).image(0).size == (24, 18)
    assert pair.image(0).size == (24, 24)


def test_the_strip_is_the_middle_of_the_height(pair):
    red = np.asarray(altered(pair, cut_to_strip, "4:3").image(0))[:, 0, 0]
    assert red.tolist() == list(range(3, 21))


def test_inverting_twice_gives_the_picture_back(pair):
    once = altered(pair, inverted, "inverted")
    assert np.asarray(once.image(0)).max() == 255 and (np.asarray(once.image(0))[..., 1] == 255).all()
    twice = altered(once, inverted, "again")
    assert (np.asarray(twice.image(1)) == np.asarray(pair.image(1))).all()


def test_digests_tell_pictures_and_changes_apart(pair):
    one, other = altered(pair, inverted, "inverted"), altered(pair, cut_to_strip, "4:3")
    assert len({*pair.digests, *one.digests, *other.digests}) == 6
    assert one.digests == altered(pair, inverted, "inverted").digests
    with pytest.raises(CdirError, match="name is empty"):
        altered(pair, inverted, "")


def test_credits_follow_the_images(pair):
    images = replace(pair, credits={"s": "Ann", "t": "Ben"})
    other = ImageSet(("u/cat/1",), np.array(["u"]), np.array(["cat"]), pair.load, ("z",), credits={"u": "Eve"})
    derived = [images.take([1]), rename(images, {"cat": "lion"}), altered(images, inverted, "inverted")]
    assert [credit_line(part) for part in derived] == ["Pictures: Ann"] * 3  # no image is of t
    assert credit_line(combine(images, other)) == credit_line(images, other) == "Pictures: Ann; Eve"
    assert credit_line(pair) == credit_line(images.take([])) == ""


def test_a_set_prints_as_one_line():
    images = ImageSet(("a", "b"), np.array(["x", "y"]), np.array(["c", "c"]), lambda key: None, ("1", "2"))
    assert repr(images) == "ImageSet(2 images, domains ['x', 'y'])"
