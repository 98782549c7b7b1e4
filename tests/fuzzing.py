"""Random inputs: a sample in each run of the tests, all of them with `make fuzz`, a tenth with CDIR_FUZZ=0.1."""

import gc
import os
from collections.abc import Iterator

import psutil

FRACTION = float(os.environ.get("CDIR_FUZZ") or 0)
GROWTH = 100e6  # bytes, of the process after a tenth of the rounds
TEXTS = (
    *(
        "",
        " ",
        "\t\n",
        "dog",
        "DOG",
        "dog ",
        "d\u00f6g",
        "do\u0308g",
        "\u65e5\u672c",
        "\U0001f436",
        "\u202edog",
        "\ud83d",
    ),
    *("\x00", "\x1b[31m", "\r\n", "a\u0000b", "{domain}", "{", "}", "[DOMAIN]", "<end_of_text>", "<|endoftext|>", "%s"),
    *(
        "nan",
        "None",
        "-1",
        "1e400",
        "'",
        '"',
        ",",
        ";",
        "\ufeff",
        "\u200b",
        "&amp;",
        "<b>",
        "a/b",
        "..",
        "\\",
        "_",
        "\ud83d",
    ),
    "x" * 5000,
)


def amount(full: int, sample: int) -> int:
    """The fraction CDIR_FUZZ of the full number, and at least the sample."""
    return max(sample, round(full * FRACTION))


def rounds(count: int) -> Iterator[int]:
    """0, 1, ... Raises AssertionError if the process grows in them."""
    start = 0
    for number in range(count):
        yield number
        if number == count // 10:
            start = _memory()
    grown = _memory() - start
    assert not FRACTION or grown < GROWTH, f"{grown / 1e6:,.0f} MB more after {count:,} rounds"


def _memory() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss
