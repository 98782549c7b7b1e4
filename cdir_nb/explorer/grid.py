"""`Grid`: pictures in a notebook that can be clicked, or chosen with Tab and Enter."""

from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent


class Grid(anywidget.AnyWidget):
    """A grid of pictures.

    items    one dict per picture: key, src (a data URL), alt, note (lines below it), kind (right, wrong, chosen, plain)
    label    what the grid shows, for screen readers
    clicked  {"key": of the last picture clicked, "times": number of clicks so far}
    """

    _esm = HERE / "grid.js"
    _css = HERE / "grid.css"
    items = traitlets.List([]).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    clicked = traitlets.Dict({}).tag(sync=True)
