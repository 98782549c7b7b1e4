"""Encoders, which turn images and texts into vectors."""

from cdir_nb.encoders.clip import ClipEncoder, load_encoder, require_texts
from cdir_nb.encoders.decoding import image_batches
from cdir_nb.encoders.image import ImageEncoder, wrap_model

__all__ = ["ClipEncoder", "ImageEncoder", "image_batches", "load_encoder", "require_texts", "wrap_model"]
