"""Batches of images, decoded in threads while the model works on the batch before."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Yield (row numbers, (B, 3, H, W) float32 on `device`) over `rows`, in order.

    Each picture is as `preprocess` makes it. Threads decode, resize and crop (Pillow frees the interpreter
    lock); scaling and normalising are done on the whole batch, because torch operations inside these threads
    would each start a pool of threads of their own.
    Raises CdirError for an image that cannot be read.
    """
    *shape_steps, to_tensor, normalise = preprocess.transforms
    del to_tensor  # done by `_stack`
    chunks = [list(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]
    pool = ThreadPoolExecutor(min(MAX_WORKERS, os.cpu_count() or 1), thread_name_prefix="decode")
    waiting: deque[tuple[list[int], list[Future]]] = deque()
    try:
        for chunk in [*chunks, *[[]] * BATCHES_AHEAD]:
            waiting.append((chunk, [pool.submit(_pixels, images, row, shape_steps) for row in chunk]))
            if len(waiting) > BATCHES_AHEAD:
                ready, pictures = waiting.popleft()
                if ready:
                    yield ready, normalise(_stack([picture.result() for picture in pictures], device))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pixels(images: ImageSet, row: int, shape_steps: Sequence[Callable[[Image.Image], Image.Image]]) -> np.ndarray:
    """(H, W, 3) uint8: one picture, resized and cropped."""
    picture = images.image(row)
    try:
        for step in shape_steps:
            picture = step(picture)
        return np.asarray(picture)
    except OSError as error:  # a picture that was opened, but whose pixels are damaged
        raise CdirError(f"image {images.keys[row]} cannot be decoded ({error}): replace or remove the file") from error


def _stack(pictures: list[np.ndarray], device: torch.device | str) -> torch.Tensor:
    """(B, 3, H, W) float32 in 0..1 from uint8 pictures, as torchvision's ToTensor does."""
    batch = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2)
    return batch.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
