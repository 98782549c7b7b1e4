"""Figures with sliders that are also visible in headless runs and on web pages.

A headless run displays a static figure, so that the content does not depend on widgets. In a live notebook, controls
above the figure redraw it.
"""

import inspect
import os
from collections.abc import Callable

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import Markdown, display
from matplotlib.figure import Figure

HEADLESS = "CDIR_HEADLESS"  # set to 1 by `cdir reproduce` and scripts: only the image is displayed


def headless() -> bool:
    """True if the run is not interactive: `CDIR_HEADLESS` is set to anything but 0."""
    return os.environ.get(HEADLESS, "0") not in ("", "0")


def explore(
    draw: Callable[..., Figure], *, filmstrip: Figure | None = None, **controls: tuple[int, int, int] | list
) -> Figure:
    """Display `draw(**values)` below controls that redraw it. Returns the first figure, or the filmstrip if headless.

    Each control is a tuple (low, high, start) of integers for a slider, or a list for a drop-down menu that starts at
    its first item; its name, with spaces for underscores, is its label.
    filmstrip  the figure of a headless run, such as three settings side by side; None: that of the starting values
    """
    if filmstrip is not None:
        plt.close(filmstrip)
    if headless():
        fig = filmstrip or _draw(draw, {name: _control(name, spec) for name, spec in controls.items()})
        display(fig)
        return fig
    widgets = {name: _control(name, spec) for name, spec in controls.items()}
    display(ipywidgets.HBox(list(widgets.values()), layout={"flex_flow": "row wrap"}))
    fig = _draw(draw, widgets)
    handle = display(fig, display_id=True)

    def redraw(_change: dict) -> None:
        handle.update(_draw(draw, widgets))  # pyright: ignore[reportOptionalMemberAccess]  # not None with a display_id

    for widget in widgets.values():
        widget.observe(redraw, names="value")
    return fig


def _draw(draw: Callable[..., Figure], widgets: dict[str, ipywidgets.ValueWidget]) -> Figure:
    fig = draw(**{name: widget.value for name, widget in widgets.items()})
    plt.close(fig)  # otherwise the notebook displays it again at the end of the cell
    return fig


def _control(name: str, spec: tuple[int, int, int] | list) -> ipywidgets.ValueWidget:
    """A slider for (low, high, start), a drop-down menu for a list."""
    label = {"description": name.replace("_", " "), "style": {"description_width": "initial"}}
    if isinstance(spec, tuple):
        low, high, start = spec
        return ipywidgets.IntSlider(value=start, min=low, max=high, continuous_update=False, **label)
    return ipywidgets.Dropdown(options=spec, **label)


def show_source(*functions: Callable) -> None:
    """Display the current source code of functions of the package."""
    for function in functions:
        name = f"`{function.__module__}.{function.__qualname__}`"
        display(Markdown(f"{name}\n```python\n{inspect.getsource(function).rstrip()}\n```"))
