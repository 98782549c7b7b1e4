"""The one error class for bad input, which the user can fix."""


class CdirError(Exception):
    """Bad input. The message is one line: what is wrong, in which file or value, and the remedy."""
