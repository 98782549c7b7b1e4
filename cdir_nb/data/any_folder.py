"""The former module of `open_any_folder`, for code that imports it from here."""

from cdir_nb.data.folder import open_any_folder

__all__ = ["open_any_folder"]
