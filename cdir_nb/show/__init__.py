"""Figures by kind (bars, curves, heat maps, grids, maps, mechanisms), and the sliders and banners around them."""

from cdir_nb.errors import require_extra

require_extra("notebooks", "matplotlib", "seaborn", "IPython", "ipywidgets")

from cdir_nb.show.banner import banner, has_random_weights, notebook_map, plain_list, settings_table
from cdir_nb.show.bar_charts import accuracy_bars, bars, bars_in_groups, histograms, method_bars, metric_bars, strips
from cdir_nb.show.curves import convention_curves, precision_recall, psi_figure, reliability, softmax_figure
from cdir_nb.show.diagrams import clair_diagram, clip_diagram, snmpnet_diagram, tki_diagram, ucdir_diagram
from cdir_nb.show.grids import contact_sheet, image_rows, label_changes, picture_row, rank_strips, ranked_grid
from cdir_nb.show.heatmaps import gain_map, heat_maps, matrices
from cdir_nb.show.history import training_history
from cdir_nb.show.maps import map_figure, rank_shifts, two_maps
from cdir_nb.show.mechanisms import (
    FlatDomain,
    attention_figure,
    pictures_of,
    poincare_disc,
    rotation_figure,
    token_figure,
    way_figure,
    weight_figure,
)
from cdir_nb.show.paper_tables import scoreboard, table_panels
from cdir_nb.show.scatter import gains_against_knowledge
from cdir_nb.show.style import save_figure
from cdir_nb.show.training import (
    clair_curves,
    sensitivity,
    training_curves,
    training_runs,
    value_curves,
    weighted_curves,
)
from cdir_nb.show.universal import mixture_figure, neighbourhoods, protocol_grids, training_figure, universal_map
from cdir_nb.show.widgets import explore, show_source

__all__ = [
    "FlatDomain",
    "accuracy_bars",
    "attention_figure",
    "banner",
    "bars",
    "bars_in_groups",
    "clair_curves",
    "clair_diagram",
    "clip_diagram",
    "contact_sheet",
    "convention_curves",
    "explore",
    "gain_map",
    "gains_against_knowledge",
    "has_random_weights",
    "heat_maps",
    "histograms",
    "image_rows",
    "label_changes",
    "map_figure",
    "matrices",
    "method_bars",
    "metric_bars",
    "mixture_figure",
    "neighbourhoods",
    "notebook_map",
    "picture_row",
    "pictures_of",
    "plain_list",
    "poincare_disc",
    "precision_recall",
    "protocol_grids",
    "psi_figure",
    "rank_shifts",
    "rank_strips",
    "ranked_grid",
    "reliability",
    "rotation_figure",
    "save_figure",
    "scoreboard",
    "sensitivity",
    "settings_table",
    "show_source",
    "snmpnet_diagram",
    "softmax_figure",
    "strips",
    "table_panels",
    "tki_diagram",
    "token_figure",
    "training_curves",
    "training_figure",
    "training_history",
    "training_runs",
    "two_maps",
    "ucdir_diagram",
    "universal_map",
    "value_curves",
    "way_figure",
    "weight_figure",
    "weighted_curves",
]
