"""Missions: tasks in the explorer of the drawn world, each with a state to start from and an answer to find.

The right answers are computed from what the explorer shows; none is written down here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cdir_nb.course import Reply
from cdir_nb.explorer.ask import Explorer, Question

DOMAINS = {"real", "painting", "clipart", "sketch", "quickdraw"}  # that the missions need
METHODS = ("vanilla CLIP", "CLIP + Q", "TKI")
RISE = 0.05  # of mean P@10, in the mission on the strength of Q


@dataclass(frozen=True)
class Mission:
    """A task for the user of the explorer.

    name       in links, such as `?mission=hub`
    task       what to do, and the question at its end
    start      the state from which it starts
    truth      the answer, a text or a number; None: no check can decide it
    tolerance  of a number
    because    said about a right answer; {truth} is replaced
    """

    name: str
    title: str
    task: str
    start: Callable[[Explorer], Question]
    because: str
    truth: Callable[[Explorer, Question], str | float] | None = None
    tolerance: float = 0.0

    def check(self, explorer: Explorer, answer: str) -> Reply:
        """Whether an answer is right, and why."""
        if not answer.strip():
            return Reply(False, "Write your answer into the box.", answered=False)
        if self.truth is None:
            return Reply(True, self.because)
        truth = self.truth(explorer, self.start(explorer))
        if isinstance(truth, str):
            right = answer.strip().lower() == truth.lower()
            return Reply(right, self.because.format(truth=truth) if right else f"{answer!r} is not it: look again.")
        try:
            difference = float(answer.replace(",", ".").replace("−", "-").strip("+ %")) - truth
        except ValueError:
            return Reply(False, f"{answer!r} is no number: write digits only.")
        if abs(difference) <= self.tolerance:
            return Reply(True, self.because.format(truth=f"{truth:.3g}"))
        return Reply(False, f"{answer} is too {'high' if difference > 0 else 'low'}: look again.")


def missions_of(explorer: Explorer) -> dict[str, Mission]:
    """{name: mission} of all missions that the explorer's images and methods allow; empty for most folders."""
    c = explorer.collection
    possible = c.labelled and set(c.domains) >= DOMAINS and all(name in explorer.methods for name in METHODS)
    return {mission.name: mission for mission in MISSIONS} if possible and len(c.galleries) > 1 else {}


def hub(explorer: Explorer, question: Question) -> int:
    """The row of the gallery image that most queries have among their first k results."""
    positions = explorer.rankings(replace(question, query=""))[1]
    rows = explorer.collection.gallery_rows(question.gallery_domain, question.gallery)
    return int(rows[np.bincount(positions.ravel(), minlength=len(rows)).argmax()])


def _from_the_hub(explorer: Explorer) -> Question:
    """A sketch of another class whose results contain the hub, as far down as possible."""
    c, question = explorer.collection, explorer.begin("sketch", "real")
    found = hub(explorer, question)
    rows, positions = explorer.rankings(replace(question, query=""))
    gallery = c.gallery_rows("real", question.gallery)
    ranks = {row: list(gallery[p]).index(found) for row, p in zip(rows.tolist(), positions) if found in gallery[p]}
    wrong = {row: rank for row, rank in ranks.items() if c.images.labels[row] != c.images.labels[found]}
    return replace(question, query=c.images.keys[max(wrong, key=wrong.__getitem__)])


def _tki(explorer: Explorer) -> Question:
    return replace(explorer.begin("real", "painting"), method="TKI")


def _loss_of_tki(explorer: Explorer, question: Question) -> float:
    large = replace(question, gallery=list(explorer.collection.galleries)[1], value=None)
    vanilla = replace(large, method="vanilla CLIP")
    return 100 * (explorer.mean_precision(large) - explorer.mean_precision(vanilla))


def _above_the_mean(explorer: Explorer, question: Question) -> float:
    answer = explorer.ask(question)
    return 100 * ((answer.precision or 0) - (answer.average or 0))


def _better_query_domain(explorer: Explorer, question: Question) -> str:
    a, b = question.direction
    back = replace(question, query_domain=b, gallery_domain=a, query=explorer.begin(b, a).query)
    return a if explorer.mean_precision(question) > explorer.mean_precision(back) else b


def _where_q_gains(explorer: Explorer, question: Question) -> float:
    slider = explorer.methods["CLIP + Q"].slider
    values = {} if slider is None else {v: explorer.mean_precision(replace(question, value=v)) for v in slider.values}
    return next(v for v, p in values.items() if p >= values[0.0] + RISE)


def _effective(explorer: Explorer, question: Question) -> float:
    return explorer.ask(question).effective(0.2)


def _rank_after_centring(explorer: Explorer, question: Question) -> float:
    first = explorer.collection.images.keys[explorer.ask(question).rows[0]]
    centred = explorer.explain(question, first).centred
    assert centred is not None  # the frozen encoder ranks by cosine
    return centred[1]


def _centring(explorer: Explorer) -> Question:
    """The query whose first result is wrong and falls most by centring."""
    c, question = explorer.collection, explorer.begin("quickdraw", "real")
    mostly_wrong = [row for row, p in explorer.precisions(question).items() if p <= 0.5][:40]
    asked = {row: replace(question, query=c.images.keys[row]) for row in mostly_wrong}
    wrong = [q for row, q in asked.items() if c.images.labels[explorer.ask(q).rows[0]] != c.images.labels[row]]
    return max(wrong, key=lambda q: _rank_after_centring(explorer, q), default=question)


MISSIONS = (
    Mission(
        "hub",
        "Find a hub and follow it back",
        "Select the results one after the other: below them you read how many queries find each. Make the most popular "
        "one the query, and see what it finds among the sketches. Of which class is it?",
        _from_the_hub,
        "It is a {truth}. An image that points along what all sketches have in common is near to every sketch.",
        lambda explorer, question: str(explorer.collection.images.labels[hub(explorer, question)]),
    ),
    Mission(
        "both-ways",
        "Both ways",
        "Read the mean of all queries. Then exchange the two domains. From which query domain is the mean higher?",
        lambda explorer: explorer.begin("clipart", "quickdraw"),
        "From {truth}. The cosines are the same, but other images compete for the first places.",
        _better_query_domain,
    ),
    Mission(
        "one-query",
        "One query says little",
        "All results of this query are right. By how many points is its P@10 above the mean of all queries?",
        lambda explorer: explorer.begin("sketch", "real", (1.0, 1.0)),
        "By {truth} points. Learn from single queries, and judge by means.",
        _above_the_mean,
        1.0,
    ),
    Mission(
        "half-of-q",
        "Half of Q",
        "Move the strength of Q from 0 upwards. At which strength is the mean of all queries first 5 points above its "
        "value at 0?",
        lambda explorer: replace(explorer.begin("clipart", "sketch"), method="CLIP + Q", value=0.0),
        "At {truth}. On the way Q turns all planes a little, which does not help at once.",
        _where_q_gains,
        0.001,
    ),
    Mission(
        "temperature",
        "Temperature",
        "Move the temperature from 0.01 to 1: does the order change? On about how many images does the weight lie "
        "at 0.2?",
        lambda explorer: explorer.begin("real", "clipart"),
        "On {truth}. The order stays; what changes is how many images share the weight in a contrastive loss.",
        _effective,
        10.0,
    ),
    Mission(
        "tki-loses",
        "Make TKI lose",
        "With 10 classes in the gallery TKI is above vanilla CLIP. Choose the gallery with 40 classes, and compare the "
        "means of both methods. How many points is TKI above CLIP now? (Write a minus if it is below.)",
        _tki,
        "{truth} points. TKI keeps what separates the names that it was given, and drops the rest.",
        _loss_of_tki,
        0.6,
    ),
    Mission(
        "centring",
        "What centring changes",
        "The first result is wrong. Select it, and read its popularity. What is its rank after centring?",
        _centring,
        "Rank {truth}. What it shares with all queries no longer counts.",
        _rank_after_centring,
    ),
    Mission(
        "only-q",
        "Only Q finds it",
        "Go to “Draw a query”, and draw something that CLIP + Q finds (P@10 above one half) and vanilla CLIP does not. "
        "What did you draw?",
        lambda explorer: replace(explorer.begin("quickdraw", "clipart"), method="CLIP + Q"),
        "No check can see your drawing: show it to a neighbour, with both lists of results. One drawing proves little.",
    ),
)
