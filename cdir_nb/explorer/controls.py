"""Functions that all panels use: menus, sliders, and the display of a panel with or without widgets."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import ipywidgets as w
import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure

from cdir_nb.show.style import pretty
from cdir_nb.show.widgets import headless

SIZES = {"layout": {"width": "340px"}, "style": {"description_width": "110px"}}
TEMPERATURES = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
MAX_K = 30
Control = Any  # a widget with a value; the types of ipywidgets do not include its type


class Panel(Protocol):
    """Interface of a panel: widgets in a box, and a static figure of their state."""

    box: w.Widget

    def figure(self) -> Figure: ...


def show_panel(panel: Panel) -> Figure:
    """Display a panel, or its static figure in a headless run. Returns the figure."""
    fig = panel.figure()
    plt.close(fig)  # otherwise the notebook shows it again at the end of the cell
    display(fig if headless() else panel.box)
    return fig


def menu(name: str, options: Iterable[Any], value: Any = None) -> Control:
    """A drop-down menu; underscores in names become spaces."""
    named = [(pretty(option), option) for option in options]
    start = named[0][1] if value is None else value
    return w.Dropdown(options=named, value=start, description=name, **SIZES)


def value_slider(name: str, options: Sequence[Any], value: Any) -> Control:
    """A slider that selects one of a few values."""
    return w.SelectionSlider(options=tuple(options), value=value, description=name, **SIZES)


def int_slider(name: str, low: int, high: int, value: int) -> Control:
    """A slider that selects an integer from `low` to `high`."""
    return w.IntSlider(value, low, high, description=name, **SIZES)


def k_slider() -> Control:
    """A slider that selects k, the number of results."""
    return int_slider("k", 1, MAX_K, 10)


def row(*widgets: w.Widget) -> w.HBox:
    """Arrange widgets in a row, which wraps on a narrow page."""
    return w.HBox(widgets, layout={"flex_flow": "row wrap"})


def on_value(widget: w.Widget, act: Callable[[Any], Any]) -> None:
    """Call `act(new value)` whenever a control changes."""
    widget.observe(lambda change: act(change["new"]), names="value")
