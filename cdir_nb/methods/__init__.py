"""Methods: each is fitted to give an `Embedder`, from images to vectors."""

from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.frozen.clip import VanillaClip

__all__ = ["Embedder", "VanillaClip"]
