"""What all panels share: menus and sliders of one size, and showing a panel where something can be moved."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import ipywidgets as w
import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure

from cdir_nb.show.style import pretty
from cdir_nb.show.widgets import headless

WIDE = {"width": "340px"}
LABEL = {"description_width": "110px"}
FLOW = {"flex_flow": "row wrap"}


class Shown(Protocol):
    """A panel: the widget to display, a static figure of its state, and a move of every control."""

    box: w.Widget

    def figure(self) -> Figure: ...

    def rehearse(self) -> None: ...


def show_panel(panel: Shown) -> Figure:
    """Display a panel, or its static figure where nobody can move a slider. Returns the figure, for saving.

    A headless run first moves every control once, so that a broken one is found there.
    """
    if headless():
        panel.rehearse()
    fig = panel.figure()
    plt.close(fig)  # otherwise the notebook shows it again at the end of the cell
    display(fig if headless() else panel.box)
    return fig


def menu(name: str, options: Sequence[Any], value: Any = None) -> w.Dropdown:
    """A drop-down menu; underscores in names become spaces."""
    named = [(pretty(option), option) for option in options]
    start = named[0][1] if value is None else value
    return w.Dropdown(options=named, value=start, description=name, layout=WIDE, style=LABEL)


def steps(name: str, options: Sequence[Any], value: Any) -> w.SelectionSlider:
    """A slider over a few values."""
    return w.SelectionSlider(options=tuple(options), value=value, description=name, layout=WIDE, style=LABEL)


def whole(name: str, low: int, high: int, value: int) -> w.IntSlider:
    """A slider over whole numbers."""
    return w.IntSlider(value, low, high, description=name, layout=WIDE, style=LABEL)


def row(*widgets: w.Widget) -> w.HBox:
    """Widgets side by side, wrapped where the page is narrow."""
    return w.HBox(widgets, layout=FLOW)


def on_value(widget: w.Widget, act: Callable[[Any], Any]) -> None:
    """Call `act(new value)` whenever a control is moved."""
    widget.observe(lambda change: act(change["new"]), names="value")


def move_once(widget: w.Widget) -> None:
    """Move a control to another of its values and back, as a hand would."""
    before = widget.value
    if isinstance(widget, w.IntSlider):
        widget.value = widget.min if before != widget.min else widget.max
    else:
        values = [option[1] if isinstance(option, tuple) else option for option in widget.options]
        widget.value = next((value for value in values if value != before), before)
    widget.value = before
