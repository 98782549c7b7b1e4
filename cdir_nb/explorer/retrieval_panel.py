"""The retrieval panel: controls for a question, the results of one method, and those of a second method."""

import html
import os
from dataclasses import replace
from urllib.parse import parse_qs

import ipywidgets as w
import numpy as np
from matplotlib.figure import Figure

from cdir_nb.errors import CdirError
from cdir_nb.explorer.ask import Explorer, Question
from cdir_nb.explorer.controls import (
    MAX_K,
    SIZES,
    TEMPERATURES,
    Control,
    Panel,
    Results,
    application,
    folded,
    k_slider,
    menu,
    on_value,
    row,
    value_slider,
)
from cdir_nb.explorer.grid import (
    Grid,
    answer_figure,
    answer_text,
    explanation_text,
    query_tiles,
    result_tiles,
    tile_maker,
)
from cdir_nb.explorer.missions import missions_of
from cdir_nb.explorer.state import exports, link_of, question_of
from cdir_nb.show.style import RIGHT, WRONG, pretty, shorten

PAGE_SIZE = 10  # queries shown at a time
NO_METHOD = "nothing"
TEXT_STYLE = "width: 320px; line-height: 1.4"


class RetrievalPanel(Panel):
    """Controls and results for one explorer; `box` is the widget to display.

    Each control changes `question`, and `update` shows the results. Below them stands where the rank of a clicked
    result comes from. A button makes it the next query, with the domains exchanged; the button "back" undoes this. The
    results of a second method, with its initial slider value, are shown below. A mission sets the question, and has a
    box for an answer.
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
        self.selected = ""
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
        self.exports, self.explanation = w.HTML(), w.HTML()
        self.take = w.Button(description="make it the query", layout={"display": "none"})
        menus = [self.method, self.query_domain, self.gallery_domain, self.gallery, self.compared]
        controls = [*self._mission_controls(), *menus, self.value, self.k, self.temperature, self.about]
        queries = [self.queries, row(self.more, self.back)]
        answers = [self.message, self.results, self.explanation, self.take, self.exports]
        compared = [self.compared_message, self.compared_results]
        self.box.children = [application(controls, [*queries, *answers, *compared])]
        self._show_question()
        self._observe_controls()
        self.update()
        if problem:
            self.message.value = f"{html.escape(problem)}<br>{self.message.value}"

    def _mission_controls(self) -> list[w.Widget]:
        """The menu of missions, the task, and the box for an answer; nothing for images without missions."""
        self.missions = missions_of(self.explorer)
        options = [("free play", ""), *((mission.title, name) for name, mission in self.missions.items())]
        named = parse_qs(os.environ.get("QUERY_STRING", "")).get("mission", [""])[-1]
        start = named if named in self.missions else ""
        self.mission: Control = w.Dropdown(options=options, value=start, description="mission", **SIZES)
        self.task, self.reply = w.HTML(), w.HTML()
        self.answer = w.Text(placeholder="your answer", continuous_update=False, layout={"width": "200px"})
        self.submit = w.Button(description="check", layout={"width": "80px"})
        self.answering = row(self.answer, self.submit)
        self._show_mission()
        return [self.mission, self.task, self.answering, self.reply] if self.missions else []

    def begin_mission(self, name: str) -> None:
        """Start a mission, which sets the question; an empty name ends it."""
        self._show_mission()
        if name:
            self.history = []
            self.ask(**vars(self.missions[name].start(self.explorer)))

    def check_answer(self) -> None:
        """Show whether the answer to the mission is right."""
        reply = self.missions[self.mission.value].check(self.explorer, self.answer.value)
        style = f"border-left: 4px solid {RIGHT if reply.right else WRONG}; padding: 0 8px; {TEXT_STYLE}"
        self.reply.value = f'<div style="{style}">{html.escape(str(reply))}</div>'

    def _show_mission(self) -> None:
        mission = self.missions.get(self.mission.value)
        self.answer.value = self.reply.value = ""
        self.answering.layout.display = "" if mission else "none"
        self.task.value = ""
        if mission:
            link = f'<a href="?mission={mission.name}"><u>Link to this mission</u></a>'
            self.task.value = f'<div style="{TEXT_STYLE}">{html.escape(mission.task)} {link}</div>'

    def update(self) -> None:
        """Show the results of the method, and those of the second method if one is chosen."""
        self._select("")
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

    def explain(self, key: str, method: str, value: object) -> None:
        """Show where the rank of a result of a method comes from."""
        self._select(key)
        c, question = self.explorer.collection, replace(self.question, method=method, value=value)
        image = c.images.take([c.row(key)])
        name = f"{pretty(str(image.labels[0])) or 'an image'} ({pretty(str(image.domains[0]))})"
        self.explanation.value = explanation_text(self.explorer.explain(question, key), name, question.k)

    def _select(self, key: str) -> None:
        self.selected, self.explanation.value = key, ""
        self.take.layout.display = "" if key else "none"

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
        about = f"{method.about} <i>{slider.name}</i>: {slider.about}" if slider else method.about
        self.about.value = folded("about the method", f'<div style="{TEXT_STYLE}">{about}</div>')
        self.value.layout.display = "" if slider else "none"
        if slider:
            if (tuple(self.value.options), self.value.description) != (slider.values, slider.name):
                self.value.options, self.value.description = slider.values, slider.name
            self.value.value = slider.start if self.question.value is None else self.question.value
        self._show_queries()
        self.updating = False

    def _show_queries(self) -> None:
        """Show a page of queries; the chosen one is on it, as the first if need be."""
        c, rows = self.explorer.collection, self._page_rows(self.question.query_domain)
        if self.question.query and (chosen := c.row(self.question.query)) not in rows:
            rows = [chosen, *rows[: PAGE_SIZE - 1]]
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

        def explain_compared(change: dict) -> None:
            self.explain(change["new"]["key"], self.compared.value, None)

        def explain_result(change: dict) -> None:
            self.explain(change["new"]["key"], self.question.method, self.question.value)

        self.results.observe(explain_result, names="clicked")
        self.compared_results.observe(explain_compared, names="clicked")
        self.take.on_click(lambda button: self.follow(self.selected))
        on_value(self.mission, self.begin_mission)
        self.submit.on_click(lambda button: self.check_answer())
        on_value(self.answer, lambda text: self.check_answer() if text else None)
        self.more.on_click(lambda button: self.turn_page())
        self.back.on_click(lambda button: self.go_back())
