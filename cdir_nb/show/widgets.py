"""Sliders for a figure, which is also shown where no slider can be moved.

`explore` first displays an ordinary image, which headless runs keep and web pages show. In a live notebook, controls
below it redraw the same image, so nothing is visible only in a widget.
"""

import inspect
import os
from collections.abc import Callable

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import Markdown, display
from matplotlib.figure import Figure

HEADLESS = "CDIR_HEADLESS"  # our runners set it to 1: then only the image is displayed


def headless() -> bool:
    """True if nobody can move a slider: `CDIR_HEADLESS` is set to anything but 0."""
    return os.environ.get(HEADLESS, "0") not in ("", "0")


def explore(draw: Callable[..., Figure], **controls: object) -> Figure:
    """Show `draw(**values)` and, in a live notebook, controls that redraw it. Returns the first figure.

    Each control is a tuple (low, high, start) of integers for a slider, or a list for a drop-down menu that starts at
    its first item. A headless run shows only the figure for the starting values.
    """
    widgets = {name: _control(name, spec) for name, spec in controls.items()}
    fig = _draw(draw, widgets)
    handle = display(fig, display_id=True)
    if headless():
        return fig

    def redraw(_change: dict) -> None:
        handle.update(_draw(draw, widgets))

    for widget in widgets.values():
        widget.observe(redraw, names="value")
    display(ipywidgets.HBox(list(widgets.values()), layout={"flex_flow": "row wrap"}))
    return fig


def _draw(draw: Callable[..., Figure], widgets: dict[str, ipywidgets.ValueWidget]) -> Figure:
    fig = draw(**{name: widget.value for name, widget in widgets.items()})
    plt.close(fig)  # otherwise the notebook shows it again at the end of the cell
    return fig


def _control(name: str, spec: object) -> ipywidgets.ValueWidget:
    """A slider for (low, high, start), a drop-down menu for a list."""
    text = name.replace("_", " ")
    if isinstance(spec, tuple):
        low, high, start = spec
        return ipywidgets.IntSlider(value=start, min=low, max=high, description=text, continuous_update=False)
    return ipywidgets.Dropdown(options=list(spec), description=text)


def show_source(*functions: Callable) -> None:
    """Show the source code of functions in the notebook, read from the package so that it is always up to date."""
    for function in functions:
        where = f"`{function.__module__}.{function.__qualname__}`"
        display(Markdown(f"{where}\n```python\n{inspect.getsource(function).rstrip()}\n```"))
