"""The error class for bad input, which the user can correct."""


class CdirError(Exception):
    """Bad input. The message is one line: the file or value, what is wrong with it, and the remedy."""

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: str) -> str:
    """The text on one line: control characters and bytes that are not UTF-8 are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def os_problem(error: OSError) -> str:
    """The system's message and the file: `No space left on device: runs/a`."""
    return printable(": ".join(str(part) for part in (error.strerror or error, error.filename) if part))
