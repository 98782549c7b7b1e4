"""The one error that a user can cause and can mend."""


class CdirError(Exception):
    """Bad input. The message is one line: what is wrong, in which file or value, and the remedy."""
