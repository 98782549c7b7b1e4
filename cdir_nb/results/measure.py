"""The one way from a fitted method (an embedder) and a task to records."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cdir_nb.errors import CdirError
from cdir_nb.results.records import Record, config_digest

if TYPE_CHECKING:  # torch and pandas would make every command of `cdir` start slowly
    import pandas as pd
    import torch

    from cdir_nb.data.images import ImageSet
    from cdir_nb.data.protocols import Protocol
    from cdir_nb.methods.embedder import Direction, Embedder
    from cdir_nb.retrieval import PerQuery

    PairOf = Callable[[str, str], tuple[torch.Tensor, torch.Tensor]]  # query and gallery domain -> (Q, D), (G, D)


def measure(embedder: "Embedder | Iterable[Embedder]", task: "Protocol", seed: int = 0) -> list[Record]:
    """Records of a method on a task: every direction, every convention, every cut-off that the protocol reports.

    embedder  one for all directions, or several that were each fitted for some of them (such as one per domain pair)
    seed      the seed that the method was fitted with

    Each embedder embeds every domain once. Directions that are not in the task are left out.
    Raises CdirError if an embedder was fitted for no direction of the task.
    """
    embedders = [embedder] if hasattr(embedder, "embed") else list(embedder)
    return [record for one in embedders for record in _records(one, task, seed)]


def _records(embedder: "Embedder", task: "Protocol", seed: int) -> list[Record]:
    same = context_of(embedder, task, seed)
    return [
        Record(query_domain=a, gallery_domain=b, **result.row(), **same)
        for (a, b), results in evaluate_task(embedder, task).items()
        for result in results
    ]


def evaluate_task(embedder: "Embedder", task: "Protocol") -> "dict[Direction, list[PerQuery]]":
    """{direction: every metric for every query}; `measure` averages these."""
    from cdir_nb.retrieval import evaluate_embeddings

    pair_of, (ks, ap_ks) = embedded(embedder, task), task.cutoffs
    cutoffs = {"ks": ks, "ap_ks": ap_ks, "similarity": embedder.similarity}
    return {
        (a, b): evaluate_embeddings(*pair_of(a, b), task.query(a).labels, task.gallery(b).labels, **cutoffs)
        for a, b in directions_of(embedder, task)
    }


def context_of(
    embedder: "Embedder", task: "Protocol", seed: int, training_images: "ImageSet | None" = None
) -> dict[str, object]:
    """The fields that all records of an embedder on a task have in common.

    training_images  for a number measured on these; None: it was measured on the task's queries and galleries
    """
    from cdir_nb.encoders.pretraining import seen_in_pretraining

    tested = [training_images] if training_images is not None else [*task.queries.values(), *task.galleries.values()]
    each_once = {images.keys: images for images in tested}.values()
    return {
        "method": embedder.name,
        "dataset": task.dataset,
        "protocol": task.name,
        "seed": seed,
        "encoder": embedder.encoder.identity,
        "config_digest": config_digest({**embedder.settings, "similarity": embedder.similarity}),
        "train_set": embedder.train_set,
        "selection_rule": embedder.selection,
        "steps": embedder.steps,
        "moved": ", ".join(f"{group} {100 * by:.2g} %" for group, by in embedder.moved.items()),
        "test_set": f"{'queries and gallery' if training_images is None else 'training images'} of {task.name}",
        "seen_in_pretraining": sum(seen_in_pretraining(embedder.encoder, images) for images in each_once),
    }


def directions_of(embedder: "Embedder", task: "Protocol") -> "list[Direction]":
    """The task's directions that an embedder was fitted for, in the task's order. CdirError if there are none."""
    served = [pair for pair in task.directions if embedder.directions is None or pair in embedder.directions]
    if not served:
        fitted = ", ".join(" -> ".join(pair) for pair in embedder.directions)
        raise CdirError(f"{embedder.name} was fitted for {fitted}, which is not in {task.name}: fit one of its pairs")
    return served


def embedded(embedder: "Embedder", task: "Protocol") -> "PairOf":
    """(a, b) -> embeddings of a's queries and b's gallery; each set of images is embedded only once."""
    made = {}

    def embed(images: "ImageSet") -> "torch.Tensor":
        if images.keys not in made:
            made[images.keys] = embedder.embed(images)
        return made[images.keys]

    return lambda a, b: (embed(task.query(a)), embed(task.gallery(b)))


def percent_by_direction(
    pair_of: "PairOf", task: "Protocol", metric: str, convention: str, k: int | None = None
) -> "pd.Series":
    """One metric in percent by direction, for any function from (query domain, gallery domain) to embeddings.

    For exploration: embeddings are compared by cosine, no other metric is computed, and nothing is recorded.
    """
    import pandas as pd

    from cdir_nb.retrieval import evaluate_embeddings

    cutoffs = {"ks": (k,), "ap_ks": ()} if metric == "precision" else {"ks": (), "ap_ks": (k,)}

    def percent(a: str, b: str) -> float:
        results = evaluate_embeddings(*pair_of(a, b), task.query(a).labels, task.gallery(b).labels, **cutoffs)
        return 100 * next(result.mean for result in results if result.convention == convention)

    return pd.Series({(a, b): percent(a, b) for a, b in task.directions})
