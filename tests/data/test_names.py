"""One rule compares names; near names are read as one and reported; problems of files are one line for each kind."""

import logging
import unicodedata

import pytest
from toy_data import write_images

from cdir_nb.data import load_card, open_dataset, open_folder, verify
from cdir_nb.data.folder import open_any_folder
from cdir_nb.data.manifest import load_cards
from cdir_nb.data.names import grouped, listed, name_key, spellings


@pytest.mark.parametrize("name", ["Alarm Clock", "alarm-clock", "ALARM__CLOCK", "alarmclock", " alarm_clock "])
def test_names_of_one_key(name):
    assert name_key(name) == name_key("alarm_clock") != name_key("alarm_clocks")


def test_unicode_forms_of_a_name_have_one_key():
    composed, decomposed = (unicodedata.normalize(form, "Café_Straße") for form in ("NFC", "NFD"))
    assert composed != decomposed and name_key(composed) == name_key(decomposed) == name_key("CAFÉ STRASSE")


def test_spellings_are_groups_of_different_names():
    assert spellings(["dog", "cat", "Dog", "dog", "d-og", "emu"]) == [["dog", "Dog", "d-og"]]


def test_no_card_has_two_names_of_one_key():
    for card in load_cards():
        assert not spellings(card.classes) and not spellings(card.domains), card.name


def test_long_lists_are_cut_with_a_count():
    assert listed(list("abc")) == "a, b, c" and listed(list("abcdef")) == "a, b, c and 3 more"


def test_problems_are_grouped_by_kind_and_numbers_make_no_kind():
    cut = [(f"{n}.jpg", f"unreadable: image file is truncated ({n} bytes not processed)") for n in range(2)]
    problems = [("a.heic", "HEIC: convert"), *cut, ("b.heic", "HEIC: convert"), ("c.jpg", "zero bytes")]
    assert grouped(problems) == [
        "2 HEIC files: convert (a.heic, b.heic)",
        "2 unreadable files: image file is truncated (… bytes not processed) (0.jpg, 1.jpg)",
        "c.jpg (zero bytes)",
    ]


# --- folders whose names differ in spelling


def test_a_folder_spelt_otherwise_is_read_as_the_card_says_and_reported(toy, caplog):
    expected = open_dataset("toy", toy, progress=False)
    (toy / "Photo").rename(toy / "photo")
    (toy / "photo" / "alarm_clock").rename(toy / "photo" / "Alarm Clock")
    images = open_dataset("toy", toy, progress=False)
    assert images.keys == expected.keys and images.fingerprint == expected.fingerprint
    assert images.digests == expected.digests and images.image(0).size == (12, 10)
    assert "photo: rename it to Photo, photo/Alarm Clock: rename it to alarm_clock" in caplog.text
    report = verify(load_card("toy"), toy, progress=False)
    assert report.respelt == ("photo: rename it to Photo", "photo/Alarm Clock: rename it to alarm_clock")
    assert not (report.missing or report.extra or report.miscounted or report.ok) and report.images["photo"] == 4


def test_two_folders_of_one_name_are_not_mixed(toy):
    write_images(toy, ["Photo"], ["Dog"])
    report = verify(load_card("toy"), toy, progress=False)
    assert report.extra == ("Photo/Dog",) and not report.respelt and report.images["photo"] == 4
    (toy / "Photo" / "dog").rename(toy / "Photo" / "DOG")  # now two could be meant
    report = verify(load_card("toy"), toy, progress=False)
    assert report.missing == ("class Photo/dog",) and report.extra == ("Photo/DOG", "Photo/Dog")


@pytest.mark.parametrize("opened", [open_folder, lambda root, progress: open_any_folder(root, progress=progress)[0]])
def test_classes_of_two_domains_that_differ_in_spelling_are_one(tmp_path, fresh_cache, caplog, opened):
    write_images(tmp_path / "mine", ["ink"], ["alarm_clock", unicodedata.normalize("NFC", "café")])
    write_images(tmp_path / "mine", ["oil"], ["Alarm Clock", unicodedata.normalize("NFD", "café")])
    images = opened(tmp_path / "mine", progress=False)
    assert set(images.labels) == {"alarm_clock", unicodedata.normalize("NFC", "café")} and len(images) == 8
    assert "'Alarm Clock' as 'alarm_clock'" in caplog.text
    assert images.image(7).size == (12, 10)


def test_names_of_one_domain_stay_apart_and_are_reported(tmp_path, fresh_cache, caplog):
    write_images(tmp_path / "mine", ["ink"], ["Polish", "polish"])
    assert set(open_folder(tmp_path / "mine", progress=False).labels) == {"Polish", "polish"}
    assert "Polish and polish differ only in spelling" in caplog.text


def test_classes_that_a_domain_lacks_are_reported_once(tmp_path, fresh_cache, caplog):
    write_images(tmp_path / "mine", ["ink"], ["boat", "barn", "bee", "bird", "bus"])
    write_images(tmp_path / "mine", ["oil"], ["boat", "tree"])
    with caplog.at_level(logging.WARNING):
        open_folder(tmp_path / "mine", progress=False)
    (line,) = [record.getMessage() for record in caplog.records if "not in every domain" in record.getMessage()]
    assert "5 of 6 classes" in line and "barn: not in oil" in line and "and 2 more" in line
