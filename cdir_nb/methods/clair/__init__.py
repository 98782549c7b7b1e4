"""CLAIR: CLIP-aided, weakly supervised, zero-shot retrieval between two domains (arXiv 2508.12290)."""

from cdir_nb.methods.clair.embedder import ClairEmbedder
from cdir_nb.methods.clair.mapped_clip import MappedClip, mapped_clips
from cdir_nb.methods.clair.method import ClairTraining, closed_form_mapping, fit
from cdir_nb.methods.clair.pair import Pair, training_pair
from cdir_nb.methods.clair.settings import ClairConfig, named_config
from cdir_nb.methods.clair.state import kept_at
from cdir_nb.methods.clair.variants import FULL, VARIANTS, changes, variant

__all__ = [
    "FULL",
    "VARIANTS",
    "ClairConfig",
    "ClairEmbedder",
    "ClairTraining",
    "MappedClip",
    "Pair",
    "changes",
    "closed_form_mapping",
    "fit",
    "kept_at",
    "mapped_clips",
    "named_config",
    "training_pair",
    "variant",
]
