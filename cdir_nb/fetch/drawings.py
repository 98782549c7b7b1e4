"""The first drawings of each class of QuickDraw, read from the beginning of its files."""

from itertools import islice
from pathlib import Path
from urllib.parse import quote

import requests

from cdir_nb.data.quickdraw import parse_strokes
from cdir_nb.errors import CdirError
from cdir_nb.fetch.http import IDENTITY, TIMEOUT, check_status, retry
from cdir_nb.paths import atomic_write


def fetch_class(template: str, label: str, n: int, folder: Path) -> None:
    """Write the first n drawings of a class (or all, if there are fewer) to <folder>/<label>.ndjson.

    template  URL with the field {label}

    The file appears only when it is complete. Raises Unreachable if the source does not respond, and CdirError for a
    line that is not a drawing.
    """
    url = template.format(label=quote(label.replace("_", " ")))
    lines = retry(url, lambda: _first_lines(url, n))
    with atomic_write(folder / f"{label}.ndjson") as file:
        file.write_bytes(b"\n".join(lines) + b"\n")


def _first_lines(url: str, n: int) -> list[bytes]:
    """The first n lines; the connection is closed after the last one."""
    with requests.get(url, headers=IDENTITY, stream=True, timeout=TIMEOUT) as response:
        check_status(response)
        lines = list(islice(response.iter_lines(1 << 16), n))
    for number, line in enumerate(lines, start=1):
        try:
            parse_strokes(line)
        except (ValueError, TypeError, LookupError, ArithmeticError):
            raise CdirError(f"{url}: line {number} is not a QuickDraw drawing: check the source's address") from None
    return lines
