"""The retrieval panel: controls for a question, the results of one method, and those of a second method."""

import html
import os
from dataclasses import replace

import ipywidgets as w
import numpy as np
from matplotlib.figure import Figure

from cdir_nb.errors import CdirError
from cdir_nb.explorer.ask import Explorer, Question
from cdir_nb.explorer.controls import MAX_K, TEMPERATURES, Panel, Results, k_slider, menu, on_value, row, value_slider
from cdir_nb.explorer.grid import Grid, answer_figure, answer_text, query_tiles, result_tiles, tile_maker
from cdir_nb.explorer.state import exports, link_of, question_of
from cdir_nb.show.style import shorten

PAGE_SIZE = 10  # queries shown at a time
NO_METHOD = "nothing"


class RetrievalPanel(Panel):
    """Controls and results for one explorer; `box` is the widget to display.

    Each control changes `question`, and `update` shows the results. A clicked result becomes the next query, and the
    domains are exchanged; the button "back" undoes this. The results of a second method, with its initial slider value,
    are shown below.
    """

    def __init__(self, explorer: Explorer) -> None:
        super().__init__("results, best first")
        self.explorer = explorer
        with self.answers.errors_shown():
            self._build()

    def _build(self) -> None:
        explorer, c = self.explorer, self.explorer.collection
        self.question, self.history, self.page, problem = explorer.start(), [], 0, ""
        try:  # Voilà passes the page's address
            self.question = question_of(os.environ.get("QUERY_STRING", ""), explorer, MAX_K)
        except CdirError as error:
            problem = str(error)
        self.updating = False  # True while the controls follow the question
        self.url_of = tile_maker(c.images)
        self.method = menu("method", explorer.methods)
        self.compared = menu("compare with", [NO_METHOD, *explorer.methods])
        self.query_domain, self.gallery_domain = menu("query domain", c.domains), menu("gallery domain", c.domains)
        self.gallery = menu("gallery", c.galleries)
        self.value, self.k = value_slider("", (0,), 0), k_slider()
        self.temperature = value_slider("temperature", TEMPERATURES, 0.1)
        self.about, self.queries = w.HTML(), Grid(label="queries to choose from")
        self.compared_answers = Results("results of the second method, best first")
        self.compared_message, self.compared_results = self.compared_answers.message, self.compared_answers.grid
        self.more, self.back = w.Button(description="other queries"), w.Button(description="back")
        menus = row(self.method, self.query_domain, self.gallery_domain, self.gallery, self.compared)
        sliders, buttons = row(self.value, self.k, self.temperature), row(self.more, self.back)
        self.exports = w.HTML()
        answers = [self.message, self.results, self.exports, self.compared_message, self.compared_results]
        self.box.children = [menus, self.about, sliders, buttons, self.queries, *answers]
        self._show_question()
        self._observe_controls()
        self.update()
        if problem:
            self.message.value = f"{html.escape(problem)}<br>{self.message.value}"

    def update(self) -> None:
        """Show the results of the method, and those of the second method if one is chosen."""
        self._show_answer(self.answers, self.question)
        if self.compared.value == NO_METHOD:
            self.compared_answers.show("")
        else:
            self._show_answer(self.compared_answers, replace(self.question, method=self.compared.value, value=None))

    def ask(self, **changes: object) -> None:
        """Change the question and show the answer."""
        self.question = replace(self.question, **changes)
        with self.answers.errors_shown():
            self._show_question()
        self.answers.show("computing …", tiles=self.results.items)  # TKI trains for some seconds the first time
        self.update()

    def follow(self, key: str) -> None:
        """Make a result the query, and the domain of the previous query the gallery."""
        self.history.append(self.question)
        q = self.question
        self.ask(query=key, query_domain=q.gallery_domain, gallery_domain=q.query_domain)

    def go_back(self) -> None:
        """Return to the question before the last call of `follow`."""
        if self.history:
            self.question = self.history.pop()
            self.ask()

    def turn_page(self) -> None:
        """Show other queries of the domain."""
        self.page += 1
        with self.answers.errors_shown():
            self._show_queries()

    def draw(self) -> Figure:
        """The current question and its answer as a static figure."""
        images = self.explorer.collection.images
        query = images.take([self.explorer.collection.row(self.question.query)])
        answer = self.explorer.ask(self.question)
        return answer_figure(answer, images, query, f"query:\n{shorten(query.labels[0], 11)}")

    def _show_answer(self, answers: Results, question: Question) -> None:
        """Show the answer to a question, or why it has none; and links that export the answer of the first method."""
        if answers is self.answers:
            self.exports.value = ""
        with answers.errors_shown():
            answer = self.explorer.ask(question)
            tiles = result_tiles(answer, self.explorer.collection, self.url_of)
            answers.show(answer.title, answer_text(answer, self.temperature.value), tiles)
            if answers is self.answers:
                link = link_of(question, self.explorer)
                self.exports.value = exports(answer, self.explorer.collection.images, tiles, link)

    def _show_question(self) -> None:
        """Set the controls to the question."""
        self.updating = True
        for name in ("method", "query_domain", "gallery_domain", "gallery", "k"):
            getattr(self, name).value = getattr(self.question, name)
        self.back.disabled = not self.history
        method = self.explorer.methods[self.question.method]
        slider = method.slider
        self.about.value = f"{method.about} <i>{slider.name}</i>: {slider.about}" if slider else method.about
        self.value.layout.display = "" if slider else "none"
        if slider:
            if (tuple(self.value.options), self.value.description) != (slider.values, slider.name):
                self.value.options, self.value.description = slider.values, slider.name
            self.value.value = slider.start if self.question.value is None else self.question.value
        self._show_queries()
        self.updating = False

    def _show_queries(self) -> None:
        c, rows = self.explorer.collection, self._page_rows(self.question.query_domain)
        self.queries.items = query_tiles(rows, self.question.query, c, self.url_of)

    def _page_rows(self, domain: str) -> list[int]:
        """At most PAGE_SIZE queries, at equal distances so that classes differ; each page shifts them by one row."""
        rows = self.explorer.collection.query_rows(domain)
        if len(rows) <= PAGE_SIZE:
            return rows.tolist()
        return rows[(np.linspace(0, len(rows), PAGE_SIZE, endpoint=False).astype(int) + self.page) % len(rows)].tolist()

    def _observe_controls(self) -> None:
        def ask_with(name: str, **changes: object) -> None:
            on_value(getattr(self, name), lambda value: self.updating or self.ask(**{name: value}, **changes))

        def change_query_domain(domain: str) -> None:
            if not self.updating:
                keys = [self.explorer.collection.images.keys[row] for row in self._page_rows(domain)]
                self.ask(query_domain=domain, query=keys[0] if keys else "")

        ask_with("method", value=None)
        for name in ("gallery_domain", "gallery", "value", "k"):
            ask_with(name)
        on_value(self.query_domain, change_query_domain)
        on_value(self.compared, lambda name: self.ask())
        on_value(self.temperature, lambda temperature: self.update())
        self.queries.observe(lambda change: self.ask(query=change["new"]["key"]), names="clicked")
        for grid in (self.results, self.compared_results):
            grid.observe(lambda change: self.follow(change["new"]["key"]), names="clicked")
        self.more.on_click(lambda button: self.turn_page())
        self.back.on_click(lambda button: self.go_back())
