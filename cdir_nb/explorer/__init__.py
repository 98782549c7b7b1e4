"""The explorer: interactive retrieval in a collection of images, with controls, maps and a drawing canvas.

`collection`, `methods`, `ask`, `missions`, `state` and `drawing` compute without widgets; `controls` and `grid` are
shared by the panels; `serve` starts the page of `cdir explore`.
"""

from cdir_nb.errors import require_extra

require_extra("explorer", "jscatter", "wigglystuff", "anywidget", "voila", "papermill")

from cdir_nb.explorer.ask import Answer, Explorer, Question
from cdir_nb.explorer.collection import Collection, open_collection, open_user_folder
from cdir_nb.explorer.controls import errors_shown, show_panel
from cdir_nb.explorer.draw_panel import DrawPanel
from cdir_nb.explorer.label_panel import LabelPanel
from cdir_nb.explorer.map_panel import MapPanel
from cdir_nb.explorer.retrieval_panel import RetrievalPanel

open_own = open_user_folder  # its name in earlier versions

__all__ = [
    "Answer",
    "Collection",
    "DrawPanel",
    "Explorer",
    "LabelPanel",
    "MapPanel",
    "Question",
    "RetrievalPanel",
    "errors_shown",
    "open_collection",
    "open_own",
    "open_user_folder",
    "show_panel",
]
