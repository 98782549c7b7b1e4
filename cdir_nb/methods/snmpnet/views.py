"""Views of pictures: random crops and colours, mixtures of two pictures, shuffled tiles, inverted colours.

A set of views is an ImageSet whose pictures are made when they are loaded: it can be looked at, embedded and cached
like any other. Mixing is done on pictures, rounded to 8 bits: colours are scaled by an affine map afterwards, so the
order does not matter.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from cdir_nb.data.images import ImageSet, inverted
from cdir_nb.methods.snmpnet.sampling import Epoch
from cdir_nb.methods.snmpnet.settings import HarnessSettings

PLAIN, MIXED, JIGSAW = "plain", "mixed", "jigsaw"
TILES = 3  # a jigsaw has 3 x 3 of them
_ORDERS = np.random.default_rng(0)
ORDERS = np.stack([np.arange(TILES**2), *(_ORDERS.permutation(TILES**2) for _ in range(30))])  # the first: unchanged


def epoch_views(
    images: ImageSet, epoch: Epoch, kind: str, settings: HarnessSettings, *, seed: int, number: int
) -> ImageSet:
    """The S x B pictures of an epoch: `kind` is "plain" (random views), "mixed" (equation 3) or "jigsaw".

    number  of the epoch; with the seed it determines every crop and colour. Domains and labels are the first image's.
    """
    rows, partners = epoch.rows.ravel(), epoch.partners.ravel()
    ratio, shuffles = epoch.ratio.ravel(), epoch.shuffles.ravel()
    first = images.take(rows)
    keys = tuple(f"{kind}/{number}/{place}" for place in range(len(rows)))
    recipe = f"{kind} {settings.image_size} {settings.least_crop} {settings.jitter} {seed} {number}"
    digests = first.digests
    if kind == MIXED:
        pairs = zip(digests, images.take(partners).digests, ratio)
        digests = tuple(f"{one} {r:.9f} {other}" for one, other, r in pairs)
    if kind == JIGSAW:
        digests = tuple(f"{one} {order}" for one, order in zip(digests, shuffles))
    digests = tuple(f"{digest} {recipe} {place}" for place, digest in enumerate(digests))
    load = _View(
        images, dict(zip(keys, range(len(keys)))), rows, partners, ratio, shuffles, kind, settings, (seed, number)
    )
    return ImageSet(keys, first.domains, first.labels, load, digests)


@dataclass(frozen=True)
class _View:
    """key -> the picture of one place in an epoch."""

    images: ImageSet
    places: dict[str, int]
    rows: np.ndarray
    partners: np.ndarray
    ratio: np.ndarray
    shuffles: np.ndarray
    kind: str
    settings: HarnessSettings
    seed: tuple[int, int]

    def __call__(self, key: str) -> Image.Image:
        place = self.places[key]
        view = self._one(self.rows[place], place, 0)
        if self.kind == MIXED:
            return mix(view, self._one(self.partners[place], place, 1), float(self.ratio[place]))
        return shuffled(view, ORDERS[self.shuffles[place]]) if self.kind == JIGSAW else view

    def _one(self, row: int, place: int, part: int) -> Image.Image:
        rng = np.random.default_rng([*self.seed, place, part])
        return random_view(self.images.image(int(row)), self.settings, rng)


def mix(picture: Image.Image, other: Image.Image, ratio: float) -> Image.Image:
    """Equation 3 for one pair: ratio x picture + (1 - ratio) x other; both of one size."""
    return Image.blend(other, picture, ratio)


def random_view(picture: Image.Image, settings: HarnessSettings, rng: np.random.Generator) -> Image.Image:
    """A random crop, resized to side x side, mirrored half of the time, with random colours."""
    height, width = _crop(picture.size, settings.least_crop, rng)
    top, left = (int(rng.integers(full - part + 1)) for full, part in zip(picture.size[::-1], (height, width)))
    view = tv.resized_crop(picture, top, left, height, width, [settings.image_size, settings.image_size])
    view = tv.horizontal_flip(view) if rng.random() < 0.5 else view
    for change in (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation):
        view = change(view, rng.uniform(1 - settings.jitter, 1 + settings.jitter))
    return tv.adjust_hue(view, rng.uniform(-settings.jitter, settings.jitter)) if settings.jitter else view


def _crop(size: tuple[int, int], least: float, rng: np.random.Generator) -> tuple[int, int]:
    """(height, width) of a crop with a share of the area between `least` and 1, and sides in a ratio up to 4:3."""
    width, height = size
    area, aspect = rng.uniform(least, 1) * width * height, np.exp(rng.uniform(*np.log([3 / 4, 4 / 3])))
    tall, wide = round(float(np.sqrt(area / aspect))), round(float(np.sqrt(area * aspect)))
    return max(1, min(height, tall)), max(1, min(width, wide))


def shuffled(picture: Image.Image, order: np.ndarray) -> Image.Image:
    """The picture's 3 x 3 tiles in another order; a side that 3 does not divide loses its last pixels."""
    side = picture.width // TILES
    boxes = [(x * side, y * side, (x + 1) * side, (y + 1) * side) for y in range(TILES) for x in range(TILES)]
    made = Image.new("RGB", (side * TILES, side * TILES))
    for box, source in zip(boxes, order):
        made.paste(picture.crop(boxes[source]), box[:2])
    return made


def inverted_in(images: ImageSet, domains: Collection[str]) -> ImageSet:
    """The same rows; pictures of these domains have their colours inverted (released code)."""
    chosen = np.isin(images.domains, list(domains))
    if not chosen.any():
        return images
    keys = frozenset(key for key, here in zip(images.keys, chosen) if here)
    digests = tuple(f"{digest} inverted" if here else digest for digest, here in zip(images.digests, chosen))
    return replace(images, load=_Inverted(images.load, keys), digests=digests)


@dataclass(frozen=True)
class _Inverted:
    load: Callable[[str], Image.Image]
    keys: frozenset[str]

    def __call__(self, key: str) -> Image.Image:
        picture = self.load(key)
        return inverted(picture) if key in self.keys else picture
