"""Downloads over HTTP: an interrupted file is resumed, and checked against its published size and checksum."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import requests

from cdir_nb.errors import CdirError
from cdir_nb.sources import file_digest

TIMEOUT = (20, 60)  # seconds to connect, and between two chunks
CHUNK = 1 << 16  # bytes; a cut connection loses at most one chunk
TRIES = 5  # in a row without a new byte
PAUSE = 1.0  # seconds; doubled after each failure
IDENTITY = {"Accept-Encoding": "identity", "User-Agent": "cdir-nb"}  # a compressed answer could not be resumed
TEMPORARY = (408, 429)  # client errors that may pass
Result = TypeVar("Result")


class Unreachable(CdirError):
    """Raised if a source does not respond or does not have the file; another source may have it."""


def download(url: str, target: Path, sha256: str | None, size: int | None, progress: Callable[[int], object]) -> None:
    """Download `url` to `target` unless this file exists. The file appears under this name only when it is complete.

    An interrupted download remains beside it as `<name>.part` and is resumed by the next call.

    sha256, size  as published (size in bytes); None: not checked
    progress      called with the number of new bytes (negative if bytes were discarded)

    Raises Unreachable if another source may help, and CdirError for a file with another size or checksum.
    """
    if target.exists():
        return
    part = _part(target)
    progress(_bytes(part))
    retry(url, lambda: _resume(url, target, progress), lambda: _bytes(part))
    _version(target).unlink(missing_ok=True)
    problem = ""
    if size is not None and _bytes(part) != size:
        problem = f"has {_bytes(part):,} bytes, not {size:,} as published"
    elif sha256 is not None and file_digest(part) != sha256:
        problem = "does not have the published checksum"
    if problem:
        part.unlink()
        raise CdirError(
            f"the file from {url} {problem}, so it was deleted: download a file that you trust and add --from FILE"
        )
    os.replace(part, target)


def retry(url: str, attempt: Callable[[], Result], received: Callable[[], int] = lambda: 0) -> Result:
    """Return attempt(), repeated after network errors until TRIES attempts in a row have brought no new byte.

    received  function that returns the number of bytes received so far
    """
    failures = 0
    while True:
        before = received()
        try:
            return attempt()
        except requests.RequestException as error:
            failures = 0 if received() > before else failures + 1
            if failures == TRIES:
                problem = f"{url} cannot be fetched ({type(error).__name__})"
                raise Unreachable(f"{problem}: check the network; the same command resumes") from None
        time.sleep(PAUSE * 2**failures)


def check_status(response: requests.Response) -> None:
    """Raise Unreachable for an error that a second request would return too, and HTTPError for any other error."""
    if 400 <= response.status_code < 500 and response.status_code not in TEMPORARY:
        raise Unreachable(f"{response.url}: the server returned {response.status_code} {response.reason}")
    response.raise_for_status()


def _resume(url: str, target: Path, progress: Callable[[int], object]) -> None:
    """Request the missing bytes once, and append them to `<name>.part`. Raises RequestException if some remain missing.

    If-Range makes the server return the whole file if its version has changed since `<name>.part` was written.
    """
    part, version = _part(target), _version(target)
    start = _bytes(part)
    tag = version.read_text(encoding="utf-8") if version.exists() else ""
    resume = {"Range": f"bytes={start}-", "If-Range": tag} if start and tag else {}
    with requests.get(url, headers={**IDENTITY, **resume}, stream=True, timeout=TIMEOUT) as response:
        content_range = response.headers.get("Content-Range", "")
        out_of_range = response.status_code == 416
        if out_of_range and content_range.endswith(f"/{start}"):
            return  # nothing follows the part: it is complete
        if not out_of_range:
            check_status(response)
        if out_of_range or not content_range.startswith(f"bytes {start}-"):
            progress(-start)
            start = 0
            part.unlink(missing_ok=True)
        if out_of_range:
            raise requests.ConnectionError("the part does not belong to this file")
        version.write_text(_version_of(response), encoding="utf-8")
        with open(part, "ab") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                progress(len(chunk))
    if _bytes(part) < start + int(response.headers.get("Content-Length", 0)):
        raise requests.ConnectionError("the connection was cut")


def _version_of(response: requests.Response) -> str:
    """The file's version for If-Range: a strong ETag, else the date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _version(target: Path) -> Path:
    return target.with_name(f"{target.name}.version")


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
