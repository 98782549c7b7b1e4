"""Batches of images, decoded in threads while the model processes the previous batch."""

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import Compose

from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError

BATCHES_AHEAD = 2
MAX_WORKERS = 16


def image_batches(
    images: ImageSet, rows: Sequence[int], preprocess: Compose, batch_size: int, device: torch.device | str = "cpu"
) -> Generator[tuple[list[int], torch.Tensor], None, None]:
    """Yield (row numbers, (B, 3, H, W) float32 on `device`) over `rows`, in order.

    The pixels are those of `preprocess`. Threads decode, resize and crop (Pillow releases the interpreter lock).
    Scaling and normalising are applied to the whole batch, since torch operations in these threads would each start a
    pool of threads.
    Raises CdirError for an image that cannot be read.
    """
    *shape_steps, _, normalise = preprocess.transforms  # the conversion to a tensor is done by `_stack`
    chunks = [list(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]
    pool = ThreadPoolExecutor(min(MAX_WORKERS, os.cpu_count() or 1), thread_name_prefix="decode")
    waiting: deque[tuple[list[int], list[Future]]] = deque()
    try:
        for chunk in [*chunks, *[[]] * BATCHES_AHEAD]:
            waiting.append((chunk, [pool.submit(_pixels, images, row, shape_steps) for row in chunk]))
            if len(waiting) > BATCHES_AHEAD:
                ready, pixels = waiting.popleft()
                if ready:
                    yield ready, normalise(_stack([image.result() for image in pixels], device))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pixels(images: ImageSet, row: int, shape_steps: Sequence[Callable[[Image.Image], Image.Image]]) -> np.ndarray:
    """(H, W, 3) uint8: one image, resized and cropped."""
    image = images.image(row)
    try:
        for step in shape_steps:
            image = step(image)
        return np.asarray(image)
    except OSError as error:  # the file could be opened, but its pixels are damaged
        raise CdirError(f"image {images.keys[row]} cannot be decoded ({error}): replace or remove the file") from error


def _stack(pixels: list[np.ndarray], device: torch.device | str) -> torch.Tensor:
    """(B, 3, H, W) float32 in 0..1 from uint8 pixels, as torchvision's ToTensor does."""
    batch = torch.from_numpy(np.stack(pixels)).to(device).permute(0, 3, 1, 2)
    return batch.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
