"""Views: MoCo v2's random augmentations of an image, by torchvision; and where a training gets them from.

`PixelViews` draws new views for every step and decodes them in threads: for training the whole network. `CachedViews`
takes them from the frozen trunk's features of a few views per image, drawn once and kept in the cache: for training the
head only, which then costs milliseconds per step on a CPU.
"""

import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torchvision
from PIL import Image, ImageFilter
from torchvision.transforms import Compose, v2

from cdir_nb.data.images import ImageSet, combine
from cdir_nb.encoders import ClipEncoder, ImageEncoder, image_batches
from cdir_nb.encoders.variants import with_preprocessing

# (B,) ids of each domain; what the two encoders read, (2B, ...), the first domain's images before the second's
Inputs = tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]
FULL_SIDE = 224  # pixels of the pictures that MoCo v2's blur was chosen for
EVAL_BATCH = 256
_ONE_AT_A_TIME = threading.Lock()  # torchvision draws from PyTorch's global generator


class Blur(torch.nn.Module):
    """Gaussian blur of a picture by Pillow, as in MoCo v2: sigma between 0.1 and 2 pixels of a picture of 224."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.scale = side / FULL_SIDE

    def forward(self, picture: Image.Image) -> Image.Image:
        sigma = float(torch.empty(1).uniform_(0.1, 2.0)) * self.scale
        return picture.filter(ImageFilter.GaussianBlur(sigma))


def moco_v2(side: int) -> v2.Compose:
    """MoCo v2's augmentation (released code of MoCo and UCDIR, loader.py) for pictures of `side` pixels."""
    jitter = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    return v2.Compose(
        [
            v2.RandomResizedCrop(side, scale=(0.2, 1.0)),
            v2.RandomApply([jitter], p=0.8),
            v2.RandomGrayscale(p=0.2),
            v2.RandomApply([Blur(side)], p=0.5),
            v2.RandomHorizontalFlip(),
        ]
    )


@dataclass(frozen=True)
class _View:
    """Loads a picture and augments it; the same key and number always give the same view."""

    load: Callable[[str], Image.Image]
    augment: v2.Compose
    number: int

    def __call__(self, key: str) -> Image.Image:
        picture = self.load(key)
        with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(f"{key} {self.number}".encode()))
            return self.augment(picture)


def viewed(images: ImageSet, number: int, side: int) -> ImageSet:
    """The same rows, each replaced by its view `number` (any integer) of `side` pixels."""
    name = f"moco-v2 view {number}, {side} pixels, torchvision {torchvision.__version__}"
    digests = tuple(f"{digest} {name}" for digest in images.digests)
    return replace(images, load=_View(images.load, moco_v2(side), number), digests=digests)


def with_views(images: ImageSet, count: int, side: int) -> ImageSet:
    """Each image followed by `count` of its views, for looking at."""
    shown = []
    for one in (images.take([row]) for row in range(len(images))):
        for number, source in enumerate([one, *(viewed(one, n, side) for n in range(count))]):
            first = source.image
            shown.append(replace(source, keys=(f"{one.keys[0]} {number}",), load=lambda _key, first=first: first(0)))
    return combine(*shown)


def image_size(encoder: ImageEncoder) -> int:
    """The width and height, in pixels, of the square images that an encoder reads."""
    return encoder.preprocess(Image.new("RGB", (8, 8))).shape[-1]


def at_size(encoder: ImageEncoder, size: int) -> ImageEncoder:
    """The encoder for whole images of `size` pixels; unchanged for 0, and for a CLIP, which reads one size only."""
    if not size or isinstance(encoder, ClipEncoder):
        return encoder
    return with_preprocessing(encoder, input_size=(3, size, size), crop_pct=1.0)


def uncropped(encoder: ImageEncoder) -> ImageEncoder:
    """The encoder for pictures that have its size already: nothing more is cut off their borders."""
    return encoder if isinstance(encoder, ClipEncoder) else with_preprocessing(encoder, crop_pct=1.0)


class CachedViews:
    """The frozen trunk's features of each image and of some views of it.

    views    (views of both domains' images, W): those of an image are consecutive, the first domain comes first
    centres  per domain (N, W): the features of the whole images
    """

    def __init__(self, encoder: ImageEncoder, both: Sequence[ImageSet], count: int, *, progress: bool = True) -> None:
        size, plain, self.count = image_size(encoder), uncropped(encoder), count
        self.centres = [encoder.embed_images(images, progress=progress).to(encoder.device) for images in both]
        views = [
            torch.stack([plain.embed_images(viewed(images, n, size), progress=progress) for n in range(count)], dim=1)
            for images in both
        ]
        self.views = torch.cat([each.flatten(0, 1) for each in views]).to(encoder.device)

    def epoch(self, orders: Sequence[torch.Tensor], batch_size: int, generator: torch.Generator) -> Iterator[Inputs]:
        """One batch of each domain per step: ids, and the features of two different views of each image."""
        for ids in zip(*(order.split(batch_size) for order in orders)):
            rows = [self._rows(domain, own, generator) for domain, own in enumerate(ids)]
            first, second = (torch.cat(own).to(self.views.device) for own in zip(*rows))
            ids = [own.to(self.views.device) for own in ids]
            yield ids, self.views.index_select(0, first), self.views.index_select(0, second)

    def _rows(self, domain: int, ids: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Two different rows of `views` for each image."""
        first = torch.randint(self.count, (len(ids),), generator=generator)
        second = (first + torch.randint(1, self.count, (len(ids),), generator=generator)) % self.count
        start = self.count * (ids + domain * len(self.centres[0]))
        return start + first, start + second

    def whole(self, domain: int) -> Iterator[torch.Tensor]:
        """Batches of the features of whole images, in their order."""
        yield from self.centres[domain].split(EVAL_BATCH)


class PixelViews:
    """New views for each step, as pixels, decoded and augmented in threads while the network works."""

    def __init__(self, encoder: ImageEncoder, both: Sequence[ImageSet]) -> None:
        self.encoder, self.images = encoder, list(both)
        self.to_pixels = Compose(encoder.preprocess.transforms[-2:])  # to numbers, scaled; a view has its size already

    def epoch(self, orders: Sequence[torch.Tensor], batch_size: int, generator: torch.Generator) -> Iterator[Inputs]:
        """One batch of each domain per step: ids, and the pixels (2B, 3, H, W) of two views of each image."""
        numbers = torch.randint(2**31, (2, 2), generator=generator).tolist()
        streams = [
            self._stream(images, order, number, batch_size)
            for images, order, two in zip(self.images, orders, numbers)
            for number in two
        ]
        ids = zip(*(order.split(batch_size) for order in orders))
        for parts, (first_q, first_k, second_q, second_k) in zip(ids, zip(*streams)):
            ids_of_both = [x.to(self.encoder.device) for x in parts]
            yield ids_of_both, torch.cat([first_q, second_q]), torch.cat([first_k, second_k])

    def _stream(self, images: ImageSet, order: torch.Tensor, number: int, batch_size: int) -> Iterator[torch.Tensor]:
        views, device = viewed(images, number, image_size(self.encoder)), self.encoder.device
        for _, pixels in image_batches(views, order.tolist(), self.to_pixels, batch_size, device):
            yield pixels

    def whole(self, domain: int) -> Iterator[torch.Tensor]:
        """Batches of whole images, preprocessed for evaluation, in their order."""
        images, encoder = self.images[domain], self.encoder
        for _, pixels in image_batches(images, range(len(images)), encoder.preprocess, EVAL_BATCH, encoder.device):
            yield pixels
