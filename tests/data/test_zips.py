"""Images in zip files are read as those in folders: same keys, classes and digests; bad zips are one-line errors."""

import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from toy_data import write_card, write_images

from cdir_nb.data import load_card, open_dataset, open_folder, verify
from cdir_nb.data.folder import open_any_folder
from cdir_nb.errors import CdirError


def pack(folder, *, prefix="", into=None, compression=zipfile.ZIP_STORED):
    """Move a folder into <folder>.zip (or `into`); `prefix` comes before every name in it."""
    target = into or folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", compression) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, prefix + path.relative_to(folder).as_posix())
    shutil.rmtree(folder)
    return target


def columns(images):
    return images.keys, images.domains.tolist(), images.labels.tolist(), images.digests


@pytest.fixture
def mine(tmp_path, fresh_cache):
    """Two domains, two classes, two images of each."""
    return write_images(tmp_path / "mine", ["oil", "ink"], ["boat", "barn"])


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("prefix", ["", "ink/"])  # with it, the zip holds one folder, as file browsers pack it
def test_a_domain_in_a_zip_is_read_as_its_folder(mine, prefix, compression):
    plain, anything = open_folder(mine, progress=False), open_any_folder(mine, progress=False)
    pixels = [plain.image(row).tobytes() for row in range(8)]
    pack(mine / "ink", prefix=prefix, compression=compression)
    zipped = open_folder(mine, progress=False)
    assert columns(zipped) == columns(plain) and zipped.fingerprint == plain.fingerprint
    assert [zipped.image(row).tobytes() for row in range(8)] == pixels
    images, problems = open_any_folder(mine, progress=False)
    assert sorted(zip(*columns(images))) == sorted(zip(*columns(anything[0]))) and problems == []


@pytest.mark.parametrize("prefix", ["", "mine/"])
def test_one_zip_with_all_domains(mine, prefix):
    plain = open_folder(mine, progress=False)
    target = pack(mine, prefix=prefix)
    assert columns(open_folder(target, progress=False)) == columns(plain)
    images, problems = open_any_folder(target, progress=False)
    assert set(zip(*columns(images))) == set(zip(*columns(plain))) and problems == []


def test_a_card_reads_zips_and_verify_checks_them(toy):
    plain = open_dataset("toy", toy, progress=False)
    pack(toy / "Sketch")
    assert columns(open_dataset("toy", toy, progress=False)) == columns(plain)
    assert verify(load_card("toy"), toy, progress=False).ok
    target = pack(toy)
    with pytest.raises(CdirError, match="has no domain folder Sketch"):  # a zip in a zip is not opened
        open_dataset("toy", target, progress=False)


def test_verify_names_a_bad_file_in_a_zip(toy):
    (toy / "Sketch/dog/0.png").write_bytes(b"")
    (toy / "Sketch/dog/1.png").write_bytes(b"\x89PNG cut short")
    pack(toy / "Sketch")
    report = verify(load_card("toy"), toy, progress=False)
    assert report.zero_byte == ("Sketch.zip/dog/0.png",) and "Sketch.zip/dog/1.png" in report.unreadable[0]


def test_one_image_of_each_class(manifest, tmp_path):
    """A flat zip: the file is named after its class. The same folder, unpacked, is read with a card only."""
    folder = tmp_path / "flat" / "Photo"
    write_images(tmp_path / "made", ["Photo"], ["dog", "alarm_clock"], per_class=1)
    folder.mkdir(parents=True)
    for label in ("dog", "alarm_clock"):
        shutil.move(tmp_path / "made/Photo" / label / "0.png", folder / f"{label}.png")
    (folder / "remark.md").write_text("no class of the card")
    write_card(
        manifest, "one", counts=1, domains={"photo": {"folder": "Photo", "word": "photo", "total": 2, "known": "here"}}
    )
    expected = ("photo/dog.png", "photo/alarm_clock.png"), ["photo", "photo"], ["dog", "alarm_clock"]
    assert columns(open_dataset("one", folder.parent, progress=False))[:3] == expected
    with pytest.raises(CdirError, match="remark.md"):
        open_folder(folder.parent, progress=False)
    (folder / "remark.md").unlink()
    pack(folder)
    assert columns(open_dataset("one", folder.parent, progress=False))[:3] == expected
    images = open_folder(folder.parent, progress=False)
    assert columns(images)[:3] == (("Photo/alarm_clock.png", "Photo/dog.png"), ["Photo"] * 2, ["alarm_clock", "dog"])
    assert set(open_any_folder(folder.parent, progress=False)[0].labels) == {""}


def write_zip(path, *names, data=b"x"):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["boat/1.png", "../out.png"], "'../out.png' leads out of the zip"),
        (["/etc/passwd"], "'/etc/passwd' leads out of the zip"),
        (["boat/..\\..\\out.png"], "leads out of the zip"),
        (["boat/1.png", "boat/1.png/2.png"], "1.png is a file and a folder"),
    ],
)
def test_unsafe_names(tmp_path, fresh_cache, names, text):
    write_zip(tmp_path / "ink.zip", *names)
    with pytest.raises(CdirError) as caught:
        open_folder(tmp_path, progress=False)
    assert text in str(caught.value) and "ink.zip" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_in_the_zip_twice(tmp_path, fresh_cache):
    write_zip(tmp_path / "ink.zip", "boat/1.png", "boat/1.png")
    with pytest.raises(CdirError, match="'boat/1.png' is in the zip twice"):
        open_folder(tmp_path, progress=False)


def encrypted(path):
    """The zip with the flag of encryption in its headers, as an encrypted zip has it."""
    data = bytearray(path.read_bytes())
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(header)
        while start >= 0:
            data[start + offset] |= 1
            start = data.find(header, start + 4)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (encrypted, "is encrypted"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "cannot be read as a zip file"),
        (lambda path: path.write_bytes(b""), "cannot be read as a zip file"),
        (lambda path: path.write_bytes(b"no zip" * 99), "cannot be read as a zip file"),
    ],
)
def test_encrypted_and_broken_zips(mine, spoil, text):
    target = pack(mine / "ink")
    spoil(target)
    with pytest.raises(CdirError) as caught:
        open_folder(mine, progress=False)
    assert "ink.zip" in str(caught.value) and text in str(caught.value) and "\n" not in str(caught.value)
    images, problems = open_any_folder(mine, progress=False)  # what cannot be read is left out
    assert set(images.domains) == {"oil"} and len(problems) == 1 and text in problems[0]


def test_a_damaged_file_in_a_sound_zip(mine):
    target = pack(mine / "ink")
    data = bytearray(target.read_bytes())
    data[data.find(b"IDAT") + 8] ^= 255  # its checksum in the zip no longer fits
    target.write_bytes(data)
    with pytest.raises(CdirError, match=r"1 of 8 images bad: ink/barn/0.png \(unreadable: damaged in its zip file"):
        open_folder(mine, progress=False)
    assert len(open_folder(mine, skip_bad=True, progress=False)) == 7


def test_a_size_that_no_image_has_is_not_read(mine, monkeypatch):
    monkeypatch.setattr("cdir_nb.data.zips.MAX_BYTES", 10)
    pack(mine / "ink")
    with pytest.raises(CdirError, match="4 of 8 images bad: .*at most 10 are read"):
        open_folder(mine, progress=False)


def test_a_zip_that_changed_after_opening(mine):
    target = pack(mine / "ink")
    images = open_folder(mine, progress=False)
    write_images(mine, ["ink"], ["boat", "barn"])  # other colours
    pack(mine / "ink")
    with pytest.raises(CdirError, match="changed since the dataset was opened"):
        images.image(0)
    target.unlink()
    with pytest.raises(CdirError, match="can no longer be read"):
        images.image(0)


def test_threads_read_what_one_thread_reads(tmp_path, fresh_cache):
    write_images(tmp_path / "many", ["oil"], ["boat"], per_class=60)
    pack(tmp_path / "many/oil", compression=zipfile.ZIP_DEFLATED)
    images = open_folder(tmp_path / "many", progress=False)
    expected = [images.image(row).tobytes() for row in range(60)]
    with ThreadPoolExecutor(16) as pool:
        read = list(pool.map(lambda row: images.image(row % 60).tobytes(), range(600)))
    assert len(set(expected)) == 60 and read == expected * 10


def test_the_folder_is_read_if_its_zip_lies_beside_it(mine):
    shutil.copytree(mine / "ink", mine / "copy")
    pack(mine / "copy", into=mine / "ink.zip")
    plain = open_folder(mine, progress=False)
    assert len(plain) == 8 and set(plain.domains) == {"ink", "oil"}
    images, problems = open_any_folder(mine, progress=False)
    assert len(images) == 8 and problems == ["ink.zip (the folder of its name is read instead)"]
