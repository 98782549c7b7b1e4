"""Image sets whose pictures are changed on the way: cut, inverted, ...; rows, domains and classes stay."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from PIL import Image, ImageOps

from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError


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
