"""Exports of the retrieval panel: a link that restores its state, and its results as a table and a contact sheet."""

import base64
import html
from dataclasses import replace
from urllib.parse import parse_qs, urlencode

from cdir_nb.data import ImageSet
from cdir_nb.errors import CdirError
from cdir_nb.explorer.ask import Answer, Explorer, Question
from cdir_nb.explorer.grid import Tile
from cdir_nb.explorer.missions import missions_of
from cdir_nb.search.folder import as_text
from cdir_nb.search.index import Result
from cdir_nb.search.sheet import contact_sheet


def link_of(question: Question, explorer: Explorer) -> str:
    """The query part of a page's address that restores a question: "?query=...&k=10&encoder=real-clip"."""
    state = {name: value for name, value in vars(question).items() if value is not None}
    return f"?{urlencode({**state, 'encoder': explorer.collection.encoder.built.name})}"


def question_of(query: str, explorer: Explorer, max_k: int) -> Question:
    """The question in the query part of a link; values that the link lacks are those of the initial question.

    A link may name a mission instead, `mission=hub`: then it is the question from which the mission starts.

    Raises CdirError for a value that this page does not have, such as another encoder.
    """
    state = {name: values[-1] for name, values in parse_qs(query).items()}
    c, missions = explorer.collection, missions_of(explorer)
    mission = missions.get(state.get("mission", ""))
    question = mission.start(explorer) if mission else explorer.start()
    method = explorer.methods.get(state.get("method", question.method))
    slider = method.slider if method else None
    choices = {
        "encoder": [c.encoder.built.name],
        "mission": list(missions),
        "method": list(explorer.methods),
        "query_domain": c.domains,
        "gallery_domain": c.domains,
        "query": c.images.keys,
        "gallery": list(c.galleries),
        "k": list(range(1, max_k + 1)),
        "value": list(slider.values) if slider else [],
    }
    changes = {}
    for name, text in state.items():
        if name not in choices:
            continue  # the server's own
        values = {str(choice): choice for choice in choices[name]}
        if text not in values:
            shown = ", ".join(list(values)[:3]) or "nothing"
            raise CdirError(f"the link has {name} {text!r}, but this page has {shown}: it starts with the first query")
        changes[name] = values[text]
    for name in ("encoder", "mission"):
        changes.pop(name, None)
    return replace(question, **changes)


def exports(answer: Answer, images: ImageSet, tiles: list[Tile], link: str) -> str:
    """HTML with three links: to the results as CSV, to a contact sheet, and to the page in this state."""
    shown = zip(answer.rows.tolist(), answer.scores.tolist())
    results = [
        Result(rank, images.keys[row], round(score, 6), str(images.domains[row]), str(images.labels[row]))
        for rank, (row, score) in enumerate(shown, 1)
    ]
    table, sheet = as_text(results, "csv") + "\n", contact_sheet(answer.title, tiles)
    return " · ".join([
        _download("results.csv", "text/csv", table, "results as CSV"),
        _download("results.html", "text/html", sheet, "contact sheet"),
        f'<a href="{html.escape(link)}">link to this state</a>',
    ])  # fmt: skip


def _download(name: str, kind: str, content: str, text: str) -> str:
    data = base64.b64encode(content.encode("utf-8", "backslashreplace")).decode()
    return f'<a download="{name}" href="data:{kind};charset=utf-8;base64,{data}">{text}</a>'
