"""The interface of all methods: images in, vectors out, and the data that records store about them."""

from collections.abc import Mapping
from typing import Any

import torch

from cdir_nb.conventions import FROZEN, NOTHING_SELECTED
from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders.image import ImageEncoder

Direction = tuple[str, str]  # (query domain, gallery domain)


class Embedder:
    """Base class of fitted methods. A subclass sets `name` and `encoder`, implements `embed`, may override defaults.

    name        the method's name in records and tables
    encoder     the encoder that it uses; each record stores its identity
    similarity  "cosine" or "euclidean", for comparing its embeddings
    settings    plain data (numbers, strings, lists, dicts); runs with equal settings are averaged over seeds
    train_set   its training data, in words
    training_images  the training images; None if no images were used
    training_pool  the images from which the seed drew `training_images`; None: `training_images` itself. Seeds are
                averaged only if their pools are equal
    training_commit  commit of the code that trained it; empty if nothing was trained or the commit is unknown
    data_at_test_time  the data, besides the query itself, that it uses to embed or rank: "gallery", "training images",
                "all queries"
    selection   how its final state was chosen, one of `conventions.SELECTION_RULES`
    steps       optimiser steps from the encoder to this state
    moved       {group of parameters: its relative change, |theta - theta_0| / |theta_0|}
    directions  the (query domain, gallery domain) pairs that it was fitted for; None: any
    """

    name: str
    encoder: ImageEncoder
    similarity: str = "cosine"
    settings: Mapping[str, Any] = {}
    train_set: str = FROZEN
    training_images: ImageSet | None = None
    training_pool: ImageSet | None = None
    training_commit: str = ""
    data_at_test_time: frozenset[str] = frozenset()
    selection: str = NOTHING_SELECTED
    steps: int = 0
    moved: Mapping[str, float] = {}
    directions: tuple[Direction, ...] | None = None

    def serves(self, task: Protocol) -> bool:
        """Whether it was fitted for at least one direction of a task."""
        return self.directions is None or not set(self.directions).isdisjoint(task.directions)

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) float32 on the CPU, one row per image, in order."""
        raise NotImplementedError(f"{type(self).__name__} has no embed(images)")

    def prepare(
        self, query: ImageSet, gallery: ImageSet, query_emb: torch.Tensor, gallery_emb: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The embeddings (Q, D) and (G, D) of queries and gallery, as they are ranked; by default unchanged."""
        return query_emb, gallery_emb
