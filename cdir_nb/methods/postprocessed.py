"""Post-processing of a fitted method's embeddings, between embedding and ranking."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F

from cdir_nb.data.images import ImageSet, own_rows
from cdir_nb.errors import CdirError
from cdir_nb.methods.embedder import Embedder
from cdir_nb.retrieval import Ranking, rank
from cdir_nb.retrieval.postprocess import (
    KINDS,
    alpha_query_expansion,
    centre,
    k_reciprocal,
    popularity,
    qb_norm_switch,
    sinkhorn,
    subtract_popularity,
)

TRAINING, QUERIES, GALLERY = "training images", "all queries", "gallery"
SINKHORN = "sinkhorn"
MIN_QUERIES = 3  # two vectors minus their mean are opposite

Pair = tuple[torch.Tensor, torch.Tensor]  # (Q, D) queries and (G, D) gallery


@dataclass(frozen=True)
class Centre:
    """Subtract means from the embeddings.

    means  "training images": the mean of the training images of each domain, from the rows of that domain
           "all queries": the mean of all queries from the queries, and the mean of the gallery from the gallery
           "gallery": the mean of the gallery from the gallery; the queries are unchanged
    """

    means: str

    def __post_init__(self) -> None:
        _require(self.means, (TRAINING, QUERIES, GALLERY))

    @property
    def data_at_test_time(self) -> frozenset[str]:
        """What the step uses beside the query."""
        return frozenset({self.means} if self.means == TRAINING else {self.means, GALLERY})

    def __str__(self) -> str:
        return f"centring ({self.means})"


@dataclass(frozen=True)
class AlphaQE:
    """Add the n best gallery rows to each query; see `alpha_query_expansion`. A query's own image is left out."""

    n: int = 10
    alpha: float = 3

    data_at_test_time = frozenset({GALLERY})

    def __str__(self) -> str:
        return f"query expansion (n {self.n}, alpha {self.alpha:g})"


@dataclass(frozen=True)
class Popularity:
    """Subtract from each score the popularity of the gallery item.

    kind       "mean", "top_k", "softmax" (see `popularity`, also for k and tau) or "sinkhorn" (with tau)
    reference  "training images": those of the query's domain, processed as queries are; or "all queries"
    """

    kind: str
    reference: str
    k: int | None = None
    tau: float | None = None

    def __post_init__(self) -> None:
        _require(self.kind, (*KINDS, SINKHORN))
        _require(self.reference, (TRAINING, QUERIES))

    @property
    def data_at_test_time(self) -> frozenset[str]:
        """What the step uses beside the query."""
        return frozenset({self.reference, GALLERY} if self.kind == SINKHORN else {self.reference})

    def __str__(self) -> str:
        values = "".join(f", {name} {value:g}" for name, value in (("k", self.k), ("tau", self.tau)) if value)
        return f"popularity ({self.kind}{values}, {self.reference})"

    def of(self, query: torch.Tensor, gallery: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(G,): the argument `popular` of `subtract_popularity`, as a tuple of one."""
        if self.kind == SINKHORN:
            return (sinkhorn(reference, gallery, self.tau),)  # pyright: ignore[reportArgumentType]
        return (popularity(reference, gallery, self.kind, self.k, self.tau),)


@dataclass(frozen=True)
class QBNorm:
    """Subtract the popularity "softmax" from the scores of the queries that `qb_norm_switch` selects.

    The reference queries are training images of the query's domain.
    """

    tau: float

    reference = TRAINING
    data_at_test_time = frozenset({TRAINING, GALLERY})

    def __str__(self) -> str:
        return f"QB-Norm (tau {self.tau:g})"

    def of(self, query: torch.Tensor, gallery: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(G,) and (Q,): the arguments `popular` and `switch` of `subtract_popularity`."""
        switch = qb_norm_switch(query, gallery, reference)
        return popularity(reference, gallery, "softmax", tau=self.tau), switch


@dataclass(frozen=True)
class KReciprocal:
    """Re-rank the gallery by k-reciprocal neighbours; see `k_reciprocal`. Takes memory for (Q + G) x G numbers."""

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    data_at_test_time = frozenset({QUERIES, GALLERY})

    def __str__(self) -> str:
        return f"k-reciprocal (k1 {self.k1}, k2 {self.k2})"

    def of(self, query: torch.Tensor, gallery: torch.Tensor, left_out: Sequence) -> Pair:
        """(Q, G) and (G, G): rows whose cosines order the gallery by the new distances."""
        ranking = rank(query, gallery, leave_out=left_out)
        return _as_rows(k_reciprocal(ranking, query, gallery, self.k1, self.k2, self.weight))


def _as_rows(ranking: Ranking) -> Pair:
    """(Q, G) and (G, G): rows whose cosines order the gallery as a complete ranking does.

    The rows are 2 minus the distances, which must be below 2, and those of the identity matrix.
    """
    scores = torch.zeros(len(ranking), ranking.n_gallery)
    shifted = torch.from_numpy(ranking.scores).clamp(min=-2) + 2  # gallery rows that are left out get 0
    return scores.scatter_(1, torch.from_numpy(ranking.indices).long(), shifted), torch.eye(ranking.n_gallery)


Step = Centre | AlphaQE | Popularity | QBNorm | KReciprocal
ORDER = ((Centre,), (AlphaQE,), (Popularity, QBNorm, KReciprocal))


class PostProcessed(Embedder):
    """A fitted method with post-processing steps: it embeds as the method does, and `prepare` applies the steps.

    steps            at most one of each, in this order: `Centre`, `AlphaQE`, and `Popularity`, `QBNorm` or
                     `KReciprocal`
    training_images  unlabelled images for steps with "training images"; None: those that the method was trained on

    Embeddings are first scaled to unit length, and then compared by cosine, even if the method itself compares by
    Euclidean distance. A step that subtracts popularity adds columns; Euclidean distances then order by the new scores.
    Raises CdirError for steps in another order, and if a step needs training images and there are none, or if
    `training_images` differ from those of the method.
    """

    def __init__(self, embedder: Embedder, steps: Sequence[Step], training_images: ImageSet | None = None) -> None:
        _check_steps(steps)
        if type(embedder).prepare is not Embedder.prepare:
            raise CdirError(f"{embedder.name} has post-processing of its own: give all steps in one list")
        self.embedder, self.postprocessing = embedder, tuple(steps)
        used = frozenset().union(*(step.data_at_test_time for step in steps))
        self.data_at_test_time = embedder.data_at_test_time | used
        self.training_images, self.train_set = embedder.training_images, embedder.train_set
        if TRAINING in used:
            self.training_images = _training_images(embedder, training_images)
            self.train_set += "; unlabelled training images for post-processing"
        self.name = " + ".join([embedder.name, *map(str, steps)])
        self.settings = {**embedder.settings, "postprocessing": [_plain(step) for step in steps]}
        self.similarity = "euclidean" if isinstance(steps[-1], (Popularity, QBNorm)) else "cosine"
        self.encoder, self.directions = embedder.encoder, embedder.directions
        self.training_commit, self.selection = embedder.training_commit, embedder.selection
        self.steps, self.moved = embedder.steps, embedder.moved
        self.training_embeddings = cache(self._training_embeddings)

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) float32 unit vectors on the CPU."""
        return F.normalize(self.embedder.embed(images, progress=progress), dim=1)

    def prepare(self, query: ImageSet, gallery: ImageSet, query_emb: torch.Tensor, gallery_emb: torch.Tensor) -> Pair:
        """The embeddings after all steps. Raises CdirError if a step needs many queries and there are few."""
        if len(query) < MIN_QUERIES and any(QUERIES in step.data_at_test_time for step in self.postprocessing):
            raise CdirError(
                f"{self.name} needs all queries at once, and there are {len(query)}: give more, or use training images"
            )
        return self._applied(self.postprocessing, query, gallery, (query_emb, gallery_emb))

    def _applied(self, steps: Sequence[Step], query: ImageSet, gallery: ImageSet, embeddings: Pair) -> Pair:
        if not steps:
            return embeddings
        *earlier, step = steps
        query_emb, gallery_emb = self._applied(earlier, query, gallery, embeddings)
        if isinstance(step, Centre):
            return centre(query_emb, gallery_emb, *self._means(step, query, gallery, query_emb, gallery_emb))
        if isinstance(step, AlphaQE):
            left_out = own_rows(query, gallery)
            return alpha_query_expansion(query_emb, gallery_emb, step.n, step.alpha, left_out), gallery_emb
        if isinstance(step, KReciprocal):
            return step.of(query_emb, gallery_emb, own_rows(query, gallery))
        reference = query_emb
        if step.reference == TRAINING:
            images, emb = self.training_embeddings(_domain(query))
            reference, _ = self._applied(earlier, images, gallery, (emb, embeddings[1]))
        return subtract_popularity(query_emb, gallery_emb, *step.of(query_emb, gallery_emb, reference))

    def _means(
        self, step: Centre, query: ImageSet, gallery: ImageSet, query_emb: torch.Tensor, gallery_emb: torch.Tensor
    ) -> Pair:
        if step.means == TRAINING:
            query_emb, gallery_emb = (self.training_embeddings(_domain(images))[1] for images in (query, gallery))
        query_mean = query_emb.mean(0)
        return torch.zeros_like(query_mean) if step.means == GALLERY else query_mean, gallery_emb.mean(0)

    def _training_embeddings(self, domain: str) -> tuple[ImageSet, torch.Tensor]:
        """The training images of a domain, and their embeddings. Raises CdirError if there are none."""
        assert self.training_images is not None
        images = self.training_images.select(domain)
        if not len(images):
            raise CdirError(
                f"{self.name}: there are no training images of {domain}: give some as training_images, or use "
                '"all queries"'
            )
        return images, self.embed(images, progress=False)


def _domain(images: ImageSet) -> str:
    """The domain of all images. Raises CdirError if there are several."""
    domains = sorted(set(images.domains.tolist()))
    if len(domains) != 1:
        raise CdirError(f"images of {', '.join(domains) or 'no domain'}: post-process one domain at a time")
    return domains[0]


def _training_images(embedder: Embedder, images: ImageSet | None) -> ImageSet:
    """The images, or those that the method was trained on; raises CdirError unless there is exactly one such set."""
    own = embedder.training_images
    if own is not None and images is not None and own.fingerprint != images.fingerprint:
        raise CdirError(f"{embedder.name} has training images of its own: do not give training_images")
    images = own if images is None else images
    if images is None or not len(images):
        raise CdirError(
            f"{embedder.name} has no training images: give some, as in PostProcessed(..., training_images=task.train), "
            'or use "all queries"'
        )
    return images


def _check_steps(steps: Sequence[Step]) -> None:
    """Raise CdirError unless there is at least one step, and steps follow `ORDER`, with at most one of each kind."""
    kinds = [next((i for i, kind in enumerate(ORDER) if isinstance(step, kind)), None) for step in steps]
    if not kinds or None in kinds or kinds != sorted(set(kinds)):  # pyright: ignore[reportArgumentType]
        names = ", ".join(map(repr, steps)) or "none"
        raise CdirError(
            f"steps: {names}; give at least one of Centre, AlphaQE, and Popularity, QBNorm or KReciprocal, in "
            "this order"
        )


def _plain(step: Step) -> dict[str, Any]:
    """A step as plain data, in which 3 and 3.0 are the same."""
    values = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in asdict(step).items()}
    return {"step": type(step).__name__, **values}


def _require(value: str, names: Sequence[str]) -> None:
    if value not in names:
        raise CdirError(f"{value!r} is not available: use one of {', '.join(names)}")
