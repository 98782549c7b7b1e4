"""A question to the explorer and its answer: state in, ranking out. No widget and no picture is needed here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import permutations
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.analysis import evenly, shares
from cdir_nb.data import ImageSet
from cdir_nb.errors import CdirError
from cdir_nb.explorer.collection import Collection
from cdir_nb.explorer.methods import Method, methods_of
from cdir_nb.retrieval import precision_at_k, rank

STATES_IN_MEMORY = 32  # pairs of embeddings: a slider's values of one direction
AVERAGE_OVER = 1000  # queries; more are sampled evenly, so that large folders stay quick


@dataclass(frozen=True)
class Question:
    """The state of the controls.

    query    key of the query image
    gallery  a choice of `Collection.galleries`
    value    of the method's slider; None for its start
    """

    method: str
    query_domain: str
    gallery_domain: str
    query: str
    gallery: str
    k: int = 10
    value: Any = None

    @property
    def direction(self) -> tuple[str, str]:
        return self.query_domain, self.gallery_domain


@dataclass(frozen=True)
class Answer:
    """A ranked gallery.

    rows       (k,) rows of the collection, best first; scores (k,): cosine, or minus the distance
    right      (k,) bool: of the query's class; None if the query has no label
    scored     (G,) scores of the whole gallery, best first
    precision  of this query, hits over k; average: mean over the direction's queries; None without labels
    """

    title: str
    rows: np.ndarray
    scores: np.ndarray
    right: np.ndarray | None
    scored: np.ndarray = field(repr=False)
    precision: float | None = None
    average: float | None = None
    n_queries: int = 0

    def effective(self, temperature: float) -> float:
        """How many gallery images share the weight of a softmax of score / temperature: 1 to G (perplexity)."""
        return evenly(shares(self.scored, temperature))


class Explorer:
    """A collection, its methods, and answers to questions about them."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.methods: Mapping[str, Method] = methods_of(collection)
        self.vectors = lru_cache(STATES_IN_MEMORY)(self._vectors)
        self.average = lru_cache(STATES_IN_MEMORY)(self._average)
        self.computed: set[tuple] = set()

    def prepare(self, say: Callable[[Iterable], Iterable] = iter) -> None:
        """Compute once what takes seconds: Q of every direction and TKI for every number of words; kept in the cache.

        say  wraps the list of what is to do, such as tqdm
        """
        pairs = list(permutations(self.collection.domains, 2))
        todo = {}
        for method in self.methods.values():
            for value in method.slider.values if method.slider else ():
                todo |= {(method.name, method.once(pair, value)): (method, pair, value) for pair in pairs}
        for method, direction, value in say(list(todo.values())):
            method.at(direction, value)
            self.computed.add((method.name, method.once(direction, value)))

    def start(self) -> Question:
        """The first question: the first two domains, the middle query."""
        c = self.collection
        first, second = c.domains[0], c.domains[min(1, len(c.domains) - 1)]
        rows = c.query_rows(first)
        return Question(
            next(iter(self.methods)), first, second, c.images.keys[rows[len(rows) // 2]], next(iter(c.galleries))
        )

    def is_ready(self, question: Question) -> bool:
        """Whether the method's state is computed, so that the answer comes at once."""
        once = self.methods[question.method].once(question.direction, self._value(question))
        return once is None or (question.method, once) in self.computed

    def ask(self, question: Question) -> Answer:
        """Rank the gallery for one query. Raises CdirError for a direction that the method does not serve."""
        c, method = self.collection, self._serving(question)
        row = c.row(question.query)
        _, gallery_emb = self._pair(question)
        gallery = c.gallery_rows(question.gallery_domain, question.gallery)
        others = gallery != row
        if not others.any():
            raise CdirError("the gallery has no other image: choose another domain, or a folder with more images")
        found = self._ranked(method, self._query(question), gallery_emb[others], gallery[others], question)
        label = c.images.labels[row]
        if not label:
            return found
        right = c.images.labels[found.rows] == label
        average, n_queries = self.average(replace(question, query=""))
        return replace(found, right=right, precision=float(right.mean()), average=average, n_queries=n_queries)

    def ask_picture(self, question: Question, pictures: ImageSet) -> Answer:
        """Rank the gallery for one picture that is not in the collection, such as a drawing."""
        method = self._serving(question)
        emb = self._embedder(question).embed(pictures, progress=False)
        return self._ask_vector(method, emb, question, f"drawing → {question.gallery_domain}, {method.name}")

    def ask_text(self, question: Question, text: str) -> Answer:
        """Rank the gallery for a text, with the frozen encoder. Raises CdirError if the text is empty or too long."""
        if not text.strip():
            raise CdirError('write what to look for, such as "a red guitar"')
        emb = F.normalize(self.collection.encoder.embed_texts([text.strip()]), dim=-1)
        method = next(iter(self.methods.values()))
        question = replace(question, method=method.name, value=None)
        return self._ask_vector(method, emb, question, f"“{text.strip()}” → {question.gallery_domain}")

    def _ask_vector(self, method: Method, emb: torch.Tensor, question: Question, title: str) -> Answer:
        gallery = self.collection.gallery_rows(question.gallery_domain, question.gallery)
        return replace(self._ranked(method, emb, self._pair(question)[1], gallery, question), title=title)

    def _ranked(
        self, method: Method, emb: torch.Tensor, gallery_emb: torch.Tensor, gallery: np.ndarray, question: Question
    ) -> Answer:
        """An Answer without judgement: (1, D) against (G, D); gallery (G,) rows of the collection."""
        ranking = rank(emb, gallery_emb, similarity=self._embedder(question).similarity)
        k = min(question.k, len(gallery))
        title = f"{question.query_domain} → {question.gallery_domain}, {method.name}{self._at(question)}"
        return Answer(title, gallery[ranking.indices[0, :k]], ranking.scores[0, :k], None, ranking.scores[0])

    def _average(self, question: Question) -> tuple[float, int]:
        """(mean P@k over the direction's queries with a label, their number); a query never finds itself."""
        c = self.collection
        rows = c.query_rows(question.query_domain)
        queries = _evenly_picked(rows[c.images.labels[rows] != ""], AVERAGE_OVER)
        gallery = c.gallery_rows(question.gallery_domain, question.gallery)
        query_emb, gallery_emb = self._pair(question)
        query_emb = query_emb[np.searchsorted(rows, queries)]
        same = question.query_domain == question.gallery_domain
        ranking = rank(query_emb, gallery_emb, k=question.k + same, similarity=self._embedder(question).similarity)
        if same:
            found = _without_themselves(gallery[ranking.indices], queries)
            return float((c.images.labels[found] == c.images.labels[queries][:, None]).mean()), len(queries)
        k = min(question.k, len(gallery))
        result = precision_at_k(ranking, c.images.labels[queries], c.images.labels[gallery], k, "hits_over_k")
        return result.mean, len(queries)

    def _pair(self, question: Question) -> tuple[torch.Tensor, torch.Tensor]:
        return self.vectors(question.method, question.direction, self._value(question), question.gallery)

    def _query(self, question: Question) -> torch.Tensor:
        """(1, D) the query's embedding; a result that was clicked on need not be one of the queries."""
        c, row = self.collection, self.collection.row(question.query)
        known = np.flatnonzero(c.query_rows(question.query_domain) == row)
        if len(known):
            return self._pair(question)[0][known]
        return self._embedder(question).embed(c.images.take([row]), progress=False)

    def _value(self, question: Question) -> Any:
        return self.methods[question.method].start if question.value is None else question.value

    def _vectors(
        self, method: str, direction: tuple[str, str], value: Any, choice: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(Q, D) all queries and (G, D) the gallery."""
        embedder, c = self.methods[method].at(direction, value), self.collection
        self.computed.add((method, self.methods[method].once(direction, value)))
        rows = c.query_rows(direction[0]), c.gallery_rows(direction[1], choice)
        query, gallery = (c.images.take(some) for some in rows)
        return embedder.embed(query, progress=False), embedder.embed(gallery, progress=False)

    def _embedder(self, question: Question):
        return self.methods[question.method].at(question.direction, self._value(question))

    def _serving(self, question: Question) -> Method:
        method = self.methods[question.method]
        if not method.serves(question.direction):
            pairs = ", ".join(f"{a} → {b}" for a, b in method.directions)
            raise CdirError(f"{method.name} serves {pairs} only: choose these domains, or another method")
        return method

    def _at(self, question: Question) -> str:
        slider = self.methods[question.method].slider
        return f", {slider.name} {self._value(question):g}" if slider else ""


def _evenly_picked(rows: np.ndarray, most: int) -> np.ndarray:
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def _without_themselves(found: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(Q, k) of (Q, k + 1) found rows: without the query itself where it was found, else without the last one."""
    itself = found == queries[:, None]
    itself[~itself.any(axis=1), -1] = True
    return found[~itself].reshape(len(found), -1)
