"""TKI: retrieval across any domains, trained on text alone (Yan et al., ICML 2024)."""

from cdir_nb.methods.tki.losses import loss_agg, loss_exp, loss_max, loss_min
from cdir_nb.methods.tki.method import Expansion, Projection, TkiEmbedder, aggregate, expand, fit
from cdir_nb.methods.tki.settings import TkiConfig, training_names
from cdir_nb.methods.tki.variants import FULL, READINGS, VARIANTS, variant

__all__ = [
    "FULL",
    "READINGS",
    "VARIANTS",
    "Expansion",
    "Projection",
    "TkiConfig",
    "TkiEmbedder",
    "aggregate",
    "expand",
    "fit",
    "loss_agg",
    "loss_exp",
    "loss_max",
    "loss_min",
    "training_names",
    "variant",
]
