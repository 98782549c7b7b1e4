"""Embedding, ranking and metrics on a dask cluster, equal to those on one machine.

The cache of embeddings and the gallery's folder must have the same paths on all machines (shared storage). The tasks of
a lost worker run again on another one.
"""

import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from cdir_nb.errors import CdirError
from cdir_nb.retrieval import PerQuery, Ranking, ShardedGallery, evaluate_shards, rank_shards
from cdir_nb.retrieval.metrics import Labels
from cdir_nb.retrieval.ranking import Embeddings
from cdir_nb.run.cluster import refuse_other_code

if TYPE_CHECKING:  # workers that only rank need not import the encoders
    from distributed import Client

    from cdir_nb.data.images import ImageSet
    from cdir_nb.encoders.cache import EmbeddingStore
    from cdir_nb.encoders.image import ImageEncoder

IMAGES_PER_TASK = 1024  # as many rows as a shard of the cache
_one_task = threading.Lock()


def embed_on(client: "Client", encoder: "ImageEncoder", images: "ImageSet", *, batch_size: int = 64) -> torch.Tensor:
    """(N, D) float32: `encoder.embed_images(images)`, with what the cache lacks computed by the workers.

    Each task computes some 1,000 images and adds them to the cache of this process. If an image is computed twice (its
    worker was thought lost), both results are kept, and all readers take the same one.
    Raises CdirError: as `embed_images`; workers with other code; a cache that workers cannot write.
    """
    refuse_other_code(client)
    rows, store = encoder.missing(images), encoder.store()
    store.folder = store.folder.absolute()
    tasks = [(rows[start : start + IMAGES_PER_TASK],) for start in range(0, len(rows), IMAGES_PER_TASK)]
    for _ in _each(client, _embed_rows, tasks, (encoder, images, store, batch_size)):
        pass
    if tasks and encoder.missing(images):
        raise CdirError(
            f"what the workers embedded is not in {store.folder}: "
            "set CDIR_CACHE to a folder with free space that all machines share"
        )
    return encoder.embed_images(images, batch_size=batch_size)


def rank_on(client: "Client", query_emb: Embeddings, gallery: ShardedGallery, **options: Any) -> Ranking:
    """`rank_shards(query_emb, gallery, **options)` by the workers, a task per shard: the result of `rank`."""
    refuse_other_code(client)
    return rank_shards(query_emb, gallery, each=partial(_each, client), **options)


def evaluate_on(
    client: "Client",
    query_emb: Embeddings,
    gallery: ShardedGallery,
    query_labels: Labels,
    gallery_labels: Labels,
    **options: Any,
) -> list[PerQuery]:
    """`evaluate_shards(..., **options)` by the workers: the values of `evaluate_embeddings`."""
    refuse_other_code(client)
    each = partial(_each, client)
    return evaluate_shards(query_emb, gallery, query_labels, gallery_labels, each=each, **options)


def _each(client: "Client", function: Callable, tasks: list[tuple], shared: tuple) -> Iterator[Any]:
    """function(*shared, *task) of each task by some worker, in any order.

    `shared` goes to the scheduler once, and to each worker once.
    """
    from distributed import as_completed

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        held = client.submit(tuple, shared, pure=False)  # unlike scattered data, it is made again if it is lost
    for future in as_completed([client.submit(_on_worker, function, held, task, pure=False) for task in tasks]):
        try:
            yield future.result()
        except CdirError:
            raise
        except Exception as error:  # dask's own: several workers were lost on this task
            raise CdirError(f"{type(error).__name__}: {' '.join(str(error).split())}") from None


def _on_worker(function: Callable, shared: tuple, task: tuple) -> Any:
    """One task at a time in a process: the limit of BLAS threads is the process's."""
    with _one_task:
        return function(*shared, *task)


def _embed_rows(
    encoder: "ImageEncoder", images: "ImageSet", store: "EmbeddingStore", batch_size: int, rows: list[int]
) -> None:
    encoder.compute(images, rows, store, batch_size, progress=False)
