"""The first n drawings of each class of QuickDraw, read from the beginning of its files and no further."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import requests

from cdir_nb.data.quickdraw import parse_strokes
from cdir_nb.errors import CdirError
from cdir_nb.fetch import http
from cdir_nb.fetch.http import IDENTITY, TIMEOUT, TRIES, Unreachable, remember, remembered
from cdir_nb.paths import atomic_write


def fetch_class(template: str, label: str, n: int, folder: Path) -> int:
    """Write <folder>/<label>.ndjson with the first n drawings (fewer if there are fewer); returns how many.

    The file appears only when it is whole. Raises CdirError, Unreachable.
    """
    url = template.format(label=quote(label.replace("_", " ")))
    for attempt in range(TRIES):
        try:
            lines = list(_first_lines(url, n))
            break
        except requests.RequestException as error:
            if attempt == TRIES - 1:
                raise Unreachable(f"{url} cannot be fetched ({type(error).__name__}): check the network") from None
            time.sleep(http.PAUSE * 2**attempt)
    content = b"\n".join(lines) + b"\n"
    _compare(f"{url}#first={n}", content)
    with atomic_write(folder / f"{label}.ndjson") as file:
        file.write_bytes(content)
    return len(lines)


def _first_lines(url: str, n: int) -> Iterator[bytes]:
    """The first n lines, each of them a drawing; the connection is closed after the last one."""
    with requests.get(url, headers=IDENTITY, stream=True, timeout=TIMEOUT) as answer:
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
            raise Unreachable(f"{url}: the server answers {answer.status_code} {answer.reason}")
        answer.raise_for_status()
        for number, line in enumerate(answer.iter_lines(1 << 16), start=1):
            try:
                parse_strokes(line)
            except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
                raise CdirError(f"{url}: line {number} is no drawing: not what QuickDraw publishes; refused") from None
            yield line
            if number == n:
                return


def _compare(address: str, content: bytes) -> None:
    known, found = remembered(address), hashlib.sha256(content).hexdigest()
    if known and known != found:
        raise CdirError(f"{address}: the drawings are not those of the first time on this machine: refused")
    if not known:
        remember(address, found, len(content))
