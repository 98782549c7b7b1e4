"""Search: images that resemble an image or match a text, in a folder of the user."""

from cdir_nb.search.index import Changes, Index, Result
from cdir_nb.search.sheet import contact_sheet, data_url

__all__ = ["Changes", "Index", "Result", "contact_sheet", "data_url"]
