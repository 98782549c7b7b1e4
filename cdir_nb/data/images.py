"""ImageSet: rows of (key, domain, label) and a function that loads an image. Every dataset in the workbook is one.

Functions here derive new sets: with classes renamed, several sets combined, or pictures changed (cropped, inverted).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps

from cdir_nb.errors import CdirError


@dataclass(frozen=True, repr=False)
class ImageSet:
    """Immutable rows of images, in a fixed order.

    keys     N unique names, "domain/class/file"
    domains  (N,) domain names
    labels   (N,) class names
    load     key -> PIL image in RGB
    digests  N content digests: equal digests mean identical pictures
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

    def __repr__(self) -> str:  # the generated one would write every image of a bundled set
        return f"ImageSet({len(self)} images, domains {sorted(set(self.domains.tolist()))})"

    def __len__(self) -> int:
        return len(self.keys)

    def image(self, row: int) -> Image.Image:
        """The picture in one row, RGB."""
        return self.load(self.keys[row])

    def take(self, rows: Sequence[int] | np.ndarray) -> "ImageSet":
        """The rows selected by index (in the order given) or by a boolean mask."""
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
        """Digest of the set's content: pictures, domains, labels and their order."""
        rows = zip(self.digests, self.domains, self.labels)
        return hashlib.sha256("\n".join("\t".join(map(str, row)) for row in rows).encode()).hexdigest()[:16]


def rename(images: ImageSet, classes: dict[str, str]) -> ImageSet:
    """The same rows with classes renamed (old name -> new name); keys and classes not listed stay as they are."""
    labels = [classes.get(label, label) for label in images.labels.tolist()]
    return replace(images, labels=np.array(labels, dtype=str))


def combine(*sets: ImageSet) -> ImageSet:
    """All rows of several sets, one set after the other. Raises CdirError if two sets have a key in common.

    If the sets spell classes differently, rename them first. Re-encoded copies of a picture (those from Sketchy in
    PACS) have different digests: remove them by file name.
    """
    keys = tuple(key for images in sets for key in images.keys)
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise CdirError(f"{twice} is in two of the sets to be combined: remove it from one")
    loads = {key: images.load for images in sets for key in images.keys}
    domains = np.concatenate([images.domains for images in sets])
    labels = np.concatenate([images.labels for images in sets])
    digests = tuple(digest for images in sets for digest in images.digests)
    return ImageSet(keys, domains, labels, _LoadFrom(loads), digests)


@dataclass(frozen=True)
class _LoadFrom:
    """Loads each key with the `load` of the set that it came from."""

    loads: dict[str, Callable[[str], Image.Image]]

    def __call__(self, key: str) -> Image.Image:
        return self.loads[key](key)


def altered(images: ImageSet, change: Callable[[Image.Image], Image.Image], name: str) -> ImageSet:
    """The same rows; `change` is applied to each picture when it is loaded.

    name  name of the change; it is added to the digests, so that caches keep changed pictures and originals apart
    """
    if not name:
        raise CdirError("a change of pictures needs a name, so that caches can tell them from the originals")
    digests = tuple(f"{digest} {name}" for digest in images.digests)
    return replace(images, load=_Changed(images.load, change), digests=digests)


def cut_to_strip(picture: Image.Image) -> Image.Image:
    """Crop to the middle three quarters of the height: a square picture becomes 4:3."""
    eighth = picture.height // 8
    return picture.crop((0, eighth, picture.width, picture.height - eighth))


def inverted(picture: Image.Image) -> Image.Image:
    """Invert the colours. SnMpNet's released code does this to every folder named sketch or quickdraw."""
    return ImageOps.invert(picture.convert("RGB"))


@dataclass(frozen=True)
class _Changed:
    """Loads a picture as `load` does, then changes it."""

    load: Callable[[str], Image.Image]
    change: Callable[[Image.Image], Image.Image]

    def __call__(self, key: str) -> Image.Image:
        return self.change(self.load(key))
