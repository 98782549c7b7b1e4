"""Methods: fitting one gives an `Embedder`, which turns images into vectors."""

from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.frozen.clip import VanillaClip

__all__ = ["Embedder", "VanillaClip"]
