"""Downloads from a server that cuts, fails, changes its files and lies about them."""

import hashlib
import json

import pytest

from cdir_nb import paths
from cdir_nb.errors import CdirError
from cdir_nb.fetch.http import Unreachable, download, remembered

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def get(server, tmp_path, fresh_cache):
    """get() downloads /file; returns the sum of the progress that was reported."""

    def run(sha256=None, size=None):
        reported = []
        download(f"{server.url}/file", tmp_path / "file", sha256, size, reported.append)
        return sum(reported)

    return run


def test_a_cut_connection_is_resumed_where_it_was_cut(server, get, tmp_path):
    server.serve("/file", CONTENT, cut_after=[100_000, 70_000, 1])
    assert get(SHA256, len(CONTENT)) == len(CONTENT)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [wanted for _, _, wanted in server.asked] == [None, "bytes=65536-", "bytes=131072-", "bytes=131072-"]
    assert [path.name for path in tmp_path.glob("file*")] == ["file"]


def test_a_later_command_goes_on_where_the_first_one_gave_up(server, get, tmp_path):
    served = server.serve("/file", CONTENT, cut_after=[200_000] + [0] * 20)
    with pytest.raises(Unreachable, match="cannot be fetched .*the same command resumes"):
        get()
    assert not (tmp_path / "file").exists() and (tmp_path / "file.part").stat().st_size == 3 << 16
    served.cut_after.clear()
    assert get(SHA256) == len(CONTENT) and server.asked[-1][2] == f"bytes={3 << 16}-"


def test_another_version_on_the_server_starts_over(server, get, tmp_path):
    served = server.serve("/file", b"x" * 300_000, cut_after=[200_000] + [0] * 20)
    with pytest.raises(Unreachable):
        get()
    served.content, served.etag, served.cut_after = CONTENT, '"two"', []
    assert get(SHA256) == len(CONTENT) and (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(server, get, tmp_path):
    server.serve("/file", CONTENT, ranges=False, cut_after=[300_000])
    assert get(SHA256) == len(CONTENT) and (tmp_path / "file").read_bytes() == CONTENT


def test_a_whole_part_is_recognised(server, get, tmp_path):
    server.serve("/file", CONTENT)
    (tmp_path / "file.part").write_bytes(CONTENT)
    (tmp_path / "file.part.mark").write_text('"one"')
    get(SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT and len(server.asked) == 1


def test_passing_errors_are_tried_again_and_final_ones_are_not(server, get):
    server.serve("/file", CONTENT, errors=[503, 500, 429])
    get(SHA256)
    server.files.clear(), server.asked.clear()
    with pytest.raises(Unreachable, match="the server answers 404 Not Found"):
        get("0" * 64)
    assert len(server.asked) == 1


def test_a_slow_server_is_waited_for(server, get):
    server.serve("/file", CONTENT, pause=0.05)
    assert get(SHA256) == len(CONTENT)


def test_a_wrong_checksum_is_thrown_away(server, get, tmp_path):
    server.serve("/file", CONTENT)
    with pytest.raises(CdirError, match=r"checksum is not the one published; it was thrown away") as caught:
        get("0" * 64)
    assert not isinstance(caught.value, Unreachable) and not list(tmp_path.glob("file*"))


def test_a_wrong_size_is_thrown_away(server, get, tmp_path):
    server.serve("/file", CONTENT)
    with pytest.raises(CdirError, match="has 512,000 bytes, the table of sources says 7"):
        get(size=7)
    assert not (tmp_path / "file").exists() and not (tmp_path / "file.part").exists()


def test_without_a_published_checksum_the_first_one_counts(server, get, tmp_path):
    served = server.serve("/file", CONTENT)
    get()
    assert remembered(f"{server.url}/file") == SHA256
    (tmp_path / "file").unlink()
    get()  # the same again
    (tmp_path / "file").unlink()
    served.content = CONTENT[:-1] + b"!"
    with pytest.raises(CdirError, match="it had when it was first fetched on this machine; it was thrown away"):
        get()
    kept = json.loads((paths.cache_dir() / "fetched.json").read_text())
    assert kept[f"{server.url}/file"]["bytes"] == len(CONTENT) and not (tmp_path / "file").exists()


def test_a_damaged_memory_is_no_obstacle(server, get):
    paths.cache_dir().mkdir(parents=True, exist_ok=True)
    (paths.cache_dir() / "fetched.json").write_text("[1, 2")
    server.serve("/file", CONTENT)
    get()
    assert remembered(f"{server.url}/file") == SHA256


def test_nobody_listens(server, get):
    server.close()
    with pytest.raises(Unreachable, match="check the network"):
        get()
