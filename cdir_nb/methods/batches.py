"""The inputs of training steps: random orders of rows, batches of pixels, random views, and a seeding context."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.transforms import Compose

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ImageEncoder, image_batches

Batches = list[tuple[torch.Tensor, torch.Tensor]]  # per domain: (B,) indices into its rows, (B, 3, H, W) pixels
_GLOBAL_GENERATOR = threading.RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context that seeds PyTorch's global CPU generator, and restores it on exit; not for several threads at once.

    For code that accepts no generator: the initial weights of layers, and torchvision's augmentations.
    """
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def pixel_batches(
    encoder: ImageEncoder,
    images: ImageSet,
    rows: Sequence[int] | np.ndarray,
    batch_size: int,
    preprocess: Compose | None = None,
) -> Iterator[torch.Tensor]:
    """Batches (B, 3, H, W) of preprocessed images on the encoder's device, in the order of `rows`.

    preprocess  from image to pixels; None: the encoder's own preprocessing
    """
    for _, pixels in image_batches(images, list(rows), preprocess or encoder.preprocess, batch_size, encoder.device):
        yield pixels


def domain_batches(
    encoder: ImageEncoder,
    images: ImageSet,
    rows: Sequence[np.ndarray],
    length: int,
    batch_size: int,
    generator: torch.Generator,
) -> Iterator[Batches]:
    """One epoch: one batch per domain and step, until `length` images of each domain have been read.

    rows  row indices of each domain, read in random order; a domain with fewer than `length` rows starts over
    """
    streams = []
    for domain_rows in rows:
        order = random_order(len(domain_rows), length, generator)
        pixels = pixel_batches(encoder, images, domain_rows[order.numpy()], batch_size)
        streams.append(zip(order.split(batch_size), pixels))
    for batches in zip(*streams):
        yield list(batches)


def random_view(batch: torch.Tensor, generator: torch.Generator, least_crop: float) -> torch.Tensor:
    """(B, 3, H, W): random crops with at least `least_crop` of the area, randomly mirrored (our default)."""
    count = len(batch)
    scale = torch.empty(count).uniform_(least_crop, 1, generator=generator).sqrt()
    shift = (1 - scale)[:, None] * torch.empty(count, 2).uniform_(-1, 1, generator=generator)
    mirror = 1 - 2 * torch.randint(2, (count,), generator=generator)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * mirror, scale, shift
    grid = F.affine_grid(theta, list(batch.shape), align_corners=False).to(batch)
    return F.grid_sample(batch, grid, padding_mode="border", align_corners=False)


def random_order(count: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """(length,) indices 0 .. count - 1 in random order; none repeats before all have appeared."""
    rounds = [torch.randperm(count, generator=generator) for _ in range(-(-length // count))]
    return torch.cat(rounds)[:length]
