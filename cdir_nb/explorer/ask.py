"""Queries to the explorer and their results, a ranked gallery for each query; independent of widgets."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import permutations, product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.analysis import effective_number, softmax_weights
from cdir_nb.data import ImageSet
from cdir_nb.errors import CdirError
from cdir_nb.explorer.collection import Collection
from cdir_nb.explorer.methods import ExplorerMethod, methods_of
from cdir_nb.methods import Embedder
from cdir_nb.retrieval import precision_at_k, rank

STATES_IN_MEMORY = 32  # pairs of embeddings: all values of a slider for one direction
MAX_QUERIES = 1000  # averaged over; of more, these are taken at equal distances, so that large folders stay fast


@dataclass(frozen=True)
class Question:
    """The state of the controls.

    query    key of the query image
    gallery  a name in `Collection.galleries`
    value    the value of the method's slider; None: its initial value
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
    right      (k,) bool, True if a result has the query's class; None if the query has no label
    scored     (G,) scores of the whole gallery, best first
    precision  P@k (hits over k) of this query; average: the mean over all queries; None without labels
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
        """Effective number of gallery images in a softmax of score / temperature: its perplexity, 1 to G."""
        return effective_number(softmax_weights(self.scored, temperature))


class Explorer:
    """Answers questions about a collection by its methods."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.methods: dict[str, ExplorerMethod] = methods_of(collection)
        self.vectors = lru_cache(STATES_IN_MEMORY)(self._vectors)
        self.average = lru_cache(STATES_IN_MEMORY)(self._average)

    def prepare(self, progress: Callable[[Iterable], Iterable] = iter) -> None:
        """Compute all states that take seconds: Q for every direction, and TKI for every number of words.

        progress  wraps the list of states, such as tqdm
        """
        directions = list(permutations(self.collection.domains, 2))
        states = [(method, value) for method in self.methods.values() for value in method.slow_values]
        for (method, value), direction in progress(list(product(states, directions))):
            method.at(direction, value)

    def start(self) -> Question:
        """The initial question: the first two domains, and the middle one of the queries."""
        c = self.collection
        query_domain, gallery_domain = c.domains[0], c.domains[min(1, len(c.domains) - 1)]
        rows = c.query_rows(query_domain)
        query = c.images.keys[rows[len(rows) // 2]]
        return Question(next(iter(self.methods)), query_domain, gallery_domain, query, next(iter(c.galleries)))

    def ask(self, question: Question) -> Answer:
        """Rank the gallery for one query. Raises CdirError if the method was not fitted for the direction."""
        c = self.collection
        embedder, row = self._embedder(question), c.row(question.query)
        query_emb, gallery_emb = self._pair(question)
        gallery = c.gallery_rows(question.gallery_domain, question.gallery)
        others = gallery != row
        if not others.any():
            raise CdirError("the gallery has no other image: choose another domain, or a folder with more images")
        position = np.flatnonzero(c.query_rows(question.query_domain) == row)  # empty for a result that was clicked
        emb = query_emb[position] if len(position) else self._pair(question, c.images.take([row]))[0]
        answer = self._ranked(embedder, emb, gallery_emb[others], gallery[others], question)
        label = c.images.labels[row]
        if not label:
            return answer
        right = c.images.labels[answer.rows] == label
        average, n_queries = self.average(replace(question, query=""))
        return replace(answer, right=right, precision=float(right.mean()), average=average, n_queries=n_queries)

    def ask_image(self, question: Question, image: ImageSet) -> Answer:
        """Rank the gallery for an image that is not in the collection, such as a drawing."""
        embedder = self._embedder(question)
        emb = self._pair(question, image)[0]
        return self._ask_vector(embedder, emb, question, f"drawing → {question.gallery_domain}, {question.method}")

    def ask_text(self, question: Question, text: str) -> Answer:
        """Rank the gallery for a text, with the frozen encoder. Raises CdirError if the text is empty or too long."""
        text = text.strip()
        if not text:
            raise CdirError('the text is empty: write for example "a red guitar"')
        emb = F.normalize(self.collection.encoder.embed_texts([text]), dim=-1)
        question = replace(question, method=next(iter(self.methods)), value=None)
        return self._ask_vector(self._embedder(question), emb, question, f"“{text}” → {question.gallery_domain}")

    def _ask_vector(self, embedder: Embedder, emb: torch.Tensor, question: Question, title: str) -> Answer:
        gallery = self.collection.gallery_rows(question.gallery_domain, question.gallery)
        return replace(self._ranked(embedder, emb, self._pair(question)[1], gallery, question), title=title)

    def _ranked(
        self, embedder: Embedder, emb: torch.Tensor, gallery_emb: torch.Tensor, gallery: np.ndarray, question: Question
    ) -> Answer:
        """Rank (G, D) against (1, D), without relevance; gallery (G,) are rows of the collection."""
        ranking = rank(emb, gallery_emb, similarity=embedder.similarity)
        k, slider = min(question.k, len(gallery)), self.methods[question.method].slider
        title = f"{question.query_domain} → {question.gallery_domain}, {question.method}"
        if slider:
            title += f", {slider.name} {self._value(question):g}"
        return Answer(title, gallery[ranking.indices[0, :k]], ranking.scores[0, :k], None, ranking.scores[0])

    def _average(self, question: Question) -> tuple[float, int]:
        """(mean P@k over the direction's queries that have a label, their number), without the query in its gallery."""
        labels, rows = self.collection.images.labels, self.collection.query_rows(question.query_domain)
        queries = rows[labels[rows] != ""]
        if len(queries) > MAX_QUERIES:
            queries = queries[np.linspace(0, len(queries) - 1, MAX_QUERIES).astype(int)]
        gallery = self.collection.gallery_rows(question.gallery_domain, question.gallery)
        query_emb, gallery_emb = self._pair(question)
        query_emb = query_emb[np.searchsorted(rows, queries)]
        same = question.query_domain == question.gallery_domain
        ranking = rank(query_emb, gallery_emb, k=question.k + same, similarity=self._embedder(question).similarity)
        if same:
            results = _without_query(gallery[ranking.indices], queries)
            return float((labels[results] == labels[queries][:, None]).mean()), len(queries)
        k = min(question.k, len(gallery))
        return precision_at_k(ranking, labels[queries], labels[gallery], k, "hits_over_k").mean, len(queries)

    def _pair(self, question: Question, image: ImageSet | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The embeddings as they are ranked: of all queries or of one image, and of the gallery."""
        pair = question.method, question.direction, self._value(question), question.gallery
        query, gallery, query_emb, gallery_emb = self.vectors(*pair)
        embedder = self._embedder(question)
        if image is not None:
            query, query_emb = image, embedder.embed(image, progress=False)
        return embedder.prepare(query, gallery, query_emb, gallery_emb)

    def _vectors(
        self, name: str, direction: tuple[str, str], value: Any, gallery: str
    ) -> tuple[ImageSet, ImageSet, torch.Tensor, torch.Tensor]:
        """All queries, the gallery, and their embeddings (Q, D) and (G, D)."""
        method, c = self.methods[name], self.collection
        embedder = method.at(direction, value)
        sets = c.images.take(c.query_rows(direction[0])), c.images.take(c.gallery_rows(direction[1], gallery))
        query_emb, gallery_emb = (embedder.embed(images, progress=False) for images in sets)
        return *sets, query_emb, gallery_emb

    def _value(self, question: Question) -> Any:
        return self.methods[question.method].start if question.value is None else question.value

    def _embedder(self, question: Question) -> Embedder:
        """The method in the question's state. Raises CdirError for a direction that it does not serve."""
        method = self.methods[question.method]
        if method.directions is not None and not method.serves(question.direction):
            served = ", ".join(f"{a} → {b}" for a, b in method.directions)
            raise CdirError(f"{method.name} serves only {served}: choose these domains, or another method")
        return method.at(question.direction, self._value(question))


def _without_query(results: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(Q, k) of (Q, k + 1) results: without the query itself, or without the last result if the query is not there."""
    removed = results == queries[:, None]
    removed[~removed.any(axis=1), -1] = True
    return results[~removed].reshape(len(results), -1)
