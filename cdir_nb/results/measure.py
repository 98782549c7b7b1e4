"""Measure a fitted method (an embedder) on a task; the results are records."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from cdir_nb.conventions import Metric
from cdir_nb.errors import CdirError
from cdir_nb.results.queries import QueryValues
from cdir_nb.results.records import Record, current_commit

if TYPE_CHECKING:  # torch and pandas would make every command of `cdir` start slowly
    import numpy as np
    import pandas as pd
    import torch

    from cdir_nb.data.images import ImageSet
    from cdir_nb.data.protocols import Protocol
    from cdir_nb.methods.embedder import Direction, Embedder
    from cdir_nb.retrieval import PerQuery

    PairOf = Callable[[str, str], tuple[torch.Tensor, torch.Tensor]]  # query and gallery domain -> (Q, D), (G, D)

MIN_QUERIES = 10  # for a method that computes with all queries, such as their mean


def measure(embedder: "Embedder | Iterable[Embedder]", task: "Protocol", seed: int = 0) -> list[Record]:
    """Records of a method on a task: every direction, every convention, every cut-off that the protocol reports.

    embedder  one embedder for all directions, or several, each fitted for some directions (such as one per domain pair)
    seed      the seed with which the method was fitted

    Each embedder embeds every domain once. Directions that are not in the task are left out. If a query's own image is
    in the gallery, it is left out of its ranking. Images are identified by their content.
    Raises CdirError if an embedder was fitted for no direction of the task, or needs all queries at once and there are
    fewer than 10. Warns about images with two classes, about test images in the training set of a task that does not
    train on them, and about a method whose embeddings depend on other images although `data_at_test_time` does not say
    so.
    """
    embedders: list[Any] = [embedder] if hasattr(embedder, "embed") else list(embedder)  # pyright: ignore[reportArgumentType]
    for message in _doubts(embedders, task):
        warnings.warn(message, stacklevel=2)
    return [record for embedder in embedders for record in _records(embedder, task, seed)]


def measure_references(
    embedder: "Embedder", task: "Protocol", images: "ImageSet | None" = None
) -> tuple[list[Record], dict[str, str]]:
    """Records of the reference rows of a frozen embedder on a task, and {name of an absent row: reason}.

    The arguments are those of `methods.references`. A row that cannot be measured, such as one that needs all queries
    where there are fewer than 10, is absent too.
    """
    from cdir_nb.methods.reference import references

    rows, absent = references(embedder, task, images)
    records: list[Record] = []
    for row in rows:
        try:
            records += measure(row, task)
        except CdirError as error:
            absent[row.name] = str(error)
    return records, absent


def _records(embedder: "Embedder", task: "Protocol", seed: int) -> list[Record]:
    _require_queries(embedder, task)
    evaluated = list(_evaluated(embedder, task))  # first: it embeds all images, of which the check below uses three
    context = context_of(embedder, task, seed)
    if "all queries" not in embedder.data_at_test_time and _depends_on_others(embedder, task):
        warnings.warn(
            f"{embedder.name}: the embedding of an image depends on the images that are embedded with it, so the "
            "records state that all queries are used: add 'all queries' to its data_at_test_time",
            stacklevel=4,
        )
        context["data_at_test_time"] = {*embedder.data_at_test_time, "all queries"}
    queries = {domain: about_images(query=images) for domain, images in task.queries.items()}
    galleries = {domain: about_images(gallery=images) for domain, images in task.galleries.items()}
    stored, records = _stored_metrics(task), []
    for a, b, excluded, results in evaluated:
        images = {**queries[a], **galleries[b], "own_image_excluded": sum(len(rows) > 0 for rows in excluded)}
        labels = task.query(a).labels
        for result in results:
            about = {"metric": result.metric, "value": result.mean, "queries_without_relevant": result.without_relevant}
            record = Record(query_domain=a, gallery_domain=b, **about, **images, **context)
            if record.metric in stored:
                record.with_queries(QueryValues(result.numerator, result.denominator, labels))
            records.append(record)
    return records


def _depends_on_others(embedder: "Embedder", task: "Protocol") -> bool:
    """Whether the embeddings of two images change if a third is embedded with them, whatever the method declares."""
    import torch.nn.functional as F

    (a, _), *_ = directions_of(embedder, task)
    images = task.query(a)
    if len(images) < 3:
        return False
    two, three = (F.normalize(embedder.embed(images.take(range(n)), progress=False), dim=1) for n in (2, 3))
    return float((two - three[:2]).norm(dim=1).max()) > 0.01  # far above the rounding of other batch sizes


def _stored_metrics(task: "Protocol") -> set[str]:
    """The metrics whose values are stored for every query: the first of each kind in the card, P@10 and mAP@all."""
    first = {spec.kind: str(spec.metric) for spec in reversed(task.metrics)}
    return {*first.values(), "P@10:hits_over_k", "mAP@all:over_relevant"}


def _excluded_rows(task: "Protocol", a: str, b: str) -> "list[np.ndarray]":
    """For each query of domain a, the rows of its own image in the gallery of domain b."""
    from cdir_nb.data.images import own_rows

    return own_rows(task.query(a), task.gallery(b))


def _require_queries(embedder: "Embedder", task: "Protocol") -> None:
    """Raise CdirError if an embedder computes with all queries of a domain, and these are too few for it."""
    for a, _ in directions_of(embedder, task) if "all queries" in embedder.data_at_test_time else ():
        if (n := len(task.query(a))) < MIN_QUERIES:
            raise CdirError(
                f"{embedder.name} embeds a query by means of all queries, and {task.name} has only {n} in {a}: "
                f"give at least {MIN_QUERIES}"
            )


def _doubts(embedders: "list[Embedder]", task: "Protocol") -> Iterator[str]:
    """A line about copies in two classes, and a line for each method that was trained on test images."""
    from cdir_nb.data.images import copies, own_rows

    keys = {key for images in (*task.queries.values(), *task.galleries.values()) for key in images.keys}
    tested = task.images.take([row for row, key in enumerate(task.images.keys) if key in keys])
    if conflicts := [rows for rows in copies(tested) if len(set(tested.labels[rows])) > 1]:
        names = ", ".join(tested.keys[row] for row in conflicts[0][:2])
        yield f"{task.name}: {len(conflicts)} test images are in two classes ({names}): remove each from the wrong one"
    planned = set(task.train.keys)  # a task may train on its test images, without their labels
    unplanned = tested.take([row for row, key in enumerate(tested.keys) if key not in planned])
    trained: dict[str, set[int]] = {}
    for embedder in embedders:
        if embedder.training_images is not None:
            rows = own_rows(unplanned, embedder.training_images)
            trained.setdefault(embedder.name, set()).update(row for row, same in enumerate(rows) if len(same))
    for name, rows in trained.items():
        if rows:
            images = f"{len(rows)} of the {len(tested)} test images ({unplanned.keys[min(rows)]}, ...)"
            yield f"{name} was trained on {images} of {task.name}, which does not train on them: leave them out of one"


def about_images(**parts: "ImageSet | None") -> dict[str, object]:
    """The numbers and fingerprints of sets of images, as fields of a record.

    `about_images(query=images)` returns `query_images` and `query_fingerprint`; 0 and "" for a set that is None.
    """
    numbers = {f"{part}_images": 0 if images is None else len(images) for part, images in parts.items()}
    digests = {f"{part}_fingerprint": "" if images is None else images.fingerprint for part, images in parts.items()}
    return {**numbers, **digests}


def evaluate_task(embedder: "Embedder", task: "Protocol") -> "dict[Direction, list[PerQuery]]":
    """{direction: every metric for every query, without the query's own image}; `measure` averages these values."""
    return {(a, b): results for a, b, _, results in _evaluated(embedder, task)}


def _evaluated(embedder: "Embedder", task: "Protocol") -> "Iterator[tuple[str, str, list[np.ndarray], list[PerQuery]]]":
    """By direction: query domain, gallery domain, rows of each query's own image, and every metric for every query."""
    from cdir_nb.retrieval import evaluate_embeddings

    pair_of, (ks, ap_ks) = embedded(embedder, task), task.cutoffs
    options = {"ks": ks, "ap_ks": ap_ks, "similarity": embedder.similarity}
    for a, b in directions_of(embedder, task):
        excluded, labels = _excluded_rows(task, a, b), (task.query(a).labels, task.gallery(b).labels)
        yield a, b, excluded, evaluate_embeddings(*pair_of(a, b), *labels, leave_out=excluded, **options)


def context_of(
    embedder: "Embedder", task: "Protocol", seed: int, training_images: "ImageSet | None" = None
) -> dict[str, object]:
    """The fields that all records of an embedder on a task have in common.

    training_images  the measured images, if these are training images instead of the task's queries and galleries
    """
    import torch

    from cdir_nb.encoders.pretraining import noted, seen_in_pretraining

    tested = [training_images] if training_images is not None else [*task.queries.values(), *task.galleries.values()]
    distinct = {images.keys: images for images in tested}.values()
    pool = embedder.training_images if embedder.training_pool is None else embedder.training_pool
    return {
        "method": embedder.name,
        "dataset": task.dataset,
        "protocol": task.name,
        "seed": seed,
        "encoder": embedder.encoder.identity,
        "preprocessing": getattr(embedder.encoder, "preprocessing", ""),
        "pooling": getattr(embedder.encoder, "pooling", ""),
        "settings": {**embedder.settings, "similarity": embedder.similarity},
        "selection_rule": embedder.selection,
        "steps": embedder.steps,
        "moved": embedder.moved,
        "train_set": noted(embedder.train_set, embedder.encoder, embedder.training_images),
        "test_set": f"{'queries and gallery' if training_images is None else 'training images'} of {task.name}",
        **about_images(train=embedder.training_images),
        "train_pool_fingerprint": "" if pool is None else pool.fingerprint,
        "image_counts": task.image_counts,
        "seen_in_pretraining": sum(seen_in_pretraining(embedder.encoder, images) for images in distinct),
        "data_at_test_time": embedder.data_at_test_time,
        "threads": torch.get_num_threads(),
        "training_commit": embedder.training_commit,
        "measuring_commit": current_commit(),
    }


def directions_of(embedder: "Embedder", task: "Protocol") -> "list[Direction]":
    """The directions of the task that an embedder was fitted for, in order. Raises CdirError if there are none."""
    directions = [pair for pair in task.directions if embedder.directions is None or pair in embedder.directions]
    if not directions:
        fitted = ", ".join(" -> ".join(pair) for pair in embedder.directions or ())
        raise CdirError(
            f"{embedder.name} was fitted for {fitted}, which is not in {task.name}: fit it for a direction of the task"
        )
    return directions


def embedded(embedder: "Embedder", task: "Protocol") -> "PairOf":
    """A function from (query domain, gallery domain) to the embeddings that are ranked; each set is embedded once."""
    embeddings = {}

    def embed(images: "ImageSet") -> "torch.Tensor":
        if images.keys not in embeddings:
            embeddings[images.keys] = embedder.embed(images)
        return embeddings[images.keys]

    def pair_of(a: str, b: str) -> "tuple[torch.Tensor, torch.Tensor]":
        query, gallery = task.query(a), task.gallery(b)
        return embedder.prepare(query, gallery, embed(query), embed(gallery))

    return pair_of


def percent_by_direction(pair_of: "PairOf", task: "Protocol", metric: str | Metric) -> "pd.Series":
    """One metric in percent by direction.

    pair_of  function from (query domain, gallery domain) to embeddings of queries and gallery

    metric  such as "P@10:hits_over_k"
    Intended for exploration: the similarity is the cosine, and no records are created. A query's own image is left out
    of its ranking. Raises CdirError if `metric` is not a metric of a ranking.
    """
    import pandas as pd

    from cdir_nb.retrieval import evaluate_embeddings

    metric = Metric.parse(str(metric))
    if metric.kind == "accuracy":
        raise CdirError(f"{metric} is not computed from a ranking: give a precision or an average precision")
    cutoffs = {"ks": (metric.k,), "ap_ks": ()} if metric.kind == "precision" else {"ks": (), "ap_ks": (metric.k,)}

    def percent(a: str, b: str) -> float:
        labels = task.query(a).labels, task.gallery(b).labels
        results = evaluate_embeddings(*pair_of(a, b), *labels, leave_out=_excluded_rows(task, a, b), **cutoffs)
        return 100 * next(result.mean for result in results if result.metric == metric)

    return pd.Series({(a, b): percent(a, b) for a, b in task.directions})
