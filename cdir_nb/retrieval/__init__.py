"""Embeddings -> ranking -> metrics, with every convention by name."""

from cdir_nb.retrieval.metrics import (
    AVERAGE_PRECISION,
    PRECISION,
    PerQuery,
    average_precision,
    evaluate,
    evaluate_embeddings,
    per_class,
    precision_at_k,
    precision_recall,
)
from cdir_nb.retrieval.ranking import SIMILARITIES, Ranking, rank, rank_blocks

__all__ = [
    "AVERAGE_PRECISION",
    "PRECISION",
    "SIMILARITIES",
    "PerQuery",
    "Ranking",
    "average_precision",
    "evaluate",
    "evaluate_embeddings",
    "per_class",
    "precision_at_k",
    "precision_recall",
    "rank",
    "rank_blocks",
]
