"""Downloads from a server that cuts connections, fails, changes its files and sends wrong ones."""

import hashlib

import pytest

from cdir_nb.errors import CdirError
from cdir_nb.fetch.http import Unreachable, download

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def get(server, tmp_path):
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
    assert [start for _, _, start in server.requests] == [None, "bytes=65536-", "bytes=131072-", "bytes=131072-"]
    assert [path.name for path in tmp_path.glob("file*")] == ["file"]


def test_a_later_command_resumes_where_the_earlier_one_gave_up(server, get, tmp_path):
    served = server.serve("/file", CONTENT, cut_after=[200_000] + [0] * 20)
    with pytest.raises(Unreachable, match="the same command resumes"):
        get()
    assert not (tmp_path / "file").exists() and (tmp_path / "file.part").stat().st_size == 3 << 16
    served.cut_after.clear()
    served.errors = [503]  # which discards nothing
    assert get(SHA256) == len(CONTENT) and server.requests[-1][2] == f"bytes={3 << 16}-"


def test_another_version_on_the_server_starts_over(server, get, tmp_path):
    served = server.serve("/file", b"x" * 300_000, cut_after=[200_000] + [0] * 20)
    with pytest.raises(Unreachable):
        get()
    served.content, served.etag, served.cut_after = CONTENT, '"two"', []
    assert get(SHA256) == len(CONTENT) and (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("behaviour", [{"ranges": False}, {"etag": ""}])
def test_a_server_without_ranges_or_versions_starts_over(server, get, tmp_path, behaviour):
    server.serve("/file", CONTENT, cut_after=[300_000], **behaviour)
    assert get(SHA256) == len(CONTENT) and (tmp_path / "file").read_bytes() == CONTENT


def test_a_complete_part_is_recognised(server, get, tmp_path):
    server.serve("/file", CONTENT)
    (tmp_path / "file.part").write_bytes(CONTENT)
    (tmp_path / "file.version").write_text('"one"')
    get(SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT and len(server.requests) == 1


def test_temporary_errors_are_retried_and_permanent_ones_are_not(server, get, tmp_path):
    server.serve("/file", CONTENT, errors=[503, 500, 429])
    get(SHA256)
    (tmp_path / "file").unlink(), server.files.clear(), server.requests.clear()
    with pytest.raises(Unreachable, match="404 Not Found"):
        get("0" * 64)
    assert len(server.requests) == 1


@pytest.mark.parametrize("wrong, message", [({"sha256": "0" * 64}, "checksum"), ({"size": 7}, "bytes, not 7")])
def test_a_file_of_wrong_checksum_or_size_is_deleted(server, get, tmp_path, wrong, message):
    server.serve("/file", CONTENT)
    with pytest.raises(CdirError, match=message) as error:
        get(**wrong)
    assert not isinstance(error.value, Unreachable)
    assert not (tmp_path / "file").exists() and not (tmp_path / "file.part").exists()


def test_a_server_that_does_not_answer_is_reported(server, get):
    server.close()
    with pytest.raises(Unreachable, match="check the network"):
        get()
