"""`CdirError`, the error for invalid input that the user can correct; errors of missing packages and files."""

import importlib.util


class CdirError(Exception):
    """Invalid input. The message is one line: the file or value, what is wrong with it, and the remedy."""

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: str) -> str:
    """The text on one line: control characters and bytes that are not UTF-8 are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def os_message(error: OSError) -> str:
    """The system's message and the file: `No space left on device: runs/a`."""
    return printable(": ".join(str(part) for part in (error.strerror or error, error.filename) if part))


def require_extra(extra: str, *packages: str) -> None:
    """Raise CdirError, with the command that installs the extra, if one of its packages is not installed.

    extra     name of the extra in pyproject.toml, such as "notebooks"
    packages  import names; they are not imported
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise CdirError(f'{package}: not installed; run: pip install "cdir-nb[{extra}]"')
