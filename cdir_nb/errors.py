"""The one error class for bad input, which the user can fix."""


class CdirError(Exception):
    """Bad input. The message is one line: what is wrong, in which file or value, and the remedy."""

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: str) -> str:
    """Text that stays on one line of any terminal: control characters and bytes that are no UTF-8 are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def os_problem(error: OSError) -> str:
    """What the system says, and of which file: `No space left on device: runs/a`."""
    return printable(": ".join(str(part) for part in (error.strerror or error, error.filename) if part))
