"""From embeddings to a ranking to metrics; every metric convention has a name."""

from cdir_nb.conventions import AVERAGE_PRECISION, PRECISION
from cdir_nb.retrieval.bootstrap import bootstrap_interval
from cdir_nb.retrieval.families import as_reported, families, family_table
from cdir_nb.retrieval.galleries import one_per_query, random_share, uneven
from cdir_nb.retrieval.metrics import (
    PerQuery,
    average_precision,
    evaluate,
    evaluate_embeddings,
    per_class,
    precision_at_k,
    precision_recall,
)
from cdir_nb.retrieval.ranking import SIMILARITIES, Ranking, rank, rank_blocks
from cdir_nb.retrieval.sharded import evaluate_shards, rank_shards
from cdir_nb.retrieval.shards import ShardedGallery, write_gallery
from cdir_nb.retrieval.similarity import for_dot_product

__all__ = [
    "AVERAGE_PRECISION",
    "PRECISION",
    "SIMILARITIES",
    "PerQuery",
    "Ranking",
    "ShardedGallery",
    "as_reported",
    "average_precision",
    "bootstrap_interval",
    "evaluate",
    "evaluate_embeddings",
    "evaluate_shards",
    "families",
    "family_table",
    "for_dot_product",
    "one_per_query",
    "per_class",
    "precision_at_k",
    "precision_recall",
    "random_share",
    "rank",
    "rank_blocks",
    "rank_shards",
    "uneven",
    "write_gallery",
]
