"""Views of images: random crops and colours, mixtures of two images, shuffled tiles, inverted colours.

A set of views is an ImageSet whose images are computed on loading; it can be displayed, embedded and cached like any
other. Images are mixed as 8-bit pixels before normalisation; since this is affine, the order matters only for rounding.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import functional

from cdir_nb.data.images import ImageSet, inverted
from cdir_nb.methods.snmpnet.sampling import Epoch
from cdir_nb.methods.snmpnet.settings import HarnessSettings

PLAIN, MIXED, JIGSAW = "plain", "mixed", "jigsaw"
tv: Any = functional  # accepts PIL images, but its annotations list tensors only
TILES = 3  # a jigsaw has 3 x 3 of them
_RNG = np.random.default_rng(0)
ORDERS = np.stack([np.arange(TILES**2), *(_RNG.permutation(TILES**2) for _ in range(30))])  # the first: unchanged


def epoch_views(
    images: ImageSet, epoch: Epoch, kind: str, settings: HarnessSettings, *, seed: int, number: int
) -> ImageSet:
    """The S x B images of an epoch: `kind` is "plain" (random views), "mixed" (equation 3) or "jigsaw".

    number  number of the epoch, which with the seed determines every crop and colour
    Domains and labels are those of `epoch.rows`, even for mixtures.
    """
    rows, partners = epoch.rows.ravel(), epoch.partners.ravel()
    ratio, shuffles = epoch.ratio.ravel(), epoch.shuffles.ravel()

    def view_of(row: int, position: int, part: int) -> Image.Image:
        rng = np.random.default_rng([seed, number, position, part])
        return random_view(images.image(int(row)), settings, rng)

    def load(key: str) -> Image.Image:
        position = int(key.rpartition("/")[2])
        view = view_of(rows[position], position, 0)
        if kind == MIXED:
            return mix(view, view_of(partners[position], position, 1), float(ratio[position]))
        return shuffled(view, ORDERS[shuffles[position]]) if kind == JIGSAW else view

    chosen = images.take(rows)
    keys = tuple(f"{kind}/{number}/{position}" for position in range(len(rows)))
    content = chosen.digests
    if kind == MIXED:
        content = [f"{a} {r:.9f} {b}" for a, b, r in zip(content, images.take(partners).digests, ratio)]
    elif kind == JIGSAW:
        content = [f"{digest} {order}" for digest, order in zip(content, shuffles)]
    recipe = f"{kind} {settings.image_size} {settings.least_crop} {settings.jitter} {seed} {number}"
    digests = tuple(f"{digest} {recipe} {position}" for position, digest in enumerate(content))
    return ImageSet(keys, chosen.domains, chosen.labels, load, digests)


def mix(image: Image.Image, other: Image.Image, ratio: float) -> Image.Image:
    """Equation 3 for one pair of images of equal size: ratio x image + (1 - ratio) x other."""
    return Image.blend(other, image, ratio)


def random_view(image: Image.Image, settings: HarnessSettings, rng: np.random.Generator) -> Image.Image:
    """A random crop, resized to a square of `image_size` pixels, mirrored half of the time, with random colours.

    All draws come from `rng`: torchvision's random transforms would draw from PyTorch's global generator.
    """
    width, height = image.size
    crop_height, crop_width = _crop_size(width, height, settings.least_crop, rng)
    top, left = int(rng.integers(height - crop_height + 1)), int(rng.integers(width - crop_width + 1))
    view = tv.resized_crop(image, top, left, crop_height, crop_width, [settings.image_size, settings.image_size])
    view = tv.horizontal_flip(view) if rng.random() < 0.5 else view
    for change in (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation):
        view = change(view, rng.uniform(1 - settings.jitter, 1 + settings.jitter))
    return tv.adjust_hue(view, rng.uniform(-settings.jitter, settings.jitter)) if settings.jitter else view


def _crop_size(width: int, height: int, least: float, rng: np.random.Generator) -> tuple[int, int]:
    """(height, width) of a crop with a fraction of the area from `least` to 1, and an aspect ratio up to 4:3."""
    area, aspect = rng.uniform(least, 1) * width * height, np.exp(rng.uniform(*np.log([3 / 4, 4 / 3])))
    crop_height, crop_width = round(float(np.sqrt(area / aspect))), round(float(np.sqrt(area * aspect)))
    return max(1, min(height, crop_height)), max(1, min(width, crop_width))


def shuffled(image: Image.Image, order: np.ndarray) -> Image.Image:
    """The image with its 3 x 3 tiles in another order; width and height are cropped to a multiple of 3."""
    size = image.width // TILES
    boxes = [(x * size, y * size, (x + 1) * size, (y + 1) * size) for y in range(TILES) for x in range(TILES)]
    result = Image.new("RGB", (size * TILES, size * TILES))
    for box, source in zip(boxes, order):
        result.paste(image.crop(boxes[source]), box[:2])
    return result


def inverted_in(images: ImageSet, domains: Collection[str]) -> ImageSet:
    """The same rows, with inverted colours for the images of these domains (released code)."""
    selected = images.mask(domains)
    if not selected.any():
        return images
    keys = frozenset(key for key, chosen in zip(images.keys, selected) if chosen)

    def load(key: str) -> Image.Image:
        return inverted(images.load(key)) if key in keys else images.load(key)

    digests = [f"{digest} inverted" if chosen else digest for digest, chosen in zip(images.digests, selected)]
    return replace(images, load=load, digests=tuple(digests))
