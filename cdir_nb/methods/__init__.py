"""Methods: `fit` fits any row of `METHODS` and returns embedders, which turn images into vectors."""

from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.frozen import VanillaClip
from cdir_nb.methods.method import Fitted, Method
from cdir_nb.methods.postprocessed import AlphaQE, Centre, KReciprocal, Popularity, PostProcessed, QBNorm
from cdir_nb.methods.reference import frozen_embedder, references
from cdir_nb.methods.settings import Settings, setting
from cdir_nb.methods.table import METHODS, fit, fit_reference
from cdir_nb.methods.training import TrainedEmbedder, Training

__all__ = [
    "METHODS",
    "AlphaQE",
    "Centre",
    "Embedder",
    "Fitted",
    "KReciprocal",
    "Method",
    "Popularity",
    "PostProcessed",
    "QBNorm",
    "Settings",
    "TrainedEmbedder",
    "Training",
    "VanillaClip",
    "fit",
    "fit_reference",
    "frozen_embedder",
    "references",
    "setting",
]
