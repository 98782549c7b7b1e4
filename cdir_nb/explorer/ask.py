"""Queries to the explorer and their results, a ranked gallery for each query; independent of widgets."""

from collections.abc import Callable, Iterable
from contextlib import suppress
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
from cdir_nb.explorer.collection import Collection, require_different
from cdir_nb.explorer.methods import ExplorerMethod, methods_of
from cdir_nb.methods import Embedder
from cdir_nb.retrieval import rank
from cdir_nb.retrieval.postprocess import centre
from cdir_nb.search.index import embed_text

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
        """(query domain, gallery domain)."""
        return self.query_domain, self.gallery_domain


@dataclass(frozen=True)
class Answer:
    """A ranked gallery, without the query's own image.

    rows       (k,) rows of the collection, best first; scores (k,): cosine, or minus the distance
    right      (k,) bool, True if a result has the query's class; None if the query or an image of the gallery has no
               label
    scored     (G,) scores of the whole gallery, best first
    precision  P@k (hits over k) of this query; average: the mean over all queries; None without labels
    relevant   number of images of the gallery that have the query's class; None without labels
    left_out   number of images that were left out of the gallery because they are the query itself
    """

    title: str
    rows: np.ndarray
    scores: np.ndarray
    right: np.ndarray | None
    scored: np.ndarray = field(repr=False)
    precision: float | None = None
    average: float | None = None
    n_queries: int = 0
    relevant: int | None = None
    left_out: int = 0

    @property
    def remarks(self) -> list[str]:
        """Sentences on what is unusual about the ranking."""
        remarks = []
        if self.left_out:
            images = "1 image is" if self.left_out == 1 else f"{self.left_out} images are"
            remarks.append(f"{images} left out of the gallery: the query itself.")
        if self.relevant == 0:
            remarks.append("The gallery has no image of the query's class.")
        return remarks

    def effective(self, temperature: float) -> float:
        """Effective number of gallery images in a softmax of score / temperature: its perplexity, 1 to G."""
        return effective_number(softmax_weights(self.scored, temperature))


@dataclass(frozen=True)
class Explanation:
    """Where the rank of one result comes from.

    score          its cosine with the query, or minus the distance
    rank           its rank, 1 for the nearest image
    popularity     the mean of its cosines with all queries of the domain; None if the score is no cosine
    found_by       number of queries that have it among their first k, of `n_queries`
    average_found  the same for an average image of the gallery
    centred        cosine and rank if each domain's mean is subtracted from its vectors; None if the score is no cosine
    """

    score: float
    rank: int
    found_by: int
    n_queries: int
    average_found: float
    popularity: float | None = None
    centred: tuple[float, int] | None = None


class Explorer:
    """Answers questions about a collection by its methods."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.methods: dict[str, ExplorerMethod] = methods_of(collection)
        self.vectors = lru_cache(STATES_IN_MEMORY)(self._vectors)
        self.rankings = lru_cache(STATES_IN_MEMORY)(self._rankings)
        self.average = lru_cache(STATES_IN_MEMORY)(self._average)

    def prepare(self, progress: Callable[[Iterable], Iterable] = iter) -> None:
        """Compute in advance all states that take seconds: Q for every direction, and TKI for every number of words.

        progress  wraps the list of states, such as tqdm
        """
        directions = list(permutations(self.collection.domains, 2))
        states = [(method, value) for method in self.methods.values() for value in method.slow_values]
        for (method, value), direction in progress(list(product(states, directions))):
            method.at(direction, value)

    def start(self) -> Question:
        """The initial question: the first two domains, and a query that finds right and wrong images."""
        c = self.collection
        return self.begin(c.domains[0], c.domains[min(1, len(c.domains) - 1)])

    def begin(self, query_domain: str, gallery_domain: str, right: tuple[float, float] = (0.3, 0.7)) -> Question:
        """A question of two domains, by the frozen encoder; its query is the middle one of those that fit.

        right  bounds of the fraction of right results; if no query fits, or without labels, it is the middle query
        """
        c = self.collection
        rows = c.query_rows(query_domain)
        question = Question(next(iter(self.methods)), query_domain, gallery_domain, "", next(iter(c.galleries)))
        with suppress(CdirError):  # `ask` reports it
            fits = [row for row, p in self.precisions(question).items() if right[0] <= p <= right[1]]
            rows = fits or rows
        return replace(question, query=c.images.keys[rows[len(rows) // 2]] if len(rows) else "")

    def ask(self, question: Question) -> Answer:
        """Rank the gallery for one query.

        Raises CdirError if there is no query or no gallery, or if the method was not fitted for the direction.
        """
        c = self.collection
        if not question.query:
            raise CdirError(f"{question.query_domain} has no query image: choose another domain")
        row = c.row(question.query)
        image = c.images.take([row])
        position = np.flatnonzero(c.query_rows(question.query_domain) == row)  # empty for a result that was clicked
        query_emb, gallery_emb = self._pair(question) if len(position) else self._pair(question, image)
        emb = query_emb[position] if len(position) else query_emb
        answer = self._ranked(question, emb, gallery_emb, image)
        label, labels, gallery = image.labels[0], c.images.labels, self._gallery(question)
        if not label or "" in labels[gallery]:
            return answer
        others = np.delete(gallery, self._own(image, gallery)[0])
        right, relevant = labels[answer.rows] == label, int((labels[others] == label).sum())
        average, n_queries = self.average(replace(question, query=""))
        judged = replace(answer, right=right, relevant=relevant, precision=float(right.mean()))
        return replace(judged, average=average, n_queries=n_queries)

    def mean_precision(self, question: Question) -> float:
        """Mean P@k over all queries of the direction. Raises CdirError if an image that it needs has no label."""
        average = self.ask(question).average
        if average is None:
            raise CdirError(f"images of {' or '.join(question.direction)} have no label: no precision can be measured")
        return average

    def ask_image(self, question: Question, image: ImageSet) -> Answer:
        """Rank the gallery for an image that need not be in the collection, such as a drawing."""
        title = f"{image.keys[0]} → {question.gallery_domain}, {question.method}"
        return replace(self._ranked(question, *self._pair(question, image), image), title=title)

    def ask_text(self, question: Question, text: str) -> Answer:
        """Rank the gallery for a text, with the frozen encoder.

        Raises CdirError if the text is empty or too long, or if the encoder has no text tower or does not know a word.
        """
        text = text.strip()
        emb = F.normalize(embed_text(self.collection.encoder.encoder, text), dim=-1)
        question = replace(question, method=next(iter(self.methods)), value=None)
        gallery_emb = self._pair(question)[1]
        return replace(self._ranked(question, emb, gallery_emb), title=f"“{text}” → {question.gallery_domain}")

    def _ranked(
        self, question: Question, emb: torch.Tensor, gallery_emb: torch.Tensor, image: ImageSet | None = None
    ) -> Answer:
        """Rank (G, D) for a query (1, D), without relevance; the image of the query, if any, is left out."""
        embedder, gallery = self._embedder(question), self._gallery(question)
        own = self._own(image, gallery)[0] if image else []
        n_others = len(gallery) - len(own)
        if not n_others:
            raise CdirError("the gallery has no other image: choose another domain, or a folder with more images")
        ranking = rank(emb, gallery_emb, similarity=embedder.similarity, leave_out=[own])
        scores = ranking.scores[0, :n_others]  # images that are left out rank last
        k = min(question.k, n_others)
        title = f"{question.query_domain} → {question.gallery_domain}, {question.method}"
        if slider := self.methods[question.method].slider:
            title += f", {slider.name} {self._value(question):g}"
        return Answer(title, gallery[ranking.indices[0, :k]], scores[:k], None, scores, left_out=len(own))

    def _gallery(self, question: Question) -> np.ndarray:
        """(G,) rows of the gallery."""
        return self.collection.gallery_rows(question.gallery_domain, question.gallery)

    def _own(self, queries: ImageSet, gallery: np.ndarray) -> list[list[int]]:
        """For each query, the positions of the same image in the gallery (G,); as `own_rows`, but read from a table."""
        position, same = {row: i for i, row in enumerate(gallery.tolist())}, self.collection.same_images
        return [[position[row] for row in same.get(digest, ()) if row in position] for digest in queries.digests]

    def precisions(self, question: Question) -> dict[int, float]:
        """{row of a query: its P@k} for the direction's queries that have a label; empty if an image has none."""
        labels, gallery = self.collection.images.labels, self._gallery(question)
        if "" in labels[gallery]:
            return {}
        rows, indices = self.rankings(replace(question, query=""))
        hits = labels[gallery][indices] == labels[rows][:, None]
        return {row: float(p) for row, p in zip(rows.tolist(), hits.mean(axis=1)) if labels[row]}

    def explain(self, question: Question, key: str) -> Explanation:
        """Where the rank of the gallery image `key` comes from. Errors as in `ask`."""
        c, gallery = self.collection, self._gallery(question)
        position = int(np.flatnonzero(gallery == c.row(key))[0])
        image = c.images.take([c.row(question.query)])
        own = self._own(image, gallery)[0]
        query_emb, gallery_emb = self._pair(question)
        emb = self._pair(question, image)[0]
        similarity = self._embedder(question).similarity
        ranking = rank(emb, gallery_emb, similarity=similarity, leave_out=[own])
        place = int(np.flatnonzero(ranking.indices[0] == position)[0])
        rows, indices = self.rankings(replace(question, query=""))
        found = Explanation(
            score=float(ranking.scores[0, place]),
            rank=place + 1,
            found_by=int((indices == position).any(axis=1).sum()),
            n_queries=len(rows),
            average_found=indices.size / len(gallery),
        )
        if similarity != "cosine":
            return found
        query, everything, emb = (F.normalize(x.float(), dim=1) for x in (query_emb, gallery_emb, emb))
        popularity = float((query @ everything[position]).mean())
        centred_query, centred_gallery = centre(emb, everything, query.mean(0), everything.mean(0))
        again = rank(centred_query, centred_gallery, leave_out=[own])
        place = int(np.flatnonzero(again.indices[0] == position)[0])
        return replace(found, popularity=popularity, centred=(float(again.scores[0, place]), place + 1))

    def _average(self, question: Question) -> tuple[float | None, int]:
        """(mean P@k over the direction's queries that have a label, their number), without each query's own image."""
        values = list(self.precisions(question).values())
        return (float(np.mean(values)), len(values)) if values else (None, 0)

    def _rankings(self, question: Question) -> tuple[np.ndarray, np.ndarray]:
        """(Q,) rows of the direction's queries that have a label, or of all without labels, and (Q, k) their results.

        Of more than MAX_QUERIES, these are taken at equal distances. The results are positions in the gallery.
        """
        rows, gallery = self.collection.query_rows(question.query_domain), self._gallery(question)
        labelled = np.flatnonzero(self.collection.images.labels[rows] != "")
        chosen = labelled if len(labelled) else np.arange(len(rows))
        if len(chosen) > MAX_QUERIES:
            chosen = chosen[np.linspace(0, len(chosen) - 1, MAX_QUERIES).astype(int)]
        if not len(rows):  # the query is a result that was clicked
            return rows, np.zeros((0, question.k), dtype=int)
        query_emb, gallery_emb = self._pair(question)
        own = self._own(self.collection.images.take(rows[chosen]), gallery)
        k = max(1, min(question.k, len(gallery) - max(map(len, own))))
        similarity = self._embedder(question).similarity
        return rows[chosen], rank(query_emb[chosen], gallery_emb, k=k, similarity=similarity, leave_out=own).indices

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
        require_different(gallery_emb, direction[1])
        return *sets, query_emb, gallery_emb

    def _value(self, question: Question) -> Any:
        return self.methods[question.method].start if question.value is None else question.value

    def _embedder(self, question: Question) -> Embedder:
        """The method in the question's state. Raises CdirError for a direction that it was not fitted for."""
        method = self.methods[question.method]
        if method.directions is not None and not method.serves(question.direction):
            served = ", ".join(f"{a} → {b}" for a, b in method.directions)
            raise CdirError(f"{method.name} was fitted only for {served}: choose these domains, or another method")
        return method.at(question.direction, self._value(question))
