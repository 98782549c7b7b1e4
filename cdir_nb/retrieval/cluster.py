"""Exact top-k ranking of a gallery in shards, in this process or by the workers of a dask cluster.

Each shard is ranked by `rank`, and the best k results of all shards are merged. Equal scores are ordered by gallery
index. The last bit of a score depends on the shape of the matrix product, so scores, and the order of nearly equal
scores, may differ from those of a single pass over the whole gallery.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from cdir_nb.errors import CdirError, os_message
from cdir_nb.retrieval.blocks import LeftOut
from cdir_nb.retrieval.ranking import Embeddings, Ranking, checked_cutoff, checked_rows, rank

if TYPE_CHECKING:
    from distributed import Client


def rank_shards(
    query_emb: Embeddings,
    shards: Sequence[Embeddings | Path | str],
    *,
    k: int,
    similarity: str = "cosine",
    client: "Client | None" = None,
) -> Ranking:
    """Rank a gallery that is split into shards; `evaluate(ranking, ...)` computes the metrics up to k.

    query_emb  (Q, D)
    shards     parts (n, D) of the gallery, in order, or paths of .npy files; these must be on storage that all machines
               share, since each worker opens its file
    k          number of ranks; this process needs a few times 8 Q k bytes of memory
    client     client of a dask cluster, whose workers rank the shards; a lost worker is replaced. None: this process
               ranks one shard after the other, for a gallery that does not fit in memory
    Raises CdirError, which names the shard, for errors of `rank`, unreadable files, and failed tasks of the cluster.
    """
    query, k = checked_rows("query_emb", query_emb, similarity).cpu(), checked_cutoff(k)
    if not shards:
        raise CdirError("shards is empty: give at least one part of the gallery")
    best = None
    for ranking in _rankings(query, shards, k, similarity, client):
        best = ranking if best is None else merge_rankings(best, ranking, k)
    assert best is not None
    return best


def merge_rankings(left: Ranking, right: Ranking, k: int) -> Ranking:
    """The first k ranks in a gallery that consists of the left ranking's gallery, followed by the right one's."""
    indices = np.concatenate([left.indices, right.indices + left.n_gallery], axis=1, dtype=np.int32)
    scores = np.concatenate([left.scores, right.scores], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # stable: equal scores stay in gallery order
    return Ranking(
        np.take_along_axis(indices, order, axis=1),
        np.take_along_axis(scores, order, axis=1),
        left.n_gallery + right.n_gallery,
        _all_left_out(left, right),
        None if left.repeated is None or right.repeated is None else left.repeated | right.repeated,
    )


def _all_left_out(left: Ranking, right: Ranking) -> LeftOut | None:
    """The gallery rows that either ranking left out, as rows of the merged gallery."""
    sides = [(left.left_out, 0), (right.left_out, left.n_gallery)]
    pairs = [(part.queries, part.rows + offset) for part, offset in sides if part is not None]
    if not pairs:
        return None
    queries, rows = map(np.concatenate, zip(*pairs))
    order = np.lexsort((rows, queries))
    return LeftOut(queries[order], rows[order])


def _rankings(
    query: torch.Tensor, shards: Sequence[Embeddings | Path | str], k: int, similarity: str, client: "Client | None"
) -> Iterator[Ranking]:
    """The ranking of each shard, in order."""
    if client is None:
        yield from (_rank_shard(query, shard, number, k, similarity) for number, shard in enumerate(shards))
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        sent = client.submit(np.asarray, query, pure=False)  # unlike scattered data, it is computed again if it is lost
    futures = [client.submit(_rank_shard, sent, shard, n, k, similarity, pure=False) for n, shard in enumerate(shards)]
    for number, future in enumerate(futures):
        try:
            yield future.result()
        except CdirError:
            raise
        except Exception as error:  # of dask: several workers were lost on this shard
            problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise CdirError(f"shard {number} could not be ranked ({problem}): check the workers' logs") from None


def _rank_shard(query: Embeddings, shard: Embeddings | Path | str, number: int, k: int, similarity: str) -> Ranking:
    try:
        gallery = np.load(shard) if isinstance(shard, Path | str) else shard
        return rank(query, gallery, k=k, similarity=similarity)
    except (OSError, ValueError) as error:
        problem = os_message(error) if isinstance(error, OSError) else error
        raise CdirError(f"shard {number}, {shard}, cannot be read ({problem}): write it with numpy.save") from None
    except CdirError as error:
        raise CdirError(f"shard {number}: {error}") from None
