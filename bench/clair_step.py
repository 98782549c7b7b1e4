"""Time of a CLAIR epoch relative to its bare minimum: forward and backward passes with the same trained parameters.

    python bench/clair_step.py                                       the bundled world and tiny CLIP
    python bench/clair_step.py --encoder ViT-B-32:random --images 96 --batch-size 16

Each round times both in turn. The bare minimum: on images in memory and with a sum as the loss, the forward and
backward passes of all steps, and the momentum encoder's forward pass over every image. CLAIR: an epoch from files,
including decoding, views, four losses, banks and refinement. Both use two views per image; neither includes validation.
"""

import platform
import time
from statistics import median
from typing import Annotated

import torch
import typer

from cdir_nb.data import load_protocol, open_dataset
from cdir_nb.encoders import load_encoder
from cdir_nb.methods.batches import pixel_batches
from cdir_nb.methods.clair.method import BANK_BATCH, ClairTraining
from cdir_nb.methods.clair.settings import NAMED


def bare_epoch(training: ClairTraining, steps: list[torch.Tensor], every: list[torch.Tensor]) -> float:
    """Seconds for forward and backward passes over `steps`, and the momentum encoder over `every` image."""
    started = time.perf_counter()
    for pixels in steps:
        with training.mixed():
            features = training.model.image_features(pixels)
        training.optimizer.zero_grad(set_to_none=True)
        features.sum().backward()
        training.optimizer.step()
    with torch.no_grad(), training.mixed():
        for batch in every:
            training.momentum.image_features(batch)
    return time.perf_counter() - started


def clair_epoch(training: ClairTraining) -> float:
    """Seconds for one epoch, without validation."""
    started = time.perf_counter()
    training.run_epoch()
    return time.perf_counter() - started


def main(
    encoder: str = "tiny-clip",
    images: Annotated[int, typer.Option(help="training images of each domain")] = 360,
    batch_size: int = 64,
    rounds: int = 5,
    bf16: bool = False,
) -> None:
    """Print both times and their ratio, round by round and as medians."""
    task = load_protocol("world-unseen", open_dataset("world"))
    settings = NAMED["CLAIR-A, tiny-clip"].changed(
        batch_size=batch_size,
        epochs=rounds + 1,
        learning_rate=1e-6,
        validation_per_class=0,
        train_images=images,
        mixed_precision=bf16,
    )
    model = load_encoder(encoder)
    training = ClairTraining(model, task, ("clipart", "sketch"), settings, name="CLAIR")
    training.begin()
    pixels = torch.cat([b for rows in training.rows for b in pixel_batches(model, training.images, rows, batch_size)])
    steps = list(pixels.repeat_interleave(2, dim=0).split(4 * batch_size))
    print(f"{model.description}; {torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}")
    ratios = []
    for number in range(rounds + 1):
        bare, ours = bare_epoch(training, steps, list(pixels.split(BANK_BATCH))), clair_epoch(training)
        if number:  # the first round warms up
            ratios.append(ours / bare)
            print(f"round {number}: bare {bare:.2f} s, CLAIR {ours:.2f} s, ratio {ours / bare:.2f}")
    peak = training.history[-1]["peak GB"]
    print(f"median ratio {median(ratios):.2f}; {len(steps)} steps of {4 * batch_size} views; peak {peak:.1f} GB")


if __name__ == "__main__":
    typer.run(main)
