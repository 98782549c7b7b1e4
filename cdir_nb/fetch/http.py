"""One file over HTTP, resumed where it was cut; its size and checksum are compared with what is known."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import pooch
import requests

from cdir_nb.errors import CdirError
from cdir_nb.paths import atomic_write, cache_dir

TIMEOUT = (20, 60)  # seconds to connect, and without a byte
CHUNK = 1 << 16  # what a cut connection can cost
TRIES = 5  # in a row without one new byte
PAUSE = 2.0  # seconds before the second try; doubled before each further one
IDENTITY = {"Accept-Encoding": "identity", "User-Agent": "cdir-nb"}  # bytes as they are stored: ranges count those


_writing = threading.Lock()


class Unreachable(CdirError):
    """The source does not answer or does not have the file; another source may."""


def size_of(url: str) -> int | None:
    """The length that the server states; None if it states none. Raises Unreachable."""
    try:
        with requests.head(url, headers=IDENTITY, timeout=TIMEOUT, allow_redirects=True) as answer:
            _refuse_missing(url, answer)
            return int(answer.headers["Content-Length"]) if answer.ok and "Content-Length" in answer.headers else None
    except (requests.RequestException, ValueError) as error:
        raise Unreachable(_cannot(url, error)) from None


def download(url: str, target: Path, sha256: str | None, size: int | None, report: Callable[[int], None]) -> str:
    """Fetch `url` to `target`, which appears only when it is whole; returns its SHA-256.

    An interrupted download is kept beside it as `<name>.part` and resumed. With no published checksum, the first one
    that was seen on this machine is the one that counts from then on. Raises CdirError; Unreachable if another source
    may help. report(n): n more bytes are there (negative if some had to be thrown away).
    """
    known = sha256 or remembered(url)
    part = _Part(url, target.with_name(f"{target.name}.part"), size, report)
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, f"sha256:{known}" if known else None, target.name, target.parent, downloader=part.fetch)
    except ValueError as error:  # pooch's word for another checksum
        if "does not match the known hash" not in str(error):
            raise
        why = "published" if sha256 else "it had when it was first fetched on this machine"
        raise CdirError(
            f"{url}: the file's checksum is not the one {why}; it was thrown away. If the authors changed the file, "
            f"give the one you trust by --from FILE"
        ) from None
    except OSError as error:
        raise CdirError(f"{target} cannot be written: {error.strerror or error}") from None
    found = known or pooch.file_hash(str(target))
    if not known:
        remember(url, found, target.stat().st_size)
    return found


class _Part:
    """The unfinished file, and the mark (ETag or date) of the version that it belongs to."""

    def __init__(self, url: str, path: Path, size: int | None, report: Callable[[int], None]) -> None:
        self.url, self.path, self.size, self.report = url, path, size, report
        self.mark = path.with_name(f"{path.name}.mark")

    def fetch(self, url: str, output: str, _pooch: object) -> None:
        """pooch's downloader: leaves the whole file at `output`."""
        self.report(self.have)
        failures = 0
        while True:
            before = self.have
            try:
                if self._go_on():
                    break
                error: Exception | str = "the connection was cut"
            except requests.RequestException as caught:
                error = caught
            failures = 0 if self.have > before else failures + 1
            if failures >= TRIES:
                raise Unreachable(_cannot(url, error)) from None
            time.sleep(PAUSE * 2 ** max(0, failures - 1))
        if self.size is not None and self.have != self.size:
            wrong = self.have
            self._start_over()
            raise CdirError(f"{url} has {wrong:,} bytes, the table of sources says {self.size:,}: it was thrown away")
        os.replace(self.path, output)
        self.mark.unlink(missing_ok=True)

    @property
    def have(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _go_on(self) -> bool:
        """One request for the rest; True if the file is whole then."""
        mark = self.mark.read_text(encoding="utf-8") if self.mark.exists() else ""
        resume = {"Range": f"bytes={self.have}-", "If-Range": mark} if self.have and mark else {}
        with requests.get(self.url, headers={**IDENTITY, **resume}, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == 416:  # nothing after what we have: either whole, or another file by now
                if answer.headers.get("Content-Range", "").endswith(f"/{self.have}"):
                    return True
                return self._start_over()
            _refuse_missing(self.url, answer)
            answer.raise_for_status()
            if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(
                f"bytes {self.have}-"
            ):
                self._start_over()
            self.mark.write_text(_mark_of(answer), encoding="utf-8")
            total = self.have + int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
            with open(self.path, "ab") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    self.report(len(chunk))
        return total is None or self.have >= total

    def _start_over(self) -> bool:
        self.report(-self.have)
        self.path.unlink(missing_ok=True)
        return False


def _mark_of(answer: requests.Response) -> str:
    """What If-Range may carry: a strong ETag, else the date."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")


def _refuse_missing(url: str, answer: requests.Response) -> None:
    if 400 <= answer.status_code < 500 and answer.status_code not in (405, 408, 416, 429):
        raise Unreachable(f"{url}: the server answers {answer.status_code} {answer.reason}")


def _cannot(url: str, error: Exception | str) -> str:
    reason = error if isinstance(error, str) else type(error).__name__
    return f"{url} cannot be fetched ({reason}): check the network; what came is kept, the same command resumes"


def _memory() -> Path:
    return cache_dir() / "fetched.json"


def remembered(url: str) -> str | None:
    """The SHA-256 that a file without a published one had when it first came to this machine."""
    return _read_memory().get(url, {}).get("sha256")


def remember(url: str, sha256: str, size: int) -> None:
    """Trust on first use: keep a checksum, to compare it from now on."""
    with _writing, filelock.FileLock(_memory().with_suffix(".lock")):
        content = {**_read_memory(), url: {"sha256": sha256, "bytes": size, "first": time.strftime("%Y-%m-%d")}}
        with atomic_write(_memory()) as file:
            file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _read_memory() -> dict[str, dict]:
    try:
        content = json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
