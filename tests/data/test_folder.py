"""The loader of <root>/<domain>/<class>/<image>: order, names, links, every message about a wrong root."""

import os
import shutil

import pytest
from toy_data import write_card, write_images

from cdir_nb.data import folder as folder_module
from cdir_nb.data import open_dataset, open_folder
from cdir_nb.errors import CdirError

DEAR = "cdir_nb.data.pictures.decode"


def opened(root, **options):
    return open_dataset("toy", root, progress=False, **options)


def message(root, **options) -> str:
    with pytest.raises(CdirError) as caught:
        opened(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_come_in_the_cards_order_under_the_cards_names(toy):
    images = opened(toy)
    assert images.keys[:3] == ("photo/dog/0.png", "photo/dog/1.png", "photo/alarm_clock/0.png")
    assert images.domains.tolist() == ["photo"] * 4 + ["sketch"] * 4
    assert images.labels.tolist() == ["dog", "dog", "alarm_clock", "alarm_clock"] * 2
    assert [images.image(row).getpixel((0, 0))[0] for row in range(8)] == list(range(1, 9))
    assert len(set(images.digests)) == 8


def test_fingerprint_depends_on_content_alone(toy, tmp_path):
    before = opened(toy).fingerprint
    assert opened(shutil.copytree(toy, tmp_path / "copy")).fingerprint == before
    shutil.copy(toy / "Photo/dog/0.png", toy / "Photo/dog/1.png")
    assert opened(toy).fingerprint != before


def test_odd_extensions_links_and_litter(toy, tmp_path):
    (toy / "Photo/dog/0.png").rename(toy / "Photo/dog/0.PNG")
    (toy / "Photo/dog/1.png").rename(toy / "Photo/dog/one")
    (toy / "Sketch/dog").rename(tmp_path / "elsewhere")
    (toy / "Sketch/dog").symlink_to(tmp_path / "elsewhere")
    (toy / "Photo/dog/.hidden").touch()
    (toy / "Photo/dog/Thumbs.db").touch()
    images = opened(toy)
    assert len(images) == 8
    assert {"photo/dog/0.PNG", "photo/dog/one", "sketch/dog/0.png"} <= set(images.keys)


def test_bad_images_are_named_and_skipped_only_by_choice(broken, caplog):
    shutil.rmtree(broken / "Photo/cat")
    shutil.move(broken / "Sketch/alarm_clock/dog", broken / "Sketch/dog")
    text = message(broken)
    assert "4 of 10 images bad" in text and "photo/dog/1.png (zero bytes)" in text and "skip_bad=True" in text
    for name in ("photo/dog/2.JPEG", "photo/alarm_clock/list.txt", "photo/alarm_clock/gone.png"):
        assert f"{name} (unreadable: " in text
    images = opened(broken, skip_bad=True)
    assert len(images) == 6 and "photo/dog/1.png" not in images.keys
    assert "skipped 4 of 10 images (bad): photo/dog/1.png (zero bytes); " in caplog.text


def test_a_damaged_image_stays_bad_at_the_second_opening(toy):
    opened(toy)
    data = (toy / "Photo/dog/0.png").read_bytes()
    (toy / "Photo/dog/0.png").write_bytes(data[:50])
    for _ in range(2):
        assert "photo/dog/0.png (unreadable" in message(toy)


def test_sound_images_are_decoded_only_once(toy, monkeypatch):
    opened(toy)
    monkeypatch.setattr(DEAR, lambda data: pytest.fail("decoded again"))
    assert len(opened(toy)) == 8


def test_unknown_class_folders_are_refused_or_skipped_by_name(toy, caplog):
    write_images(toy, ["Photo"], ["cat"])
    text = message(toy)
    assert "1 folder not in the card: Photo/cat" in text and "skip_unknown=True" in text
    assert len(opened(toy, skip_unknown=True)) == 8
    assert "skipped 1 folder (not in the card): Photo/cat" in caplog.text


def test_wrong_roots(toy, tmp_path):
    layout = "layout: <root>/{Photo,Sketch}/<class>/<image>"
    assert message("") == f"toy needs the folder of its images: pass root; expected {layout}"
    assert "nowhere is not a folder; expected layout of toy" in message(toy / "nowhere")
    assert f"is one level too high: give {toy}, which holds Photo, Sketch" in message(tmp_path)
    assert f"is one level too deep: give {toy}, which holds Photo, Sketch" in message(toy / "Photo")
    shutil.rmtree(toy / "Sketch")
    assert "has no domain folder Sketch; it holds Photo; expected" in message(toy)
    (tmp_path / "empty").mkdir()
    assert "has no domain folder Photo, Sketch; it holds nothing" in message(tmp_path / "empty")


def test_no_image_at_all_or_none_that_is_good(toy):
    for path in toy.glob("*/*/*"):
        path.write_bytes(b"")
    assert "has no images" in message(toy, skip_bad=True)
    for path in toy.glob("*/*/*"):
        path.unlink()
    assert "has no images; expected <root>/<domain>/<class>/<image>" in message(toy)


def test_nested_folders(toy):
    (toy / "Photo/dog").rename(toy / "Photo/alarm_clock/dog")
    text = message(toy)
    assert "alarm_clock/dog is a folder inside a class folder (1 in all)" in text and "one level up" in text


def test_class_folders_one_level_too_deep(toy):
    (toy / "Photo").rename(toy / "train")
    (toy / "Photo").mkdir()
    (toy / "train").rename(toy / "Photo/train")
    text = message(toy, skip_unknown=True)
    assert text.endswith(f"Photo/train holds class folders: move them one level up, into {toy / 'Photo'}")


def test_a_folder_of_ones_own_needs_no_card(tmp_path, fresh_cache):
    write_images(tmp_path / "mine", ["oil", "ink"], ["boat", "barn"])
    images = open_folder(tmp_path / "mine", progress=False)
    assert images.keys[0] == "ink/barn/0.png" and len(images) == 8
    assert set(images.domains) == {"ink", "oil"} and set(images.labels) == {"barn", "boat"}


def test_a_folder_of_ones_own_at_the_wrong_level(tmp_path, fresh_cache):
    write_images(tmp_path / "mine", ["oil", "ink"], ["boat"])
    with pytest.raises(CdirError, match="boat is a folder inside a class folder"):
        open_folder(tmp_path, progress=False)
    inside = open_folder(tmp_path / "mine/oil", progress=False)
    assert set(inside.domains) == {"boat"} and set(inside.labels) == {""}
    with pytest.raises(CdirError, match="none is not a folder"):
        open_folder(tmp_path / "none")


def test_world_takes_no_root(monkeypatch):
    with pytest.raises(CdirError, match="world comes with the workbook and takes no folder"):
        open_dataset("world", "somewhere")


def test_many_files_keep_their_order():
    numbers = list(range(3000))
    assert folder_module.in_threads(lambda n: -n, numbers, "", progress=False) == [-n for n in numbers]


def test_a_class_without_a_folder_is_left_to_verify_and_protocols(toy, manifest):
    write_card(manifest, "wide", classes=["dog", "alarm_clock", "emu"], counts=None)
    assert len(open_dataset("wide", toy, progress=False)) == 8


# --- file systems that are not tidy


def test_a_pipe_among_the_images_is_named_and_does_not_block(toy):
    os.mkfifo(toy / "Photo/dog/pipe.png")
    with pytest.raises(CdirError, match=r"1 of 9 images bad: photo/dog/pipe.png \(unreadable: not a regular file\)"):
        open_dataset("toy", toy, progress=False)
    assert len(open_dataset("toy", toy, skip_bad=True, progress=False)) == 8


def test_links_to_a_folder_above_end_at_once(tmp_path, fresh_cache):
    write_images(tmp_path / "mine")
    for name in ("up", "again"):
        (tmp_path / "mine" / "Photo" / "dog" / name).symlink_to("../..")
    with pytest.raises(CdirError, match="is a folder inside a class folder"):
        open_folder(tmp_path / "mine", progress=False)


def test_names_that_are_no_text_are_escaped(tmp_path, fresh_cache):
    folder = os.fsencode(write_images(tmp_path / "mine"))
    os.rename(folder + b"/Photo/dog/0.png", folder + b"/Photo/dog/caf\xe9\n.png")
    os.rename(folder + b"/Sketch", folder + b"/Sk\xe9tch")
    images = open_folder(tmp_path / "mine", progress=False)
    assert "Photo/dog/caf\\udce9\\n.png" in images.keys and "Sk\\udce9tch" in set(images.domains)
    assert len(images) == 8 and len(images.fingerprint) == 16
    assert all(images.image(row).size == (12, 10) for row in range(8))
    assert all(key.isprintable() for key in images.keys)
