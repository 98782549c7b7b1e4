"""Rankings of embeddings, and metrics of rankings; every metric convention has a name.

PRECISION and AVERAGE_PRECISION hold the names of the conventions, SIMILARITIES those of the similarities.
"""

from cdir_nb.conventions import AVERAGE_PRECISION, PRECISION
from cdir_nb.retrieval.cluster import merge_rankings, rank_shards
from cdir_nb.retrieval.families import as_reported, families, family_table
from cdir_nb.retrieval.galleries import one_per_query, random_fraction, uneven
from cdir_nb.retrieval.metrics import (
    PerQuery,
    average_precision,
    bootstrap_interval,
    evaluate,
    evaluate_embeddings,
    per_class,
    precision_at_k,
    precision_recall,
)
from cdir_nb.retrieval.postprocess import (
    alpha_query_expansion,
    centre,
    contrastive_projection,
    k_reciprocal,
    popularity,
    qb_norm_switch,
    sinkhorn,
    subtract_popularity,
)
from cdir_nb.retrieval.ranking import SIMILARITIES, Ranking, for_dot_product, rank, rank_blocks

__all__ = [
    "AVERAGE_PRECISION",
    "PRECISION",
    "SIMILARITIES",
    "PerQuery",
    "Ranking",
    "alpha_query_expansion",
    "as_reported",
    "average_precision",
    "bootstrap_interval",
    "centre",
    "contrastive_projection",
    "evaluate",
    "evaluate_embeddings",
    "families",
    "family_table",
    "for_dot_product",
    "k_reciprocal",
    "merge_rankings",
    "one_per_query",
    "per_class",
    "popularity",
    "precision_at_k",
    "precision_recall",
    "qb_norm_switch",
    "random_fraction",
    "rank",
    "rank_blocks",
    "rank_shards",
    "sinkhorn",
    "subtract_popularity",
    "uneven",
]
