"""Shared by all panels: menus, sliders, the base class, and the display of a panel with or without widgets."""

import html
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import ipywidgets as w
import matplotlib.pyplot as plt
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from cdir_nb.errors import CdirError
from cdir_nb.explorer.grid import Grid, Tile
from cdir_nb.show.style import WIDTH, pretty, styled, with_titles
from cdir_nb.show.widgets import headless

SIZES = {"layout": {"width": "340px"}, "style": {"description_width": "110px"}}
TEMPERATURES = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
MAX_K = 30
Control = Any  # a widget with a value; the types of ipywidgets do not include its type


@contextmanager
def errors_shown(show: Callable[[CdirError], Any] = lambda error: display(Markdown(f"**{error}**"))) -> Iterator[None]:
    """Context for a part of the page: a `CdirError` is shown in its place, and the page continues."""
    try:
        yield
    except CdirError as error:
        show(error)


class Results:
    """A grid of results and the text above it.

    error  the error that is shown, or None
    """

    def __init__(self, label: str) -> None:
        self.message, self.grid = w.HTML(), Grid(label=label)
        self.error: CdirError | None = None

    def show(self, title: str, text: str = "", tiles: Sequence[Tile] = ()) -> None:
        """Show a title, a text below it, and tiles; the text is HTML, the title is not."""
        lines = "<br>".join(filter(None, [f"<b>{html.escape(title)}</b>" if title else "", text]))
        self.message.value = f'<div style="line-height: 1.5">{lines}</div>'
        self.grid.items = list(tiles)

    def errors_shown(self) -> AbstractContextManager[None]:
        """Context for code that calls `show`: a `CdirError` is shown in place of results."""
        self.error = None
        return errors_shown(self._show_error)

    def _show_error(self, error: CdirError) -> None:
        self.error = error
        self.show(str(error))


class Panel(ABC):
    """Base class of the panels: a part of the page; if it cannot be built, the reason is shown in its place.

    box      the widget to display; only the message if the panel cannot be built
    answers  the results and the text above them
    """

    def __init__(self, label: str) -> None:
        self.answers = Results(label)
        self.message, self.results = self.answers.message, self.answers.grid
        self.box = w.VBox([self.message])

    def figure(self) -> Figure:
        """A static figure of the panel's state: its results, or the error."""
        return text_figure(str(self.answers.error)) if self.answers.error else self.draw()

    @abstractmethod
    def draw(self) -> Figure:
        """A static figure of the results."""


@styled
def text_figure(text: str) -> Figure:
    """A figure of one text, on one line or a few."""
    fig = plt.figure(figsize=(WIDTH, 0.6))
    fig.text(0, 0.5, text, wrap=True, va="center")
    return fig


def show_panel(panel: Panel) -> Figure:
    """Display a panel, or its static figure in a headless run. Returns the figure."""
    fig = panel.figure()
    plt.close(fig)  # otherwise the notebook shows it again at the end of the cell
    display(fig if headless() else panel.box)
    return fig


def menu(name: str, options: Iterable[Any], value: Any = None) -> Control:
    """A drop-down menu; underscores in names become spaces, and domains are shown by their titles."""
    named = [(with_titles(pretty(option)), option) for option in options]
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


def application(controls: Sequence[w.Widget], results: Sequence[w.Widget]) -> w.HBox:
    """Arrange a panel: controls on the left, results on the right; on a narrow page one below the other."""
    left = w.VBox(tuple(controls), layout={"flex": "0 0 350px", "margin": "0 16px 0 0"})
    right = w.VBox(tuple(results), layout={"flex": "1 1 500px", "min_width": "0"})
    return row(left, right)


def folded(summary: str, text: str) -> str:
    """HTML that is folded below a summary; the text is HTML, too."""
    return f"<details><summary>{html.escape(summary)}</summary>{text}</details>"
