"""Speed of embedding files (decoding, preprocessing, caching), relative to the forward pass alone.

    python bench/embedding.py FOLDER                     <domain>/<class>/<image>, ViT-B-32 with random weights
    python bench/embedding.py FOLDER --encoder tiny-clip --images 2000 --precision bf16

Each round times both in turn: preprocessed batches through the model alone, and `embed_images` on the same files.
"""

import os
import platform
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import torch
import typer

from cdir_nb.data import ImageSet, open_folder
from cdir_nb.encoders import ClipEncoder, load_encoder


def forward_rate(encoder: ClipEncoder, batches: list[torch.Tensor], autocast: bool) -> float:
    """Images per second of the image tower alone."""
    started = time.perf_counter()
    with torch.inference_mode(), torch.autocast(encoder.device.type, torch.bfloat16, enabled=autocast):
        for batch in batches:
            encoder.model.encode_image(batch)
    return sum(map(len, batches)) / (time.perf_counter() - started)


def embedding_rate(encoder: ClipEncoder, images: ImageSet, batch_size: int) -> float:
    """Images per second from files to cached vectors."""
    started = time.perf_counter()
    encoder.embed_images(images, batch_size=batch_size, progress=False)
    return len(images) / (time.perf_counter() - started)


def main(
    folder: Path,
    encoder: str = "ViT-B-32:random",
    images: Annotated[int, typer.Option(help="images of each round")] = 256,
    rounds: int = 5,
    batch_size: int = 64,
    precision: str = "fp32",
) -> None:
    """Print the two rates and their ratio, round by round and as medians."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["CDIR_CACHE"] = cache
        model, files = load_encoder(encoder, precision=precision), open_folder(folder)
        rows = np.random.default_rng(0).permutation(len(files))
        print(
            f"{model.description}; {torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}"
        )
        ratios = []
        for number in range(rounds + 1):
            chosen = files.take(rows[number * images : (number + 1) * images])
            tensors = torch.stack([model.preprocess(chosen.image(i)) for i in range(len(chosen))])
            alone = forward_rate(model, list(tensors.split(batch_size)), precision == "bf16")
            complete = embedding_rate(model, chosen, batch_size)
            if number:  # the first round warms up
                ratios.append(complete / alone)
                print(
                    f"round {number}: forward {alone:6.1f} images/s, files to vectors {complete:6.1f}, {ratios[-1]:.2f}"
                )
        print(f"files to vectors: {median(ratios):.2f} of the forward pass alone (median of {rounds})")


if __name__ == "__main__":
    typer.run(main)
