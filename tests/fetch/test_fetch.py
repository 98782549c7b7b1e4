"""`cdir fetch` from end to end on a loopback server: hub, archives, drawings, interruptions, refusals."""

import io
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from unittest.mock import Mock

import filelock
import pytest
from data.toy_data import drawing, write_images
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.data import load_card, verify
from cdir_nb.errors import CdirError
from cdir_nb.fetch import run
from cdir_nb.fetch.run import Request, fetch_dataset
from cdir_nb.fetch.table import load_table

PARQUET = Path(__file__).with_name("hub.parquet").read_bytes()
REVISION = "a" * 40
HUB = {"kind": "hub", "repo": "some/toy", "revision": REVISION, "files": ["data/*.parquet"], "domain": "domain"}
ARCHIVES = {
    "kind": "archive",
    "files": [{"url": "{url}/photo.zip", "domain": "photo"}, {"url": "{url}/sketch.zip", "domain": "sketch"}],
}
BY_HAND = {"kind": "by hand", "page": "http://page", "how": "fill in the form"}
DRAWINGS = {"kind": "ndjson", "url": "{url}/simplified/{label}.ndjson"}
ONE_DOMAIN = {"quickdraw": {"word": "quickdraw", "total": None, "known": "-"}}
NDJSON = {"kind": "ndjson", "domains": ONE_DOMAIN, "counts": None, "class_sets": {}, "protocols": {}}


@pytest.fixture
def get(tmp_path):
    """get(...) fetches the toy dataset; returns (report, log)."""

    def get(**options):
        log = []
        request = Request("toy", tmp_path / "got", **{"accept": True, "log": log.append, **options})
        return fetch_dataset(request), "\n".join(log)

    return get


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def archive_of(tmp_path, *folders, filler: int = 0, per_class: int = 2) -> bytes:
    """A zip file of toy images below any/, with a file of `filler` bytes that is not an image."""
    root = write_images(tmp_path / "made" / "-".join(folders), folders, per_class=per_class)
    images = {f"any/{path.relative_to(root)}": path.read_bytes() for path in sorted(root.rglob("*.png"))}
    return zipped({**images, "filler.bin": bytes(filler)})


def serve_archives(server, tmp_path):
    for folder in ("Photo", "Sketch"):
        server.serve(f"/{folder.lower()}.zip", archive_of(tmp_path, folder))


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# ---- the hub ---------------------------------------------------------------------------------------------------


def test_from_the_hub_to_a_verified_folder(sources, server, get, tmp_path):
    sources(HUB)
    server.serve_hub("some/toy", REVISION, {"data/train.parquet": PARQUET, "README.md": b"no"})
    report, said = get()
    assert report.ok and report.images == {"photo": 4, "sketch": 4} and "be kind" in said
    requested = [path for _, path, _ in server.requests if "some/toy" in path]
    assert "8 images; ignored 1 other" in said and all(REVISION in path for path in requested)
    assert visible(tmp_path / "got") == ["Photo", "Sketch"] and verify(load_card("toy"), tmp_path / "got").ok


def test_a_file_without_the_hubs_checksum_is_deleted(sources, server, get, tmp_path):
    sources(HUB)
    server.serve_hub("some/toy", REVISION, {"data/train.parquet": PARQUET}, sha256="0" * 64)
    with pytest.raises(CdirError, match="does not have the hub's checksum"):
        get()
    assert visible(tmp_path / "got") == [".fetch"] and not list((tmp_path / "got").rglob("*.parquet"))


def test_a_missing_source_is_replaced_by_the_next(sources, server, get, tmp_path):
    sources(HUB, ARCHIVES)  # the hub has no such repository
    serve_archives(server, tmp_path)
    report, said = get()
    assert report.ok and "some/toy cannot be fetched" in said


# ---- archives --------------------------------------------------------------------------------------------------


def test_some_domains_come_from_a_source_that_can_provide_them(sources, server, get, tmp_path):
    sources(HUB, ARCHIVES)
    server.serve_hub("some/toy", REVISION, {"data/train.parquet": PARQUET})
    serve_archives(server, tmp_path)
    report, _ = get(domains=("sketch",))
    assert report.ok and report.images == {"sketch": 4} and visible(tmp_path / "got") == ["Sketch"]
    report, said = get()  # the other domain, later
    assert report.ok and report.images == {"photo": 4, "sketch": 4} and "exists  sketch" in said


def test_only_listed_images_are_fetched(sources, server, get, tmp_path):
    listed = "".join(f"Sketch/{label}/{i}.png 0\n" for label in ("dog", "alarm_clock") for i in range(2))
    sources({"kind": "archive", "files": [{"url": "{url}/sketch.zip", "domain": "sketch", "lists": ["{url}/a.txt"]}]})
    server.serve("/sketch.zip", archive_of(tmp_path, "Sketch", per_class=3))
    server.serve("/a.txt", listed.encode())
    report, said = get(domains=("sketch",))
    assert report.ok and report.images == {"sketch": 4} and "ignored 3 other" in said


def test_an_interrupted_fetch_looks_unfinished_and_resumes(sources, server, get, tmp_path, monkeypatch):
    sources(ARCHIVES)
    serve_archives(server, tmp_path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "_move_finished", Mock(side_effect=KeyboardInterrupt))
        get()
    assert visible(tmp_path / "got") == [".fetch"]
    with pytest.raises(CdirError, match="has no domain folder"):
        verify(load_card("toy"), tmp_path / "got")
    server.requests.clear()
    assert get()[0].ok and not [path for method, path, _ in server.requests if method == "GET"]


KILLED = """
import sys
from pathlib import Path
from cdir_nb import paths
from cdir_nb.fetch.run import Request, fetch_dataset
paths.MANIFEST = Path(sys.argv[1])
fetch_dataset(Request("toy", Path(sys.argv[2]), accept=True))
"""


def test_a_killed_fetch_leaves_no_finished_folder_and_resumes(sources, server, get, tmp_path):
    manifest = sources({"kind": "archive", "files": [{"url": "{url}/toy.zip"}]})
    whole = server.serve("/toy.zip", archive_of(tmp_path, "Photo", "Sketch", filler=1 << 20), pause=0.1)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(manifest), str(tmp_path / "got")])
    part = tmp_path / "got/.fetch/downloads/toy.zip.part"
    end = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 200_000):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert visible(tmp_path / "got") == [".fetch"]
    server.requests.clear()
    whole.pause = 0
    assert get()[0].ok and server.requests[-1][2] >= "bytes=2"


def test_a_hostile_archive_leaves_nothing(sources, server, get, tmp_path):
    sources({"kind": "archive", "files": [{"url": "{url}/toy.zip"}]})
    server.serve("/toy.zip", zipped({"Photo/dog/0.png": b"0", "../../Photo/dog/1.png": b"1"}))
    with pytest.raises(CdirError, match="leaves the archive"):
        get()
    assert visible(tmp_path / "got") == [".fetch"] and not (tmp_path / "Photo").exists()


def test_archives_downloaded_by_hand_are_accepted(sources, get, tmp_path):
    sources({**BY_HAND, "folders": {"pics/photos": "Photo"}})
    with pytest.raises(CdirError, match=r"fill in the form \(http://page\), then add --from"):
        get()
    files = (tmp_path / "a.zip", tmp_path / "b.zip")
    files[0].write_bytes(archive_of(tmp_path, "pics/photos"))
    files[1].write_bytes(archive_of(tmp_path, "Sketch"))
    assert get(files=files)[0].ok
    assert visible(tmp_path / "got") == ["Photo", "Sketch"]


def test_domains_that_no_source_has_are_named(sources, server, get, tmp_path):
    sources({**HUB, "domain": "", "only": "sketch"}, BY_HAND)
    server.serve_hub("some/toy", REVISION, {"data/train.parquet": PARQUET})
    report, said = get()
    assert "MISSING photo: not in this source; fill in the form" in said and not report.ok
    assert report.miscounted  # the table holds nine images, which are not four


def test_the_wrong_archive_is_named(sources, get, tmp_path):
    sources(BY_HAND)
    (tmp_path / "a.zip").write_bytes(archive_of(tmp_path, "Clipart"))
    with pytest.raises(CdirError, match="none of 5 files is in a folder Photo, Sketch"):
        get(files=(tmp_path / "a.zip",))


# ---- drawings --------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(sources, server):
    """Two classes of 40 drawings each, about 1 MB a class."""
    sources(DRAWINGS, **NDJSON)
    many = [[list(range(256)) * 20] * 2]
    text = {label: "\n".join(drawing(f"{label}{i}", many) for i in range(40)) + "\n" for label in ("dog", "alarm")}
    return {
        "dog": server.serve("/simplified/dog.ndjson", text["dog"].encode()),
        "alarm_clock": server.serve("/simplified/alarm%20clock.ndjson", text["alarm"].encode()),
    }


def test_any_number_of_drawings_a_class(drawn, get, tmp_path):
    report, _ = get(per_class=7)
    assert report.ok and report.images == {"quickdraw": 14}
    assert (tmp_path / "got/dog.ndjson").read_bytes().splitlines() == drawn["dog"].content.splitlines()[:7]
    report, _ = get(per_class=9, classes=("dog",))
    assert report.ok and report.images == {"quickdraw": 16}
    assert get(per_class=100, classes=("dog",))[0].images == {"quickdraw": 47}  # there are no more than 40


def test_drawings_are_complete_after_cut_connections_and_errors(drawn, get):
    drawn["dog"].cut_after, drawn["dog"].errors = [200_000], [503]
    assert get(per_class=40)[0].images == {"quickdraw": 80}


@pytest.mark.parametrize("line", [b"<html>", b"{}", b"[" * 100_000, b'{"drawing": [[[1], [1, 2]]]}'])
def test_lines_that_are_not_drawings_are_refused(drawn, get, tmp_path, line):
    drawn["dog"].content = line + b"\n" + drawn["dog"].content
    with pytest.raises(CdirError, match="line 1 is not a QuickDraw drawing"):
        get(per_class=2)
    assert not (tmp_path / "got/dog.ndjson").exists()


# ---- requests --------------------------------------------------------------------------------------------------


def test_nothing_is_fetched_before_the_terms_are_accepted(sources, server, get, tmp_path):
    sources(ARCHIVES)
    with pytest.raises(CdirError, match="--accept-licence"):
        get(accept=False)
    assert not server.requests and not (tmp_path / "got").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"domains": ("clipart",)}, "no domain 'clipart': use one of photo, sketch"),
        ({"classes": ("cat",)}, "no class 'cat'"),
        ({"classes": ("dog",)}, "--class"),
        ({"files": (Path("nowhere.zip"),)}, "nowhere.zip"),
    ],
)
def test_bad_requests_are_refused_before_any_download(sources, server, get, options, message):
    sources(ARCHIVES)
    with pytest.raises(CdirError, match=message):
        get(**options)
    assert not server.requests


def test_two_commands_do_not_share_a_folder(sources, get, tmp_path):
    sources(ARCHIVES)
    (tmp_path / "got/.fetch").mkdir(parents=True)
    with filelock.FileLock(tmp_path / "got/.fetch/.lock"), pytest.raises(CdirError, match="another `cdir fetch`"):
        get()


def test_the_table_of_sources_agrees_with_the_cards():
    for name, entry in load_table().items():
        card = load_card(name)
        assert set(entry.folders().values()) <= {info.folder for info in card.domains.values()}
        for source in entry.sources:
            domains = {getattr(file, "domain", "") for file in getattr(source, "files", [])}
            assert domains | {getattr(source, "only", "")} <= {*card.domains, ""}
            assert card.kind == "ndjson" or source.kind != "ndjson"


def test_the_command(server, tmp_path):
    """Through the command line, with the workbook's own table: terms, exit codes, no traceback."""
    command = ["fetch", "pacs", "--to", str(tmp_path / "p")]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 2 and "The authors state no licence" in shown.stdout
    assert shown.stderr.startswith("error: nothing was fetched") and shown.stderr.count("\n") == 1
    gone = CliRunner().invoke(app, [*command, "--accept-licence"])
    assert gone.exit_code == 2 and "--from FILE" in gone.stderr and gone.stderr.count("\n") == 1
    unknown = CliRunner().invoke(app, ["fetch", "mnist", "--to", str(tmp_path)])
    assert unknown.exit_code == 2 and "'mnist'" in unknown.stderr
