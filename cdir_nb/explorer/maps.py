"""Two maps of the same images, side by side, linked image by image (jupyter-scatter)."""

import numpy as np
import pandas as pd
import torch

from cdir_nb.analysis import project, sample_rows
from cdir_nb.explorer.ask import Explorer
from cdir_nb.explorer.stored import stored
from cdir_nb.methods.checkpoints import digest_of

PROJECTIONS = ("tsne", "umap")


class Maps:
    """Coordinates of a sample of two domains under any method and projection; computed once, then in the cache.

    rows  of the collection: equally many from every domain and class
    """

    def __init__(
        self, explorer: Explorer, direction: tuple[str, str], gallery: str, most: int = 600, seed: int = 0
    ) -> None:
        c = explorer.collection
        self.explorer, self.direction, self.gallery, self.seed = explorer, direction, gallery, seed
        rows = np.unique(np.concatenate([c.gallery_rows(domain, gallery) for domain in direction]))
        groups = [f"{d}/{label}" for d, label in zip(c.images.domains[rows], c.images.labels[rows])]
        self.rows = rows[sample_rows(groups, most, seed)]

    def points(self, method: str, projection: str) -> np.ndarray:
        """(N, 2) in the order of `rows`."""
        emb = self._embeddings(method)
        key = {"embeddings": digest_of(emb.tolist()), "projection": projection, "seed": str(self.seed)}
        points = stored("maps", key, lambda: torch.from_numpy(project(emb.numpy(), projection, self.seed)))
        return points.numpy()

    def table(self) -> pd.DataFrame:
        """One row per image: class and domain, for colours and tooltips."""
        images = self.explorer.collection.images
        return pd.DataFrame({"class": images.labels[self.rows], "domain": images.domains[self.rows]})

    def _embeddings(self, name: str) -> torch.Tensor:
        """(N, D): both domains as the method compares them, queries mapped where it maps them."""
        method, images = self.explorer.methods[name], self.explorer.collection.images
        embedder, domains = method.at(self.direction, method.start), images.domains[self.rows]
        parts = [self.rows[domains == domain] for domain in self.direction]
        emb = torch.cat([embedder.embed(images.take(part), progress=False) for part in parts])
        return emb[np.argsort(np.concatenate(parts), kind="stable")]
