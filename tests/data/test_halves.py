"""The two halves of the real images: what real-clip's pretraining saw, and what is left."""

from collections import Counter

import numpy as np
import pytest

from cdir_nb import paths
from cdir_nb.data import ImageSet, load_card, open_dataset
from cdir_nb.data.halves import HELD_OUT, SEEN, file_id, in_list, listed_keys, photo_id
from cdir_nb.errors import CdirError

DATASETS = ("pacs", "sketchy_mini", "quickdraw25")


def test_names_that_datasets_share():
    assert file_id("sketch/dog/n02103406_1170-6.png") == file_id("x/n02103406_1170-6.jpg") == "n02103406_1170-6"
    assert photo_id("sketch/dog/n02103406_1170-6.png") == photo_id("photo/hound/n02103406_1170.jpg") == "n02103406_1170"
    assert file_id("photo/dog/056_0001.jpg") == photo_id("photo/dog/056_0001") == "photo/dog/056_0001"
    assert file_id("cartoon/dog/pic_001.jpg") != file_id("cartoon/horse/pic_001.jpg")
    assert file_id("quickdraw/t-shirt/5201136883597312") == file_id("doodle/T-shirt/5201136883597312.png")
    assert photo_id("quickdraw/t-shirt/5201136883597312") == "quickdraw/t-shirt/5201136883597312"


@pytest.mark.parametrize("dataset", DATASETS)
def test_halves_are_disjoint_and_make_the_whole(dataset):
    seen, held_out = listed_keys(dataset, SEEN), listed_keys(dataset, HELD_OUT)
    assert not seen & held_out
    counted = Counter(tuple(key.split("/")[:2]) for key in seen | held_out)
    counts = load_card(dataset).counts
    assert counted == {(domain, label): n for domain, row in counts.items() for label, n in row.items()}


def test_no_photo_and_no_sketch_of_it_is_in_both_halves_of_any_dataset():
    seen, held_out = (
        {photo_id(key) if "/" not in file_id(key) else f"{d}/{key}" for d in DATASETS for key in listed_keys(d, half)}
        for half in (SEEN, HELD_OUT)
    )
    assert len(seen) > 5000 and not seen & held_out
    shared = {file_id(key) for half in (SEEN, HELD_OUT) for key in listed_keys("pacs", half)}
    shared &= {file_id(key) for half in (SEEN, HELD_OUT) for key in listed_keys("sketchy_mini", half)}
    assert len(shared) == 236  # 125 sketches and 111 photos, as the data's README says


def test_no_image_of_the_21_unseen_classes_was_seen():
    unseen = {label.lower() for label in load_card("sketchy_extended").class_set("unseen_21")}
    closed = {d: {k for k in listed_keys(d, SEEN) if k.split("/")[1].lower() in unseen} for d in DATASETS}
    assert not closed["sketchy_mini"] and not closed["quickdraw25"]
    assert {key.split("/")[1] for key in closed["pacs"]} == {"giraffe"}
    doodles = {k.split("/")[1].lower() for k in listed_keys("quickdraw25", HELD_OUT)} & unseen
    assert len(doodles) == 16
    sketchy = {photo_id(k) for k in listed_keys("sketchy_mini", HELD_OUT) if k.split("/")[1] == "giraffe"}
    assert not sketchy & {photo_id(key) for key in closed["pacs"]}


def test_every_other_class_of_every_domain_is_in_both_halves():
    for dataset in DATASETS:
        seen, held_out = (
            Counter(tuple(key.split("/")[:2]) for key in listed_keys(dataset, half)) for half in (SEEN, HELD_OUT)
        )
        for cell, count in seen.items():
            assert held_out[cell] >= 6 and count / (count + held_out[cell]) < 0.8, cell


def test_images_of_a_list_whatever_their_extension():
    keys = tuple(f"{key}.{kind}" for key, kind in zip(sorted(listed_keys("pacs", SEEN))[:3], ("jpg", "png", "JPEG")))
    keys = (*keys, "photo/dog/mine.jpg")
    images = ImageSet(keys, *np.array([key.split("/")[:2] for key in keys]).T, lambda key: None, keys)
    assert in_list(images, "pacs", SEEN).keys == keys[:3] and len(in_list(images, "pacs", HELD_OUT)) == 0


def test_a_missing_or_damaged_list(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "MANIFEST", tmp_path)
    with pytest.raises(CdirError, match="pacs/real_clip_seen.txt.gz cannot be read .*: install the package again"):
        listed_keys("pacs", SEEN)
    (tmp_path / "pacs").mkdir()
    (tmp_path / "pacs" / SEEN).write_bytes(b"no gzip")
    with pytest.raises(CdirError, match="cannot be read"):
        listed_keys("pacs", SEEN)


@pytest.mark.parametrize("dataset", ["pacs", "sketchy_mini"])
@pytest.mark.medium
@pytest.mark.slow
def test_the_lists_name_the_files_at_hand(shared, dataset):
    images = open_dataset(dataset, shared / "data" / dataset, progress=False)
    halves = [in_list(images, dataset, half) for half in (SEEN, HELD_OUT)]
    assert sum(map(len, halves)) == len(images)
    digests = [set(half.digests) for half in halves]
    assert not digests[0] & digests[1]
