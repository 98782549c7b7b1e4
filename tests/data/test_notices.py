"""Copies, blank images and long images are found by their pixels, whatever the file format."""

import shutil

import numpy as np
import pytest
from PIL import Image
from toy_data import write_card

from cdir_nb.data import ImageSet, combine, copies, load_card, open_folder, own_rows, verify
from cdir_nb.data.folder import open_any_folder
from cdir_nb.data.notices import copy_notices, look_notices


def noise(seed: int, size=(16, 12)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


@pytest.fixture
def mine(tmp_path, fresh_cache):
    """Four images of one class, of which one is there three times and once as another class."""
    root = tmp_path / "mine"
    for label, names in {
        "banana": ["0.png", "1.png", "0_copy.png", "0_copy.bmp"],
        "tree": ["9.png", "0_wrong.png"],
    }.items():
        (root / "photo" / label).mkdir(parents=True)
        for name in names:
            noise(int(name[0])).save(root / "photo" / label / name)
    return root


def test_copies_in_other_formats_and_classes_are_found(mine):
    images, _ = open_any_folder(mine, progress=False)
    (rows,) = copies(images)
    keys = ["photo/banana/0.png", "photo/banana/0_copy.bmp", "photo/banana/0_copy.png", "photo/tree/0_wrong.png"]
    assert [images.keys[row] for row in rows] == keys
    (line,) = copy_notices(images)
    assert "4 files are the same picture (photo/banana/0.png, " in line and "1 of them in two classes" in line
    assert copy_notices(images.select(labels=["tree"])) == []
    assert [len(rows) for rows in own_rows(images, images)] == [4, 4, 4, 1, 4, 1]
    twice = combine(images.take([0]), images.take([1]))
    assert len(copies(twice)) == 1


def test_looks_are_of_the_first_opening_and_of_the_second(mine):
    first, second = (open_folder(mine, progress=False) for _ in range(2))
    assert first.looks == second.looks and len(first.looks) == 4  # of six files, two have the bytes of another


def test_blank_and_long_images_are_reported_in_one_line_each(mine, caplog):
    for name, image in (("white", Image.new("RGB", (9, 9), "white")), ("clear", Image.new("RGBA", (9, 9)))):
        image.save(mine / "photo" / "tree" / f"{name}.png")
    noise(5, (50, 10)).save(mine / "photo" / "tree" / "wide.png")
    noise(6, (10, 50)).save(mine / "photo" / "tree" / "high.png")
    noise(7, (20, 10)).save(mine / "photo" / "tree" / "twice.png")
    images = open_folder(mine, progress=False)
    blank, long = look_notices(images)
    assert blank.startswith("2 images are blank") and "tree/clear.png" in blank and "tree/white.png" in blank
    assert long.startswith("2 images are more than twice as wide as high") and "pad=true" in long
    assert look_notices(images, cropped=False) == [blank]
    assert [sum(line in record.getMessage() for record in caplog.records) for line in (blank, long)] == [1, 1]


def test_images_that_are_not_files_have_no_look():
    images = ImageSet(("a", "b"), np.array(["x"] * 2), np.array(["y"] * 2), lambda key: noise(0), ("1", "1"))
    assert look_notices(images) == [] and len(copies(images)) == 1


# --- verify


def test_verify_names_copies_with_what_they_mix(toy):
    shutil.copy(toy / "Photo/dog/0.png", toy / "Photo/alarm_clock/stray.png")  # dog is for training
    shutil.copy(toy / "Photo/dog/0.png", toy / "Photo/dog/twice.png")
    shutil.copy(toy / "Photo/dog/1.png", toy / "Sketch/dog/stray.png")
    report = verify(load_card("toy"), toy, progress=False)
    assert report.same == (
        "Photo/dog/0.png, Photo/dog/twice.png, Photo/alarm_clock/stray.png (two classes, training and test)",
        "Photo/dog/1.png, Sketch/dog/stray.png (two domains)",
    )
    assert f"same picture: {report.same[0]}" in report.lines()


def test_copies_that_mix_nothing_and_blank_images_do_not_make_a_folder_wrong(toy):
    shutil.copy(toy / "Photo/dog/0.png", toy / "Photo/dog/1.png")
    Image.new("RGB", (9, 9)).save(toy / "Sketch/dog/0.png")
    report = verify(load_card("toy"), toy, progress=False)
    assert report.ok and report.same == ("Photo/dog/0.png, Photo/dog/1.png",) and report.blank == ("Sketch/dog/0.png",)


def test_long_lists_of_verify_are_cut(toy, manifest):
    write_card(manifest, "wide", classes=["dog", "alarm_clock", *(f"c{n}" for n in range(300))], counts=None)
    report = verify(load_card("wide"), toy, progress=False)
    lines = report.lines()
    assert len(report.missing) == 600 and len(lines) < 20 and "  and 590 more" in lines
