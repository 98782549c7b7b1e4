"""Pictures and what stands around them: grids, maps, curves, tables of failures, controls, banners."""

from cdir_nb.show.banner import banner, has_random_weights, notebook_map, plain_list
from cdir_nb.show.curves import accuracy_bars, bars, direction_table, heat_maps, histograms, precision_recall, strips
from cdir_nb.show.failures import confusion_table, k_occurrence, skewness, top_confusions
from cdir_nb.show.gap import centroids, class_distances, cosine_groups, domain_distances
from cdir_nb.show.grids import contact_sheet, picture_row, ranked_grid
from cdir_nb.show.labels import (
    accuracy_at_coverage,
    calibration_error,
    label_changes,
    psi_figure,
    reliability,
    softmax_figure,
    step_curves,
)
from cdir_nb.show.mapping import FlatDomain, main_axes, rotation_figure, way_figure
from cdir_nb.show.maps import map_figure, project, sample_rows
from cdir_nb.show.style import save_figure
from cdir_nb.show.widgets import explore, show_source

__all__ = [
    "FlatDomain",
    "accuracy_at_coverage",
    "accuracy_bars",
    "banner",
    "bars",
    "calibration_error",
    "centroids",
    "class_distances",
    "confusion_table",
    "contact_sheet",
    "cosine_groups",
    "direction_table",
    "domain_distances",
    "explore",
    "has_random_weights",
    "heat_maps",
    "histograms",
    "k_occurrence",
    "label_changes",
    "main_axes",
    "map_figure",
    "notebook_map",
    "picture_row",
    "plain_list",
    "precision_recall",
    "project",
    "psi_figure",
    "ranked_grid",
    "reliability",
    "rotation_figure",
    "sample_rows",
    "save_figure",
    "show_source",
    "skewness",
    "softmax_figure",
    "step_curves",
    "strips",
    "top_confusions",
    "way_figure",
]
