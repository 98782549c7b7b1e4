"""Images and texts to vectors."""

from cdir_nb.encoders.batches import image_batches
from cdir_nb.encoders.clip import ClipEncoder, load_encoder

__all__ = ["ClipEncoder", "image_batches", "load_encoder"]
