"""Analyses of embeddings, rankings and probabilities beyond metrics: the numbers behind the figures."""

from cdir_nb.analysis.clusters import purity
from cdir_nb.analysis.coordinates import flatten, main_axes, project, sample_rows
from cdir_nb.analysis.distances import centroids, class_distances, cosine_groups, domain_distances, unit_rows
from cdir_nb.analysis.probabilities import accuracy_at_coverage, calibration_error, evenly, reliability_bins, shares
from cdir_nb.analysis.rankings import confusion_table, direction_table, k_occurrence, skewness, top_confusions

__all__ = [
    "accuracy_at_coverage",
    "calibration_error",
    "centroids",
    "class_distances",
    "confusion_table",
    "cosine_groups",
    "direction_table",
    "domain_distances",
    "evenly",
    "flatten",
    "k_occurrence",
    "main_axes",
    "project",
    "purity",
    "reliability_bins",
    "sample_rows",
    "shares",
    "skewness",
    "top_confusions",
    "unit_rows",
]
