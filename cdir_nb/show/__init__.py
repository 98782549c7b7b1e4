"""Figures by kind (bars, curves, heat maps, grids, maps) and by method, and sliders and banners for notebooks.

The figures of one method are in the submodules `clair`, `tki`, `snmpnet` and `sketchlvm`.
"""

from cdir_nb.errors import require_extra

require_extra("notebooks", "matplotlib", "seaborn", "IPython", "ipywidgets")

from cdir_nb.show import clair, sketchlvm, snmpnet, tki
from cdir_nb.show.banner import banner, has_random_weights, method_settings, notebook_map, plain_list, settings_table
from cdir_nb.show.bar_charts import bars, bars_in_groups, histograms, method_bars, metric_bars, strips
from cdir_nb.show.curves import convention_curves, gains_over_accuracy
from cdir_nb.show.diagrams import diagram
from cdir_nb.show.dot_plots import claim_points, headline_dots, intervals, seed_dots
from cdir_nb.show.grids import contact_sheet, image_rows, label_changes, labelled_images, rank_strips, ranked_grid
from cdir_nb.show.heatmaps import gain_map, heat_maps, matrices
from cdir_nb.show.maps import map_figure, two_maps
from cdir_nb.show.paper_tables import scoreboard, table_panels
from cdir_nb.show.running import running_table
from cdir_nb.show.style import save_figure
from cdir_nb.show.training import (
    seed_curves,
    sensitivity,
    stopping_figure,
    training_history,
    training_runs,
    value_curves,
)
from cdir_nb.show.widgets import explore, show_source

__all__ = ["clair", "sketchlvm", "snmpnet", "tki", "diagram"]
__all__ += ["banner", "has_random_weights", "method_settings", "notebook_map", "plain_list", "settings_table"]
__all__ += ["bars", "bars_in_groups", "histograms", "method_bars", "metric_bars", "strips"]
__all__ += ["seed_dots", "intervals", "seed_curves", "stopping_figure"]
__all__ += ["convention_curves", "gains_over_accuracy", "headline_dots"]
__all__ += ["contact_sheet", "image_rows", "label_changes", "labelled_images", "rank_strips", "ranked_grid"]
__all__ += ["gain_map", "heat_maps", "matrices", "map_figure", "two_maps"]
__all__ += ["claim_points", "scoreboard", "table_panels", "running_table", "save_figure"]
__all__ += ["sensitivity", "training_history", "training_runs", "value_curves", "explore", "show_source"]
