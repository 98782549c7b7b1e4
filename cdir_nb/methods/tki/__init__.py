"""TKI: retrieval across any domains, trained on text alone (Yan et al., ICML 2024)."""

from cdir_nb.methods.method import ALL_DOMAINS, CLIP, Method
from cdir_nb.methods.tki.expansion import DomainExpansion
from cdir_nb.methods.tki.losses import loss_agg, loss_agg_in_blocks, loss_max, loss_min
from cdir_nb.methods.tki.method import TkiTraining
from cdir_nb.methods.tki.names import names_for, training_names
from cdir_nb.methods.tki.network import Projection
from cdir_nb.methods.tki.settings import TkiSettings
from cdir_nb.methods.tki.variants import READINGS, VARIANTS

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
    "loss_agg_in_blocks",
    "loss_max",
    "loss_min",
    "names_for",
    "training_names",
]
