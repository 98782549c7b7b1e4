"""Time and memory of a SnMpNet training step relative to the bare network's, in one run.

    python bench/snmpnet_step.py                                          the bundled MobileNetV2, all of it trained
    python bench/snmpnet_step.py --backbone timm:legacy_seresnet50:random --side 224

Each round times both in turn. The bare network: forward and backward passes of the same trunk, attention and heads, on
pixels in memory, with a sum as the loss. SnMpNet: the same steps from files, including decoding, views, mixing, three
losses and the optimiser. Neither includes validation. Memory is the peak of the process after each kind of steps.
"""

import platform
import time
from dataclasses import replace
from statistics import median
from typing import Annotated

import torch
import typer
from cdir_nb.methods.snmpnet.head import SnMpNetHead
from cdir_nb.methods.snmpnet.trainer import SnMpNetTraining

from cdir_nb.data import load_protocol, open_dataset
from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.feature_maps import map_encoder
from cdir_nb.methods.snmpnet import Semantics, SnMpNetConfig
from cdir_nb.methods.snmpnet.task import training_task
from cdir_nb.methods.training import peak_memory


def bare_steps(training: SnMpNetTraining, pixels: list[torch.Tensor]) -> float:
    """Seconds for forward and backward passes over `pixels`."""
    model, started = training.model.train(), time.perf_counter()
    for batch in pixels:
        pooled = model.attention(model.maps(batch).float())
        loss = model.head.mixture_layer(pooled).sum() + model.head.embed(pooled, None).sum()
        training.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        training.optimizer.step()
    return time.perf_counter() - started


def snmpnet_steps(training: SnMpNetTraining) -> float:
    """Seconds for one epoch, without validation."""
    started = time.perf_counter()
    training.next_epoch()
    return time.perf_counter() - started


def main(
    backbone: str = "mobilenet-v2",
    side: int = 96,
    images: Annotated[int, typer.Option(help="training images of each class and domain")] = 3,
    rounds: int = 3,
) -> None:
    """Print both times and their ratio, round by round and as medians, and the peak memory of both."""
    config = SnMpNetConfig(side=side, learning_rate=1e-6, epochs=rounds + 1)
    task = replace(load_protocol("world-ucdr-quickdraw", open_dataset("world")), validation=())
    own, encoder = training_task(task, config, train_images=images), map_encoder(load_encoder(backbone), side)
    semantics = Semantics(own.classes, torch.randn(len(own.classes), 300), "random")
    training = SnMpNetTraining(encoder, own, semantics.of(own.classes, unit=True), config, SnMpNetHead, 0).begin()
    pixels = [batch.inputs["mixed"] for batch in training.batches(0)]
    print(f"{encoder.description}; {torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}")
    times, peaks = [], {}
    for number in range(rounds + 1):
        bare = bare_steps(training, pixels)
        peaks.setdefault("bare", peak_memory(training.device))  # of the first round, before SnMpNet's first epoch
        times.append((bare, snmpnet_steps(training)))
        if number:  # the first round warms up
            print(f"round {number}: bare {bare:.2f} s, SnMpNet {times[-1][1]:.2f} s, ratio {times[-1][1] / bare:.2f}")
    ratio, peak = median(ours / bare for bare, ours in times[1:]), peak_memory(training.device)
    print(f"median ratio {ratio:.2f}; {len(pixels)} steps of {config.batch_size}")
    print(f"peak memory: {peaks['bare']:.2f} GB bare, {peak:.2f} GB SnMpNet")


if __name__ == "__main__":
    typer.run(main)
