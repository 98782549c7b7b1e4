"""Verify: every kind of defect is listed, all in one run, and nothing else is."""

import os

import pytest
from toy_data import drawing, write_card, write_images

from cdir_nb.data import load_card, verify
from cdir_nb.errors import CdirError


def checked(root, name="toy"):
    return verify(load_card(name), root, progress=False)


def test_a_sound_folder_is_ok(toy):
    report = checked(toy)
    assert report.ok and report.images == {"photo": 4, "sketch": 4}
    assert report.lines() == [f"toy in {toy}: 8 images (photo 4, sketch 4)", "ok"]


def test_every_defect_is_listed_in_one_run(broken):
    report = checked(broken)
    assert not report.ok and report.missing == ("class Sketch/dog",)
    strays = ("Photo/alarm_clock/list.txt", "Photo/cat", "Photo/readme.md", "Sketch/alarm_clock/dog", "notes")
    assert report.extra == strays
    assert report.zero_byte == ("Photo/dog/1.png",)
    assert [line.split(":")[0] for line in report.unreadable] == ["Photo/dog/2.JPEG", "Photo/alarm_clock/gone.png"]
    assert report.miscounted == (
        "photo/dog: 3 files, expected 2",
        "photo/alarm_clock: 3 files, expected 2",
        "photo: 6 files, expected 4",
        "sketch/alarm_clock: 1 files, expected 2",
        "sketch: 1 files, expected 4",
    )
    lines = str(report).splitlines()
    assert {"  class Sketch/dog", "  Photo/cat", "unreadable files: 2", "wrong counts: 5", "NOT ok"} <= set(lines)


def test_a_missing_domain_is_listed_and_the_others_are_still_checked(toy):
    (toy / "Sketch").rename(toy / "sketches")
    (toy / "Photo/dog/0.png").write_bytes(b"")
    report = checked(toy)
    assert report.missing == ("domain Sketch",) and report.extra == ("sketches",)
    assert report.zero_byte == ("Photo/dog/0.png",)
    assert not report.ok  # though nothing is unreadable


def test_wrong_roots_are_errors_with_the_remedy(toy, tmp_path):
    with pytest.raises(CdirError, match=f"one level too high: give {toy}"):
        checked(tmp_path)
    with pytest.raises(CdirError, match="needs the folder of its images"):
        checked("")


def test_unknown_counts_are_said_to_be_unchecked(toy, manifest):
    domains = {"photo": {"folder": "Photo", "word": "photo", "total": None, "known": "unknown"}}
    write_card(manifest, "vague", domains=domains, counts=None, protocols=None)
    report = checked(toy, "vague")
    assert report.unchecked == ("total of photo (not in the card)", "counts of 2 classes of photo (not in the card)")
    assert report.miscounted == ()


def test_drawings(tmp_path, manifest):
    domains = {"quickdraw": {"word": "quickdraw", "total": 8, "known": "made here"}}
    classes = ["dog", "alarm_clock", "emu", "owl"]
    write_card(
        manifest, "ink", kind="ndjson", domains=domains, classes=classes, counts=2, class_sets=None, protocols=None
    )
    root = tmp_path / "ink"
    root.mkdir()
    (root / "alarm clock.ndjson").write_text(drawing("1") + "\n" + drawing("2") + "\n")
    (root / "dog.ndjson").write_text("\n".join([drawing("1"), "{cut", drawing("3")]))
    (root / "owl.ndjson").touch()
    (root / "zigzag.ndjson").write_text(drawing("1"))
    report = checked(root, "ink")
    assert report.missing == ("class emu",) and report.extra == ("zigzag.ndjson",)
    assert report.zero_byte == ("owl.ndjson",)
    assert report.unreadable[0].startswith("dog.ndjson line 2 (unreadable: ")
    assert "quickdraw/dog: 3 files, expected 2" in report.miscounted


def test_parts_are_verified_each_against_its_own_card(toy, tmp_path, manifest):
    write_card(manifest, "both", kind="combined", parts={"toy": {}}, counts=None, protocols=None)
    assert checked(tmp_path, "both").ok
    write_images(toy, ["Photo"], ["cat"])
    assert checked(tmp_path, "both").extra == ("toy: Photo/cat",)


def test_a_bundled_dataset_has_nothing_to_verify():
    with pytest.raises(CdirError, match="world comes with the workbook: it has no folder"):
        checked("anywhere", "world")


def test_a_report_has_one_printable_line_for_each_problem(toy):
    os.rename(os.fsencode(toy) + b"/Photo/dog/0.png", os.fsencode(toy) + b"/Photo/dog/a\nb\x1b[2J\xff.png")
    (toy / "Photo" / "dog" / "a\nb\x1b[2J\udcff.png").write_bytes(b"cut")
    lines = verify(load_card("toy"), toy, progress=False).lines()
    assert all(line.isprintable() for line in lines)
    assert "  Photo/dog/a\\nb\\x1b[2J\\udcff.png (unreadable: not an image" in "\n".join(lines)
