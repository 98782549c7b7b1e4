"""ImageSet: rows of (key, domain, label) and a function that loads an image; every dataset is opened as one.

The functions derive new sets: they rename classes, combine sets, or change images (crop, invert).
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from PIL import Image, ImageOps

from cdir_nb.data.pictures import Look
from cdir_nb.errors import CdirError

_NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True, repr=False)
class ImageSet:
    """Immutable rows of images, in a fixed order.

    keys     N unique names, "domain/class/file"
    domains  (N,) domain names
    labels   (N,) class names
    load     key -> PIL image in RGB
    digests  N content digests: equal digests mean identical images
    looks    {digest: `Look`, properties of the decoded image}, for images that were read from files
    credits  {domain: credit that a figure with one of its images must show}, if the licence requires one
    """

    keys: tuple[str, ...]
    domains: np.ndarray
    labels: np.ndarray
    load: Callable[[str], Image.Image]
    digests: tuple[str, ...]
    looks: Mapping[str, Look] = field(default_factory=dict)
    credits: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {len(self.keys), len(self.domains), len(self.labels), len(self.digests)}
        if len(sizes) != 1:
            raise ValueError(f"the columns of an ImageSet differ in length: {sorted(sizes)}")

    def __repr__(self) -> str:  # the generated one would write every image of a bundled set
        return f"ImageSet({len(self)} images, domains {sorted(set(self.domains.tolist()))})"

    def __len__(self) -> int:
        return len(self.keys)

    def image(self, row: int) -> Image.Image:
        """The image of one row, in RGB."""
        return self.load(self.keys[row])

    def take(self, rows: Sequence[int] | np.ndarray) -> "ImageSet":
        """The rows selected by index (in the order given) or by a boolean mask."""
        rows = np.arange(len(self))[np.asarray(rows) if len(rows) else np.array([], dtype=int)]
        keys = tuple(self.keys[i] for i in rows)
        digests = tuple(self.digests[i] for i in rows)
        return replace(self, keys=keys, domains=self.domains[rows], labels=self.labels[rows], digests=digests)

    def mask(self, domains: Iterable[str] | str | None = None, labels: Iterable[str] | None = None) -> np.ndarray:
        """(N,) bool: rows of these domains and these classes (None: any)."""
        selected = np.ones(len(self), dtype=bool)
        if domains is not None:
            selected &= np.isin(self.domains, [domains] if isinstance(domains, str) else list(domains))
        if labels is not None:
            selected &= np.isin(self.labels, list(labels))
        return selected

    def select(self, domains: Iterable[str] | str | None = None, labels: Iterable[str] | None = None) -> "ImageSet":
        """The rows of these domains and these classes (None: any), in order."""
        return self.take(self.mask(domains, labels))

    @property
    def fingerprint(self) -> str:
        """Digest of the set's content: images, domains, labels and their order."""
        rows = zip(self.digests, self.domains, self.labels)
        return hashlib.sha256("\n".join("\t".join(map(str, row)) for row in rows).encode()).hexdigest()[:16]


def rename(images: ImageSet, classes: dict[str, str]) -> ImageSet:
    """The same rows with classes renamed (old name -> new name); keys and other classes do not change."""
    labels = [classes.get(label, label) for label in images.labels.tolist()]
    return replace(images, labels=np.array(labels, dtype=str))


def combine(*sets: ImageSet) -> ImageSet:
    """All rows of several sets, one set after the other. Raises CdirError if two sets have a key in common.

    If the sets spell class names differently, apply `rename` first. Re-encoded copies of an image (PACS has some of
    Sketchy's) have different digests: remove them by file name.
    """
    keys = tuple(key for images in sets for key in images.keys)
    if len(set(keys)) < len(keys):
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise CdirError(f"{repeated} is in two of the sets to be combined: remove it from one")
    loads = {key: images.load for images in sets for key in images.keys}
    domains = np.concatenate([images.domains for images in sets])
    labels = np.concatenate([images.labels for images in sets])
    digests = tuple(digest for images in sets for digest in images.digests)
    looks = {digest: look for images in sets for digest, look in images.looks.items()}
    credits = {domain: credit for images in sets for domain, credit in images.credits.items()}
    return ImageSet(keys, domains, labels, partial(_load_from, loads), digests, looks, credits)


def _load_from(loads: Mapping[str, Callable[[str], Image.Image]], key: str) -> Image.Image:
    return loads[key](key)


def copies(images: ImageSet) -> list[np.ndarray]:
    """The rows of each image that occurs more than once: one sorted array per image, ordered by first row.

    Two images are the same if their pixels are equal, or their bytes if the pixels are not known. Names, classes and
    file formats do not matter.
    """
    return [rows for rows in _rows_by_content(images).values() if len(rows) > 1]


def own_rows(query: ImageSet, gallery: ImageSet) -> list[np.ndarray]:
    """For each query, the sorted gallery rows of the same image; empty if there is none.

    `retrieval.rank` takes this as `leave_out`. Which images are the same is decided as in `copies`.
    """
    rows = _rows_by_content(gallery)
    return [rows.get(content, _NO_ROWS) for content in contents(query)]


def _rows_by_content(images: ImageSet) -> dict[str, np.ndarray]:
    """{digest of the content: sorted rows}, ordered by the first row of each entry."""
    rows: dict[str, list[int]] = {}
    for row, content in enumerate(contents(images)):
        rows.setdefault(content, []).append(row)
    return {content: np.array(members) for content, members in rows.items()}


def contents(images: ImageSet) -> list[str]:
    """For each row, the digest of the image's pixels, or of its bytes if its pixels are not known: as in `copies`."""
    return [images.looks[digest].pixels if digest in images.looks else digest for digest in images.digests]


def credit_line(*sets: ImageSet) -> str:
    """Credit line for a figure of these images, such as "Pictures: OpenMoji (CC BY-SA 4.0)"; empty if not required."""
    lines = {images.credits.get(domain, ""): None for images in sets for domain in images.domains.tolist()}
    return f"Pictures: {'; '.join(filter(None, lines))}" if any(lines) else ""


def altered(images: ImageSet, change: Callable[[Image.Image], Image.Image], name: str) -> ImageSet:
    """The same rows; `change` is applied to each image when it is loaded.

    name  name of the change. It is added to the digests, so that a cache never returns the embedding of an original
          for a changed image. Raises CdirError if it is empty.
    """
    if not name:
        raise CdirError("name is empty: name the change, since caches identify the changed images by it")
    digests = tuple(f"{digest} {name}" for digest in images.digests)
    return replace(images, load=partial(_load_changed, images.load, change), digests=digests)


def _load_changed(
    load: Callable[[str], Image.Image], change: Callable[[Image.Image], Image.Image], key: str
) -> Image.Image:
    return change(load(key))


def cut_to_strip(image: Image.Image) -> Image.Image:
    """Crop to the middle three quarters of the height: a square image becomes 4:3."""
    eighth = image.height // 8
    return image.crop((0, eighth, image.width, image.height - eighth))


def inverted(image: Image.Image) -> Image.Image:
    """Invert the colours. SnMpNet's released code does this to every folder named sketch or quickdraw."""
    return ImageOps.invert(image.convert("RGB"))
