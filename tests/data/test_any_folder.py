import os
from pathlib import Path

import pytest
from PIL import Image

from cdir_nb.data import folder, pictures
from cdir_nb.data.folder import open_any_folder
from cdir_nb.errors import CdirError
from cdir_nb.paths import cache_dir


def save(path, colour="red", size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def root(tmp_path, fresh_cache):
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


@pytest.mark.parametrize(
    "path,domain,label", [("photo/cat/1.png", "photo", "cat"), ("photo/1.png", "photo", ""), ("1.png", "mine", "")]
)
def test_three_layouts(root, path, domain, label):
    save(root / path)
    images, problems = open_any_folder(root)
    assert (images.keys, images.domains.tolist(), images.labels.tolist()) == ((path,), [domain], [label])
    assert images.image(0).size == (8, 6) and problems == []


def test_layouts_may_be_mixed_and_keys_stay_apart(root):
    for path in ("photo/cat/1.png", "photo/1.png", "1.png", "sketch/1.png"):
        save(root / path)
    images, _ = open_any_folder(root)
    assert sorted(zip(images.keys, images.domains.tolist(), images.labels.tolist())) == [
        ("1.png", "mine", ""), ("photo/1.png", "photo", ""), ("photo/cat/1.png", "photo", "cat"),
        ("sketch/1.png", "sketch", ""),
    ]  # fmt: skip


def test_what_cannot_be_read_is_listed_and_left_out(root):
    save(root / "photo" / "good.png")
    (root / "photo" / "notes.txt").write_text("no picture")
    (root / "photo" / "empty.jpg").touch()
    (root / "photo" / ".hidden").write_text("x")
    save(root / "photo" / "cat" / "kittens" / "deep.png")
    images, problems = open_any_folder(root)
    assert images.keys == ("photo/good.png",)
    named = [line.partition(" (")[0] for line in problems]
    assert named == ["photo/empty.jpg", "photo/notes.txt", "photo/cat/kittens/"]
    assert "zero bytes" in problems[0] and "BytesIO" not in problems[1]


@pytest.mark.parametrize("make,said", [(lambda root: None, "it is empty"),
                                       (lambda root: (root / "a.txt").write_text("a"), "a.txt")])  # fmt: skip
def test_a_folder_without_images_is_an_error(root, make, said):
    make(root)
    with pytest.raises(CdirError, match=said):
        open_any_folder(root)


def test_a_file_is_no_folder(root):
    save(root / "1.png")
    with pytest.raises(CdirError, match="not a folder"):
        open_any_folder(root / "1.png")


def test_files_of_other_formats_are_one_line_for_each_kind(root):
    save(root / "a.png")
    for n in range(30):
        (root / f"IMG_{n:04}.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200)
    (root / "sketch.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0L9 9"/></svg>')
    (root / "raw.cr2").write_bytes(b"II*\0\x10\0\0\0CR" + b"\0" * 99)
    (root / "scan.pdf").write_bytes(b"%PDF-1.7\n")
    images, problems = open_any_folder(root, progress=False)
    assert len(images) == 1 and len(problems) == 4
    heic, raw, pdf, svg = problems
    assert heic.startswith("30 HEIC files: install pillow-heif (`pip install pillow-heif`), or convert")
    shown, _, path = heic.removesuffix(")").partition("; all names: ")
    assert shown.endswith("(IMG_0000.HEIC, IMG_0001.HEIC, IMG_0002.HEIC and 27 more")
    names = [line.partition(": ")[0] for line in Path(path).read_text(encoding="utf-8").splitlines()]
    assert sorted(names) == sorted(path.name for path in root.iterdir() if path.name != "a.png")
    assert (
        raw.startswith("raw.cr2 (RAW: ") and pdf.startswith("scan.pdf (PDF: ") and svg.startswith("sketch.svg (SVG: ")
    )


def read_again(root, monkeypatch) -> tuple[list[str], tuple[str, ...]]:
    """Open the folder; the names of the files that were read for it, and the digests of all."""
    with monkeypatch.context() as patch:
        names, read = [], pictures.read_file
        patch.setattr(pictures, "read_file", lambda path: (names.append(path.name), read(path))[1])
        return names, open_any_folder(root, progress=False)[0].digests


def test_only_files_that_have_changed_are_read_again(root, monkeypatch):
    monkeypatch.setattr(folder, "RECENT", 0)
    for number, colour in enumerate(("red", "blue", "green")):
        save(root / f"{number}.png", colour)
    names, digests = read_again(root, monkeypatch)
    assert sorted(names) == ["0.png", "1.png", "2.png"]
    monkeypatch.chdir(root.parent)
    assert read_again(root, monkeypatch) == read_again(Path("mine"), monkeypatch) == ([], digests)
    before = (root / "1.png").stat()
    save(root / "1.png", "teal")  # a file of the same size
    os.utime(root / "1.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (root / "1.png").stat().st_size == before.st_size
    names, changed = read_again(root, monkeypatch)
    assert names == ["1.png"] and [a == b for a, b in zip(digests, changed)] == [True, False, True]
    (root / "2.png").rename(root / "0.png")
    assert read_again(root, monkeypatch)[1] == (digests[2], changed[1])


def test_a_file_that_has_just_been_written_is_read_again(root, monkeypatch):
    save(root / "1.png")
    assert read_again(root, monkeypatch)[0] == read_again(root, monkeypatch)[0] == ["1.png"]


def test_a_damaged_file_of_the_cache_costs_its_content_only(root, monkeypatch, fresh_cache):
    monkeypatch.setattr(folder, "RECENT", 0)
    save(root / "1.png")
    digests = read_again(root, monkeypatch)[1]
    (times,) = cache_dir().glob("decoded/*.times.json")
    for content in ("{", "[1]", "null", ""):
        times.write_text(content)
        assert read_again(root, monkeypatch) == (["1.png"], digests)
