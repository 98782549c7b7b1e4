"""Time of training a whole network in SnMpNet's harness relative to network, losses and optimiser alone, in one run.

    python bench/snmpnet_step.py                          the bundled MobileNetV2, from files
    python bench/snmpnet_step.py --method CVAE            another method of the harness
    python bench/snmpnet_step.py --backbone timm:legacy_seresnet50:random --image-size 224

Each round times both in turn. The bare steps: losses, backward pass and optimiser on batches that lie in memory. The
whole steps: an epoch of the training, which also decodes, crops and mixes images. Neither includes validation. Memory
is the peak of the process. For heads on cached features see `training_step.py`.
"""

import time
from dataclasses import replace
from statistics import median
from typing import Annotated

import torch
import typer

from cdir_nb.data import load_protocol, open_dataset
from cdir_nb.encoders import load_encoder
from cdir_nb.methods.snmpnet.harness import HarnessTraining
from cdir_nb.methods.snmpnet.network import Batch
from cdir_nb.methods.table import METHODS
from cdir_nb.methods.training import peak_memory


def bare_steps(training: HarnessTraining, batches: list[Batch]) -> float:
    """Seconds for losses, backward passes and optimiser steps on these batches."""
    training.model.train()
    started = time.perf_counter()
    for batch in batches:
        total = sum(training.losses(batch).values())
        training.optimizer.zero_grad(set_to_none=True)
        total.backward()
        training.optimizer.step()
    return time.perf_counter() - started


def whole_steps(training: HarnessTraining) -> float:
    """Seconds for one epoch, without validation."""
    started = time.perf_counter()
    training.run_epoch()
    return time.perf_counter() - started


def main(
    method: str = "SnMpNet",
    backbone: str = "mobilenet-v2",
    image_size: int = 96,
    images: Annotated[int, typer.Option(help="training images of each class and domain")] = 3,
    rounds: int = 5,
) -> None:
    """Print both times and their ratio, round by round and as medians."""
    settings = {"named": "as written, two cores", "trains": "all", "image_size": image_size, "train_images": images}
    settings |= {"learning_rate": 1e-6, "epochs": rounds + 2, "pools": 1}
    task = replace(load_protocol("world-ucdr-quickdraw", open_dataset("world")), validation=())
    row, encoder = METHODS[method], load_encoder(backbone)
    training = row.build(encoder, task, (), row.configured(encoder, settings=settings), name=method, progress=False)
    training.begin()
    batches = list(training.batches())
    print(f"{training.encoder.description}; {torch.get_num_threads()} threads, torch {torch.__version__}")
    times = []
    for number in range(rounds + 1):
        times.append((bare_steps(training, batches), whole_steps(training)))
        if number:  # the first round warms up
            bare, whole = times[-1]
            print(f"round {number}: bare {bare:.3f} s, whole {whole:.3f} s, ratio {whole / bare:.2f}")
    bare, whole = (1000 * median(column) / len(batches) for column in zip(*times[1:]))
    ratio = median(whole / bare for bare, whole in times[1:])
    print(f"{method}: bare {bare:.1f} ms, whole {whole:.1f} ms a step, median ratio {ratio:.2f}")
    print(f"{len(batches)} steps of {training.settings.batch_size}; peak memory {peak_memory(training.device):.2f} GB")


if __name__ == "__main__":
    typer.run(main)
