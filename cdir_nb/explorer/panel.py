"""The retrieval explorer as widgets. It computes in `ask` and draws in `pictures`; here are the controls."""

from dataclasses import replace

import ipywidgets as w
import numpy as np
from matplotlib.figure import Figure

from cdir_nb.errors import CdirError
from cdir_nb.explorer.ask import Explorer, Question
from cdir_nb.explorer.controls import menu, move_once, on_value, row, steps, whole
from cdir_nb.explorer.grid import Grid
from cdir_nb.explorer.methods import Slider
from cdir_nb.explorer.pictures import Tile, answer_figure, in_words, query_tiles, result_tiles, tile_maker
from cdir_nb.show.style import shorten

TEMPERATURES = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
PAGE = 10  # queries shown at a time
NOTHING = "nothing"


class RetrievalPanel:
    """Controls and results for one explorer; `box` is the widget to display.

    Each control writes a new `question`, and `answer` shows it. A result that is clicked becomes the next query, and
    the domains change places; "back" returns. A second method, whose slider stands at its start, answers below.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer, c = explorer, explorer.collection
        self.question, self.past, self.page, self.quiet = explorer.start(), [], 0, False
        self.url_of = tile_maker(c.images)
        self.method, self.other = menu("method", explorer.methods), menu("compare with", [NOTHING, *explorer.methods])
        self.query_domain, self.gallery_domain = menu("query domain", c.domains), menu("gallery domain", c.domains)
        self.gallery = menu("gallery", c.galleries)
        self.value, self.k = steps("", (0,), 0), whole("k", 1, 30, self.question.k)
        self.temperature = steps("temperature", TEMPERATURES, 0.1)
        self.about, self.says, self.other_says = w.HTML(), w.HTML(), w.HTML()
        self.queries, self.results = Grid(label="queries to choose from"), Grid(label="results, best first")
        self.others = Grid(label="results of the second method, best first")
        self.more, self.back = w.Button(description="other queries"), w.Button(description="back")
        self.box = self._arranged()
        self._show_question()
        self._listen()
        self.answer()

    def answer(self) -> None:
        """Ask the current question, of one method or of two, and show what comes back."""
        first, *second = map(self._found, self._asked())
        self.results.items, self.says.value = first
        self.others.items, self.other_says.value = second[0] if second else ([], "")

    def _asked(self) -> list[Question]:
        """The question, and the same one for the second method if there is one."""
        same = [] if self.other.value == NOTHING else [replace(self.question, method=self.other.value, value=None)]
        return [self.question, *same]

    def _found(self, question: Question) -> tuple[list[Tile], str]:
        """The results as tiles, and what is said above them; no tile and the reason for what cannot be asked."""
        try:
            found = self.explorer.ask(question)
        except CdirError as error:
            return [], f"<b>{error}</b>"
        tiles = result_tiles(found, self.explorer.collection.images, self.url_of)
        return tiles, f"<b>{found.title}</b><br>{in_words(found, self.temperature.value)}"

    def ask(self, **changed: object) -> None:
        """Change the question and show the answer; what a method computes once is announced first."""
        self.question = replace(self.question, **changed)
        self._show_question()
        waiting = [q.method for q in self._asked() if not self.explorer.is_ready(q)]
        if waiting:
            self.says.value = f"<b>{' and '.join(waiting)}: computed once, this takes some seconds …</b>"
        self.answer()

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

    def figure(self) -> Figure:
        """The current question and its answer as a static figure."""
        images, key = self.explorer.collection.images, self.question.query
        query = images.take([self.explorer.collection.row(key)])
        return answer_figure(self.explorer.ask(self.question), images, query, f"query:\n{shorten(query.labels[0], 11)}")

    def rehearse(self) -> None:
        """Move every control once and back, and click on a query and on a result."""
        start = self.question
        for name in self.explorer.methods:
            self.ask(method=name, value=None)
            move_once(self.value)
        for control in (self.query_domain, self.gallery_domain, self.gallery, self.k, self.temperature, self.other):
            move_once(control)
        self.turn_page()
        self.queries.clicked = {"key": self.queries.items[0]["key"], "times": 1}
        if self.results.items:
            self.results.clicked = {"key": self.results.items[0]["key"], "times": 1}
            self.back.click()
        self.page, self.past, self.question = 0, [], start
        self.ask()

    # ---- from the question to the controls ----

    def _show_question(self) -> None:
        self.quiet = True
        q, method = self.question, self.explorer.methods[self.question.method]
        self.method.value, self.query_domain.value, self.gallery_domain.value = (
            q.method,
            q.query_domain,
            q.gallery_domain,
        )
        self.gallery.value, self.k.value, self.back.disabled = q.gallery, q.k, not self.past
        slider = method.slider
        self.about.value = f"{method.about} <i>{slider.name}</i>: {slider.about}" if slider else method.about
        self._show_slider(slider, q.value)
        self._show_queries()
        self.quiet = False

    def _show_slider(self, slider: Slider | None, value: object) -> None:
        self.value.layout.display = "" if slider else "none"
        if slider and (tuple(self.value.options), self.value.description) != (slider.values, slider.name):
            self.value.options, self.value.description = slider.values, slider.name
        if slider:
            self.value.value = slider.start if value is None else value

    def _show_queries(self) -> None:
        c = self.explorer.collection
        rows = _spread(c.query_rows(self.question.query_domain), self.page)
        self.queries.items = query_tiles(rows, self.question.query, c.images, self.url_of)

    # ---- from the controls to the question ----

    def _listen(self) -> None:
        acts = {
            self.method: lambda name: self.ask(method=name, value=None),
            self.other: lambda name: self.ask(),
            self.query_domain: lambda domain: self.ask(query_domain=domain, query=self._first_query(domain)),
            self.gallery_domain: lambda domain: self.ask(gallery_domain=domain),
            self.gallery: lambda choice: self.ask(gallery=choice),
            self.value: lambda value: self.ask(value=value),
            self.k: lambda k: self.ask(k=k),
            self.temperature: lambda value: self.answer(),
        }
        for widget, act in acts.items():
            on_value(widget, lambda new, act=act: self.quiet or act(new))
        self.queries.observe(lambda change: self.ask(query=change["new"]["key"]), names="clicked")
        for grid in (self.results, self.others):
            grid.observe(lambda change: self.follow(change["new"]["key"]), names="clicked")
        self.more.on_click(lambda button: self.turn_page())
        self.back.on_click(lambda button: self.go_back())

    def _first_query(self, domain: str) -> str:
        c = self.explorer.collection
        return c.images.keys[_spread(c.query_rows(domain), self.page)[0]]

    def _arranged(self) -> w.Widget:
        choices = row(self.method, self.query_domain, self.gallery_domain, self.gallery, self.other)
        sliders = row(self.value, self.k, self.temperature)
        answers = [self.says, self.results, self.other_says, self.others]
        return w.VBox([choices, self.about, sliders, row(self.more, self.back), self.queries, *answers])


def _spread(rows: np.ndarray, page: int) -> list[int]:
    """At most PAGE rows, spread over all of them so that they differ in class; each page shifts by one row."""
    if len(rows) <= PAGE:
        return rows.tolist()
    return rows[(np.linspace(0, len(rows), PAGE, endpoint=False).astype(int) + page) % len(rows)].tolist()
