"""Input of a training step: one batch per domain, and random views (augmentations) of the images."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder, image_batches

Batches = list[tuple[torch.Tensor, torch.Tensor]]  # per domain: (B,) indices into its rows, (B, 3, H, W) pixels


def pixel_batches(encoder: ClipEncoder, images: ImageSet, rows: np.ndarray, batch_size: int) -> Iterator[torch.Tensor]:
    """Batches (B, 3, H, W) of preprocessed images on the encoder's device, in the order of `rows`."""
    for _, batch in image_batches(images, rows.tolist(), encoder.preprocess, batch_size, encoder.device):
        yield batch


def domain_batches(
    encoder: ClipEncoder,
    images: ImageSet,
    rows: Sequence[np.ndarray],
    length: int,
    batch_size: int,
    generator: torch.Generator,
) -> Iterator[Batches]:
    """One epoch: one batch per domain and step, until `length` images of each domain have been read.

    rows  row indices of each domain, read in random order; a domain with fewer than `length` rows starts over
    """
    orders = [random_order(len(own), length, generator) for own in rows]
    streams = [pixel_batches(encoder, images, own[order.numpy()], batch_size) for own, order in zip(rows, orders)]
    for *pixels, places in zip(*streams, zip(*(order.split(batch_size) for order in orders))):
        yield list(zip(places, pixels))


def random_view(batch: torch.Tensor, generator: torch.Generator, least_crop: float) -> torch.Tensor:
    """(B, 3, H, W): random crops with at least `least_crop` of the area, randomly mirrored (our default)."""
    count = len(batch)
    side = torch.empty(count).uniform_(least_crop, 1, generator=generator).sqrt()
    shift = (1 - side)[:, None] * torch.empty(count, 2).uniform_(-1, 1, generator=generator)
    mirror = 1 - 2 * torch.randint(2, (count,), generator=generator)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = side * mirror, side, shift
    grid = F.affine_grid(theta, batch.shape, align_corners=False).to(batch)
    return F.grid_sample(batch, grid, padding_mode="border", align_corners=False)


def random_order(count: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """(length,) indices 0 .. count - 1 in random order; none repeats before all have appeared."""
    rounds = [torch.randperm(count, generator=generator) for _ in range(-(-length // count))]
    return torch.cat(rounds)[:length]
