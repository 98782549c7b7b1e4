"""Single images, as files or in memory, as an ImageSet: queries that belong to no dataset."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from cdir_nb.data.images import ImageSet
from cdir_nb.data.pictures import LoadFile, digest_of, inspect
from cdir_nb.data.pixels import to_rgb
from cdir_nb.errors import CdirError
from cdir_nb.paths import expanded

OneImage = str | Path | Image.Image
Images = ImageSet | OneImage | Iterable[OneImage]


def as_image_set(images: Images) -> ImageSet:
    """Return an ImageSet unchanged, and paths or PIL images as an ImageSet without domains and labels.

    Keys are the paths, or "image 0", "image 1" and so on. Raises CdirError for a file that is missing or not an image.
    """
    if isinstance(images, ImageSet):
        return images
    items = [images] if isinstance(images, OneImage) else list(images)
    if wrong := [item for item in items if not isinstance(item, OneImage)]:
        raise CdirError(f"{wrong[0]!r} is not an image: give an ImageSet, paths or PIL images")
    sets = [_of_pixels(item, i) if isinstance(item, Image.Image) else _of_file(item) for i, item in enumerate(items)]
    keys = tuple(part.keys[0] for part in sets)
    loads = {part.keys[0]: part.load for part in sets}
    blank = np.full(len(sets), "", dtype=str)
    looks = {digest: look for part in sets for digest, look in part.looks.items()}
    digests = tuple(part.digests[0] for part in sets)
    return ImageSet(keys, blank, blank, lambda key: loads[key](key), digests, looks)


def _of_file(path: str | Path) -> ImageSet:
    file = expanded(path)
    digest, problem, look = inspect(file)
    if look is None:
        raise CdirError(f"{path}: {problem}; give the path of an image, such as a PNG or JPEG file")
    key, none = str(path), np.array([""])
    return ImageSet((key,), none, none, LoadFile({key: (file, digest)}), (digest,), {digest: look})


def _of_pixels(image: Image.Image, number: int) -> ImageSet:
    """An ImageSet of one PIL image; its digest equals `Look.pixels` of a file with the same pixels."""
    try:
        rgb, none = to_rgb(image.copy()), np.array([""])
    except ValueError as error:
        raise CdirError(f"image {number}: {error}; convert it to RGB") from None
    digest = digest_of(rgb.tobytes() + repr(rgb.size).encode())
    return ImageSet((f"image {number}",), none, none, lambda key: rgb, (digest,))
