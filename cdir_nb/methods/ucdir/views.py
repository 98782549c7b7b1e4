"""Views, which are MoCo v2's random augmentations of an image, and two sources of views for training.

`PixelViews` draws new views for every step and decodes them in threads: for training the whole network. `CachedViews`
reads the frozen encoder's features of a few views per image, which are drawn once and cached: for training only a head,
with steps of milliseconds on a CPU.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torchvision
from PIL import Image, ImageFilter
from torchvision.transforms import Compose, v2

from cdir_nb.data.images import ImageSet, combine
from cdir_nb.encoders import ClipEncoder, ImageEncoder
from cdir_nb.encoders.variants import with_preprocessing
from cdir_nb.methods.batches import pixel_batches, seeded

BLUR_SIZE = 224  # width in pixels of the images that MoCo v2's blur was chosen for
EVAL_BATCH = 256


class Inputs(NamedTuple):
    """One batch of each domain; the images of the first domain come before those of the second.

    ids            per domain (B,) row numbers of the images
    queries, keys  (2B, ...) two views of each image, for the trained encoder and for the momentum encoder: pixels, or
                   features of the frozen trunk
    """

    ids: list[torch.Tensor]
    queries: torch.Tensor
    keys: torch.Tensor


class Blur(torch.nn.Module):
    """Gaussian blur by Pillow, as in MoCo v2: sigma is 0.1 to 2 pixels for an image of 224 pixels."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = size / BLUR_SIZE

    def forward(self, image: Image.Image) -> Image.Image:
        sigma = float(torch.empty(1).uniform_(0.1, 2.0)) * self.scale
        return image.filter(ImageFilter.GaussianBlur(sigma))


def moco_v2(size: int) -> v2.Compose:
    """MoCo v2's augmentation (released code of MoCo and UCDIR, loader.py), to square images of `size` pixels."""
    jitter = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.2, 1.0)),
            v2.RandomApply([jitter], p=0.8),
            v2.RandomGrayscale(p=0.2),
            v2.RandomApply([Blur(size)], p=0.5),
            v2.RandomHorizontalFlip(),
        ]
    )


def viewed(images: ImageSet, number: int, size: int) -> ImageSet:
    """The same rows, in which each image is replaced by its view `number` (any integer), of `size` pixels.

    The view depends on the image's key and the number only.
    """
    augment = moco_v2(size)

    def load(key: str) -> Image.Image:
        image = images.load(key)
        with seeded(zlib.crc32(f"{key} {number}".encode())):
            return augment(image)

    name = f"moco-v2 view {number}, {size} pixels, torchvision {torchvision.__version__}"
    return replace(images, load=load, digests=tuple(f"{digest} {name}" for digest in images.digests))


def with_views(images: ImageSet, count: int, size: int) -> ImageSet:
    """Each image followed by `count` of its views, for display; a number is appended to each key."""
    versions = []
    for number, version in enumerate([images, *(viewed(images, n, size) for n in range(count))]):

        def load(key: str, version: ImageSet = version) -> Image.Image:
            return version.load(key.rpartition(" ")[0])

        versions.append(replace(version, keys=tuple(f"{key} {number}" for key in images.keys), load=load))
    image_by_image = np.arange(len(versions) * len(images)).reshape(len(versions), len(images)).T.ravel()
    return combine(*versions).take(image_by_image)


def image_size(encoder: ImageEncoder) -> int:
    """The width and height in pixels of the images that the encoder takes (`ImageEncoder.image_size`)."""
    return encoder.image_size


def at_size(encoder: ImageEncoder, size: int) -> ImageEncoder:
    """The encoder for uncropped images of `size` pixels; unchanged for size 0, and for CLIP, which has a fixed size."""
    if not size or isinstance(encoder, ClipEncoder):
        return encoder
    return with_preprocessing(encoder, input_size=(3, size, size), crop_pct=1.0)


def uncropped(encoder: ImageEncoder) -> ImageEncoder:
    """The encoder for images that already have its size: their borders are not cropped."""
    return encoder if isinstance(encoder, ClipEncoder) else with_preprocessing(encoder, crop_pct=1.0)


class CachedViews:
    """The frozen encoder's features of each image and of some views of it.

    domains       the images of both domains
    whole_images  per domain (N, W): the features of the unaugmented images
    views         (count x (N_A + N_B), W): the features of their views; those of an image are consecutive
    """

    def __init__(
        self, encoder: ImageEncoder, domains: Sequence[ImageSet], count: int, *, progress: bool = True
    ) -> None:
        size, for_views, self.count = encoder.image_size, uncropped(encoder), count
        self.whole_images, views = [], []
        for images in domains:
            self.whole_images.append(encoder.embed_images(images, progress=progress).to(encoder.device))
            numbered = [for_views.embed_images(viewed(images, n, size), progress=progress) for n in range(count)]
            views.append(torch.stack(numbered, dim=1).flatten(0, 1))
        self.views = torch.cat(views).to(encoder.device)

    def epoch(self, orders: Sequence[torch.Tensor], batch_size: int, generator: torch.Generator) -> Iterator[Inputs]:
        """Yield one batch per step, with images of both domains: the features of two different views of each image."""
        device = self.views.device
        for ids in zip(*(order.split(batch_size) for order in orders)):
            queries, keys = [], []
            for domain_index, domain_ids in enumerate(ids):
                query_rows, key_rows = self._rows(domain_index, domain_ids, generator)
                queries.append(query_rows)
                keys.append(key_rows)
            yield Inputs(
                [domain_ids.to(device) for domain_ids in ids],
                self.views.index_select(0, torch.cat(queries).to(device)),
                self.views.index_select(0, torch.cat(keys).to(device)),
            )

    def _rows(
        self, domain_index: int, ids: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Two different rows of `views` for each image."""
        query = torch.randint(self.count, (len(ids),), generator=generator)
        key = (query + torch.randint(1, self.count, (len(ids),), generator=generator)) % self.count
        start = self.count * (ids + domain_index * len(self.whole_images[0]))
        return start + query, start + key

    def whole(self, domain_index: int) -> Iterator[torch.Tensor]:
        """Yield batches of the features of the unaugmented images, in order."""
        yield from self.whole_images[domain_index].split(EVAL_BATCH)


class PixelViews:
    """New views for each step, as pixels, decoded and augmented in threads while the network works."""

    def __init__(self, encoder: ImageEncoder, domains: Sequence[ImageSet]) -> None:
        self.encoder, self.domains = encoder, list(domains)
        self.to_pixels = Compose(encoder.preprocess.transforms[-2:])  # a view needs no resizing

    def epoch(self, orders: Sequence[torch.Tensor], batch_size: int, generator: torch.Generator) -> Iterator[Inputs]:
        """Yield one batch per step, with B images of each domain: pixels (2B, 3, H, W) of two views of each image."""
        numbers = torch.randint(2**31, (2, 2), generator=generator).tolist()
        (queries_a, keys_a), (queries_b, keys_b) = [
            [self._pixels(images, order, number, batch_size) for number in view_numbers]
            for images, order, view_numbers in zip(self.domains, orders, numbers)
        ]
        ids = zip(*(order.split(batch_size) for order in orders))
        for domain_ids, query_a, key_a, query_b, key_b in zip(ids, queries_a, keys_a, queries_b, keys_b):
            on_device = [x.to(self.encoder.device) for x in domain_ids]
            yield Inputs(on_device, torch.cat([query_a, query_b]), torch.cat([key_a, key_b]))

    def _pixels(self, images: ImageSet, order: torch.Tensor, number: int, batch_size: int) -> Iterator[torch.Tensor]:
        views = viewed(images, number, self.encoder.image_size)
        return pixel_batches(self.encoder, views, order.tolist(), batch_size, self.to_pixels)

    def whole(self, domain_index: int) -> Iterator[torch.Tensor]:
        """Yield batches of the unaugmented images, preprocessed for evaluation, in order."""
        images = self.domains[domain_index]
        return pixel_batches(self.encoder, images, range(len(images)), EVAL_BATCH)
