"""Time of a UCDIR step relative to its bare minimum: the trained encoder's forward and backward pass, the momentum
encoder's forward pass, and the optimiser's step.

    python bench/ucdir_step.py                      a head on the frozen MobileNetV2, the bundled world
    python bench/ucdir_step.py --trains all         the whole network
    python bench/ucdir_step.py --bank 100000        banks of so many images: memory and time are linear in them

Each round times both in turn, on the same inputs in memory. UCDIR: all four losses, update of the momentum encoder and
the memory. Views and k-means are timed apart.
"""

import platform
import time
from statistics import median
from typing import Annotated

import torch
import typer

from cdir_nb.data import load_protocol, open_dataset
from cdir_nb.encoders import load_encoder
from cdir_nb.methods import ucdir
from cdir_nb.methods.ucdir.clusters import Clusters
from cdir_nb.methods.ucdir.views import Inputs


def bare_step(training: ucdir.UcdirTraining, inputs: list[Inputs]) -> float:
    """Seconds for the passes of both encoders over a batch of each domain, and the optimiser's step."""
    started = time.perf_counter()
    _, first, second = zip(*inputs)
    q = training.model(torch.cat(first))
    with torch.no_grad():
        training.momentum(torch.cat(second))
    training.optimizer.zero_grad(set_to_none=True)
    q.sum().backward()
    training.optimizer.step()
    return time.perf_counter() - started


def ucdir_step(training: ucdir.UcdirTraining, inputs: list[Inputs], clusters: list[list[Clusters]]) -> float:
    """Seconds for one step of UCDIR on the same inputs."""
    started = time.perf_counter()
    training.step(inputs, clusters, dict.fromkeys(("L_IW", "L_CW", "L_SE", "L_DD"), 1.0), torch.Generator())
    return time.perf_counter() - started


def enlarged(training: ucdir.UcdirTraining, size: int) -> None:
    """Repeat banks and features until they have `size` rows, as if the domains had so many images."""
    for many in (training.banks, training.features):
        for d in (0, 1):
            many[d] = many[d].repeat(-(-size // len(many[d])), 1)[:size]


def main(
    encoder: str = "mobilenet-v2",
    side: Annotated[int, typer.Option(help="pixels of the pictures")] = 64,
    trains: str = "head",
    hidden: Annotated[int, typer.Option(help="width of the head; 0: that of the trunk, as in MoCo v2")] = 256,
    bank: Annotated[int, typer.Option(help="images of each domain in the memory; 0: those of the task")] = 0,
    rounds: int = 20,
) -> None:
    """Print both times and their ratio, k-means and views, and the memory's size."""
    start = ucdir.at_side(load_encoder(encoder), side)
    pair = ucdir.training_pair(load_protocol("world-closed", open_dataset("world")), ("clipart", "sketch"))
    config = ucdir.named_config("as_released, head").changed(trains=trains, hidden=hidden or None, learning_rate=1e-6)
    training = ucdir.UcdirTraining(start, pair, config, 0).begin()
    training.model.train(), training.momentum.train()
    enlarged(training, bank) if bank else None
    training.epoch = config.align_from
    clusters, kmeans_seconds = training.cluster()
    orders = [torch.arange(config.batch_size)] * 2
    started = time.perf_counter()
    inputs = next(iter(training.views.epoch(orders, config.batch_size, torch.Generator())))
    views_seconds = time.perf_counter() - started
    times = [(bare_step(training, inputs), ucdir_step(training, inputs, clusters)) for _ in range(rounds + 3)][3:]
    bare, ours = (1000 * median(column) for column in zip(*times))
    ratio = median(b / a for a, b in times)
    print(f"{start.description}; {torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}")
    print(f"{trains}: bare {bare:.1f} ms, UCDIR {ours:.1f} ms, median ratio {ratio:.2f} over {rounds} rounds")
    memory = sum(x.numel() * x.element_size() for x in training.banks) / 1e6
    print(f"views of a step {1000 * views_seconds:.1f} ms; k-means of an epoch {kmeans_seconds:.2f} s; "
          f"banks {[len(x) for x in training.banks]}, {memory:.1f} MB")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
