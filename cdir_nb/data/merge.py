"""Image sets made of others: classes renamed, several sets as one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError


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
    return ImageSet(keys, domains, labels, LoadFrom(loads), digests)


@dataclass(frozen=True)
class LoadFrom:
    """Loads each key with the load of the set that it came from."""

    loads: dict[str, Callable[[str], Image.Image]]

    def __call__(self, key: str) -> Image.Image:
        return self.loads[key](key)
