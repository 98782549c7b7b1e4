"""Methods: each is fitted to give an `Embedder`, from images to vectors."""

from cdir_nb.methods.embedder import Embedder

__all__ = ["Embedder"]
