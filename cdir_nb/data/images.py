"""ImageSet: rows of (key, domain, label) and a way to load one. Every dataset of the workbook is one of these."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class ImageSet:
    """Immutable rows of images, in a fixed order.

    keys     N unique names, "domain/class/file"
    domains  (N,) domain names
    labels   (N,) class names
    load     key -> PIL image in RGB
    digests  N digests of content: equal digests mean equal pictures
    """

    keys: tuple[str, ...]
    domains: np.ndarray
    labels: np.ndarray
    load: Callable[[str], Image.Image]
    digests: tuple[str, ...]

    def __post_init__(self) -> None:
        sizes = {len(self.keys), len(self.domains), len(self.labels), len(self.digests)}
        if len(sizes) != 1:
            raise ValueError(f"columns of an ImageSet differ in length: {sorted(sizes)}")

    def __len__(self) -> int:
        return len(self.keys)

    def image(self, row: int) -> Image.Image:
        """The picture of one row, RGB."""
        return self.load(self.keys[row])

    def take(self, rows: Sequence[int] | np.ndarray) -> "ImageSet":
        """The rows named by index or by a boolean mask, in that order."""
        rows = np.arange(len(self))[np.asarray(rows) if len(rows) else np.array([], dtype=int)]
        keys = tuple(self.keys[i] for i in rows)
        digests = tuple(self.digests[i] for i in rows)
        return ImageSet(keys, self.domains[rows], self.labels[rows], self.load, digests)

    def mask(self, domains: Iterable[str] | str | None = None, labels: Iterable[str] | None = None) -> np.ndarray:
        """(N,) bool: rows of these domains and these classes (None: any)."""
        keep = np.ones(len(self), dtype=bool)
        if domains is not None:
            keep &= np.isin(self.domains, [domains] if isinstance(domains, str) else list(domains))
        if labels is not None:
            keep &= np.isin(self.labels, list(labels))
        return keep

    def select(self, domains: Iterable[str] | str | None = None, labels: Iterable[str] | None = None) -> "ImageSet":
        """The rows of these domains and these classes (None: any), order kept."""
        return self.take(self.mask(domains, labels))

    @property
    def fingerprint(self) -> str:
        """Digest of content identity: which pictures, under which domain and label, in which order."""
        rows = zip(self.digests, self.domains, self.labels)
        return hashlib.sha256("\n".join("\t".join(map(str, row)) for row in rows).encode()).hexdigest()[:16]
