"""Archives that people make, and archives that attackers make."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from data.toy_data import write_card

from cdir_nb import paths
from cdir_nb.data import load_card
from cdir_nb.errors import CdirError
from cdir_nb.fetch import unpack as module
from cdir_nb.fetch.unpack import Staging, unpack, unpack_parquet

PARQUET = Path(__file__).with_name("hub.parquet")  # 9 images: 2 domains x 2 classes x 2, and one of a third domain


@pytest.fixture
def staging(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "MANIFEST", tmp_path / "data_manifest")
    write_card(paths.MANIFEST)
    return Staging(tmp_path / "out" / "staging", load_card("toy"), ["Photo", "Sketch"])


def zipped(path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def tarred(path, files: dict[str, bytes], *special: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for info in special:
            file.addfile(info)
    return path


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("make", [zipped, tarred])
def test_images_are_unpacked_into_the_layout_from_any_depth(staging, tmp_path, make):
    files = {
        "Photo/dog/1.png": b"1",
        "top/x/Photo/alarm clock/2.jpg": b"2",  # a space where the card has an underscore
        "doodles/dog/3.png": b"3",  # a domain under another name
        "Photo/cat/4.png": b"4",  # no class of the card
        "readme.txt": b"5",
        "Photo/dog/.DS_Store": b"6",
        "__MACOSX/Photo/dog/7.png": b"7",
        "Photo/dog/deeper/8.png": b"8",
    }
    unpack(make(tmp_path / "archive", files), staging, {"doodles": "Sketch"})
    assert below(staging.root) == ["Photo/alarm_clock/2.jpg", "Photo/dog/1.png", "Sketch/dog/3.png"]
    assert (staging.written, staging.ignored) == (3, 5)
    assert (staging.root / "Sketch/dog/3.png").read_bytes() == b"3"


HOSTILE = ["../Photo/dog/1.png", "/Photo/dog/1.png", "Photo/../../dog/1.png", "C:/Photo/dog/1.png",
           "..\\Photo\\dog\\1.png",
           "Photo/dog/" + "n" * 300, "Photo/dog/a\nb.png"]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_names_that_lead_out_are_refused(staging, tmp_path, make, name):
    archive = make(tmp_path / "archive", {"Photo/dog/0.png": b"0", name: b"evil"})
    with pytest.raises(CdirError, match="refused") as caught:
        unpack(archive, staging, {})
    assert "\n" not in str(caught.value)
    assert below(tmp_path / "out") == ["staging/Photo/dog/0.png"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(staging, tmp_path, kind):
    info = tarfile.TarInfo("Photo/dog")
    info.type, info.linkname = kind, "/etc"
    with pytest.raises(CdirError, match="is a link or a device"):
        unpack(tarred(tmp_path / "a.tgz", {}, info), staging, {})


def test_links_in_zip_files_are_refused(staging, tmp_path):
    info = zipfile.ZipInfo("Photo/dog/1.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(CdirError, match="is a link"):
        unpack(tmp_path / "a.zip", staging, {})
    assert below(tmp_path / "out") == []


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize("limit, message", [("MIN_LIMIT", "unpacks to over 1 MiB"), ("MAX_IMAGE", "larger than 1 MiB")])
def test_bombs_are_refused(staging, tmp_path, monkeypatch, make, limit, message):
    monkeypatch.setattr(module, limit, 1 << 20)
    size = 1 << 20 if limit == "MIN_LIMIT" else 5 << 20
    archive = make(tmp_path / "a", {f"Photo/dog/{i}.png": bytes(size) for i in range(5)})
    with pytest.raises(CdirError, match=message):
        unpack(archive, staging, {})
    assert sum(path.stat().st_size for path in staging.root.rglob("*.png")) <= 2 << 20


def test_damaged_and_encrypted_archives_are_one_line(staging, tmp_path):
    good = zipped(tmp_path / "a.zip", {"Photo/dog/1.png": bytes(range(256)) * 99}).read_bytes()
    encrypted = bytearray(good)
    encrypted[6] |= 1  # the flag in the local header ...
    encrypted[good.index(b"PK\x01\x02") + 8] |= 1  # ... and in the directory
    for content in (b"", b"no archive", good[: len(good) // 2], good[:40] + b"xxxx" + good[44:], encrypted):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(CdirError, match="is damaged, or not a zip or tar archive") as caught:
            unpack(tmp_path / "bad", staging, {})
        assert "\n" not in str(caught.value)


def test_a_hub_table_becomes_files(staging):
    """Names may be missing, occur twice, or lead elsewhere; numbers stand for the names in the table's metadata."""
    unpack_parquet(PARQUET, staging, image="image", label="label", domain="domain")
    assert below(staging.root) == [
        *("Photo/alarm_clock/same-2.png", "Photo/alarm_clock/same.png", "Photo/dog/same-2.png", "Photo/dog/same.png"),
        *("Sketch/alarm_clock/evil.png", "Sketch/alarm_clock/hub-000006.png"),
        *("Sketch/dog/hub-000007.png", "Sketch/dog/hub-000008.png"),
    ]
    assert (staging.written, staging.ignored) == (8, 1)


def test_a_hub_table_of_one_domain(staging):
    unpack_parquet(PARQUET, staging, image="image", label="label", folder="Sketch")
    assert staging.written == 9 and {path.split("/")[0] for path in below(staging.root)} == {"Sketch"}


def test_broken_tables_are_one_line(staging, tmp_path):
    with pytest.raises(CdirError, match="class"):
        unpack_parquet(PARQUET, staging, image="image", label="class")
    for content in (b"", b"PAR1 no PAR1", PARQUET.read_bytes()[:900]):
        (tmp_path / "bad.parquet").write_bytes(content)
        with pytest.raises(CdirError, match="is damaged") as caught:
            unpack_parquet(tmp_path / "bad.parquet", staging, image="image", label="label")
        assert "\n" not in str(caught.value)
