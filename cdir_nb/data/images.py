"""ImageSet: rows of (key, domain, label) and a way to load one. Every dataset of the workbook is one of these.

Sets are made of others: classes renamed, several as one, pictures changed on the way (cut, inverted).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps

from cdir_nb.errors import CdirError


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


def rename(images: ImageSet, classes: dict[str, str]) -> ImageSet:
    """The same rows, classes renamed (old name -> new name); keys stay, and so do names without an entry."""
    labels = [classes.get(label, label) for label in images.labels.tolist()]
    return replace(images, labels=np.array(labels, dtype=str))


def combine(*sets: ImageSet) -> ImageSet:
    """All rows of several sets, one after the other. CdirError where two sets have a key in common.

    Rename classes first where the sets spell them differently. Copies of a picture that were encoded anew
    (Sketchy's in PACS) have other digests: drop them by file name.
    """
    keys = tuple(key for images in sets for key in images.keys)
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise CdirError(f"{twice} stands in two of the sets to be combined; a key must name one image")
    loads = {key: images.load for images in sets for key in images.keys}
    domains = np.concatenate([images.domains for images in sets])
    labels = np.concatenate([images.labels for images in sets])
    digests = tuple(digest for images in sets for digest in images.digests)
    return ImageSet(keys, domains, labels, _LoadFrom(loads), digests)


@dataclass(frozen=True)
class _LoadFrom:
    """Loads each key with the load of the set that it came from."""

    loads: dict[str, Callable[[str], Image.Image]]

    def __call__(self, key: str) -> Image.Image:
        return self.loads[key](key)


def altered(images: ImageSet, change: Callable[[Image.Image], Image.Image], name: str) -> ImageSet:
    """The same rows with `change` done to each picture as it is loaded.

    name  of the change; it goes into the digests, so that caches tell changed pictures from the originals
    """
    if not name:
        raise CdirError("a change of pictures needs a name, so that caches can tell them apart")
    digests = tuple(f"{digest} {name}" for digest in images.digests)
    return replace(images, load=_Changed(images.load, change), digests=digests)


def cut_to_strip(picture: Image.Image) -> Image.Image:
    """The middle three quarters of the height: a square picture becomes one of 4:3."""
    eighth = picture.height // 8
    return picture.crop((0, eighth, picture.width, picture.height - eighth))


def inverted(picture: Image.Image) -> Image.Image:
    """Black for white. SnMpNet's released code does it to every folder named sketch or quickdraw."""
    return ImageOps.invert(picture.convert("RGB"))


@dataclass(frozen=True)
class _Changed:
    """Loads a picture as `load` does, then changes it."""

    load: Callable[[str], Image.Image]
    change: Callable[[Image.Image], Image.Image]

    def __call__(self, key: str) -> Image.Image:
        return self.change(self.load(key))
