"""Former location of `open_any_folder`, kept for code that still imports it from here."""

from cdir_nb.data.folder import open_any_folder

__all__ = ["open_any_folder"]
