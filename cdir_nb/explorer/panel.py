"""The retrieval explorer as widgets. What it computes is in `ask`, what it shows in `pictures`; here are the controls."""

from dataclasses import replace

import ipywidgets as w
import numpy as np

from cdir_nb.errors import CdirError
from cdir_nb.explorer.ask import Explorer, Question
from cdir_nb.explorer.grid import Grid
from cdir_nb.explorer.pictures import in_words, query_tiles, result_tiles, tile_maker
from cdir_nb.show.style import pretty

TEMPERATURES = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
PAGE = 10  # queries shown at a time
WIDE = {"width": "330px"}
LABEL = {"description_width": "110px"}


class Panel:
    """Controls and results for one explorer; `box` is the widget to display.

    Each control writes a new `question`, and `answer` shows it. A result that is clicked becomes the next query, and
    the domains change places; "back" returns.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer, c = explorer, explorer.collection
        self.question, self.past, self.page, self.quiet = explorer.start(), [], 0, False
        self.url_of = tile_maker(c.images)
        self.method = _menu("method", explorer.methods)
        self.query_domain = _menu("query domain", c.domains)
        self.gallery_domain = _menu("gallery domain", c.domains)
        self.gallery = _menu("gallery", c.galleries)
        self.value = w.SelectionSlider(options=(0,), layout=WIDE, style=LABEL)
        self.k = w.IntSlider(10, 1, 30, description="k", layout=WIDE, style=LABEL)
        self.temperature = w.SelectionSlider(
            options=TEMPERATURES, value=0.1, description="temperature", layout=WIDE, style=LABEL
        )
        self.about, self.says = w.HTML(), w.HTML()
        self.queries = Grid(label="queries to choose from")
        self.results = Grid(label="results, best first")
        self.more = w.Button(description="other queries")
        self.back = w.Button(description="back", disabled=True)
        self.box = self._arranged()
        self._show_question()
        self._listen()
        self.answer()

    def answer(self) -> None:
        """Ask the current question and show what comes back, or the message of what cannot be asked."""
        c = self.explorer.collection
        try:
            found = self.explorer.ask(self.question)
        except CdirError as error:
            self.says.value, self.results.items = f"<b>{error}</b>", []
            return
        self.results.items = result_tiles(found, c.images, self.url_of)
        self.says.value = f"<b>{found.title}</b><br>{in_words(found, self.temperature.value)}"

    def ask(self, **changed: object) -> None:
        """Change the question and show the answer."""
        self.question = replace(self.question, **changed)
        self._show_question()
        self.answer()

    def choose(self, key: str) -> None:
        """Take another query of the same domain."""
        self.ask(query=key)

    def follow(self, key: str) -> None:
        """Make a result the query: its neighbours in the domain that we came from."""
        self.past.append(self.question)
        q = self.question
        self.ask(query=key, query_domain=q.gallery_domain, gallery_domain=q.query_domain)

    def go_back(self) -> None:
        """Return to the question before the last result that was followed."""
        if self.past:
            self.question = self.past.pop()
            self.ask()

    def turn_page(self) -> None:
        """Show other queries of the domain."""
        self.page += 1
        self._show_queries()

    # ---- from the question to the controls ----

    def _show_question(self) -> None:
        self.quiet = True
        q, method = self.question, self.explorer.methods[self.question.method]
        self.method.value, self.query_domain.value, self.gallery_domain.value = q.method, q.query_domain, q.gallery_domain
        self.gallery.value, self.k.value, self.back.disabled = q.gallery, q.k, not self.past
        self.about.value = method.about + (f" {method.slider.name}: {method.slider.about}" if method.slider else "")
        self._show_slider(method.slider, q.value)
        self._show_queries()
        self.quiet = False

    def _show_slider(self, slider, value) -> None:
        self.value.layout.visibility = "visible" if slider else "hidden"
        if slider and tuple(self.value.options) != slider.values:
            self.value.options, self.value.description = slider.values, slider.name
        if slider:
            self.value.value = slider.start if value is None else value

    def _show_queries(self) -> None:
        c = self.explorer.collection
        rows = _spread(c.query_rows(self.question.query_domain), self.page)
        self.queries.items = query_tiles(rows, self.question.query, c.images, self.url_of)

    # ---- from the controls to the question ----

    def _listen(self) -> None:
        def on(widget: w.Widget, act) -> None:
            widget.observe(lambda change: self.quiet or act(change["new"]), names="value")

        on(self.method, lambda name: self.ask(method=name, value=None))
        on(self.query_domain, lambda domain: self.ask(query_domain=domain, query=self._first_query(domain)))
        on(self.gallery_domain, lambda domain: self.ask(gallery_domain=domain))
        on(self.gallery, lambda choice: self.ask(gallery=choice))
        on(self.value, lambda value: self.ask(value=value))
        on(self.k, lambda k: self.ask(k=k))
        on(self.temperature, lambda value: self.answer())
        self.queries.observe(lambda change: self.choose(change["new"]["key"]), names="clicked")
        self.results.observe(lambda change: self.follow(change["new"]["key"]), names="clicked")
        self.more.on_click(lambda button: self.turn_page())
        self.back.on_click(lambda button: self.go_back())

    def _first_query(self, domain: str) -> str:
        c = self.explorer.collection
        return c.images.keys[_spread(c.query_rows(domain), self.page)[0]]

    def _arranged(self) -> w.Widget:
        flow = {"flex_flow": "row wrap"}
        choices = w.HBox([self.method, self.query_domain, self.gallery_domain, self.gallery], layout=flow)
        sliders = w.HBox([self.value, self.k, self.temperature], layout=flow)
        return w.VBox([choices, self.about, sliders, w.HBox([self.more, self.back]), self.queries, self.says, self.results])


def _menu(name: str, options) -> w.Dropdown:
    return w.Dropdown(options=[(pretty(option), option) for option in options], description=name, layout=WIDE, style=LABEL)


def _spread(rows: np.ndarray, page: int) -> list[int]:
    """At most PAGE rows, spread over all of them so that they differ in class; each page shifts by one row."""
    if len(rows) <= PAGE:
        return rows.tolist()
    return rows[(np.linspace(0, len(rows), PAGE, endpoint=False).astype(int) + page) % len(rows)].tolist()
