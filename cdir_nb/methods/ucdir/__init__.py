"""UCDIR: unsupervised retrieval between two domains (Hu and Lee, ECCV 2022), its ablations and its baselines."""

from cdir_nb.methods.ucdir.embedder import FrozenStart, UcdirEmbedder, frozen_start
from cdir_nb.methods.ucdir.method import UcdirTraining, fit, kept_at
from cdir_nb.methods.ucdir.pair import TwoDomains, training_pair
from cdir_nb.methods.ucdir.settings import UcdirConfig, named_config
from cdir_nb.methods.ucdir.variants import ABLATIONS, BASELINES, FULL, VARIANTS, recorded_name, variant
from cdir_nb.methods.ucdir.views import at_side, start_of

__all__ = [
    "ABLATIONS",
    "BASELINES",
    "FULL",
    "VARIANTS",
    "FrozenStart",
    "TwoDomains",
    "UcdirConfig",
    "UcdirEmbedder",
    "UcdirTraining",
    "at_side",
    "fit",
    "frozen_start",
    "kept_at",
    "named_config",
    "recorded_name",
    "start_of",
    "training_pair",
    "variant",
]
