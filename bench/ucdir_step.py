"""Time of a UCDIR step relative to its bare minimum: the trained encoder's forward and backward pass, the momentum
encoder's forward pass, and the optimiser's step.

    python bench/ucdir_step.py                      a head on the frozen MobileNetV2, the bundled world
    python bench/ucdir_step.py --trains all         the whole network
    python bench/ucdir_step.py --bank 100000        banks of so many images: memory and time are linear in them

Each round times both in turn, on the same inputs in memory. A step of UCDIR adds all four losses, the update of the
momentum encoder, and the memory. `training_step.py` shows how much of a step is neither network nor losses.
"""

import platform
import time
from statistics import median
from typing import Annotated

import torch
import typer

from cdir_nb.data import load_protocol, open_dataset
from cdir_nb.encoders import load_encoder
from cdir_nb.methods.training import peak_memory
from cdir_nb.methods.ucdir import UCDIR, UcdirTraining
from cdir_nb.methods.ucdir.views import Inputs


def bare_step(training: UcdirTraining, inputs: Inputs) -> float:
    """Seconds for the passes of both encoders over a batch of each domain, and the optimiser's step."""
    started = time.perf_counter()
    _, first, second = inputs
    q = training.model(first)
    with torch.no_grad():
        training.momentum(second)
    training.optimizer.zero_grad(set_to_none=True)
    q.sum().backward()
    training.optimizer.step()
    return time.perf_counter() - started


def ucdir_step(training: UcdirTraining, inputs: Inputs) -> float:
    """Seconds for one step of UCDIR on the same inputs."""
    started = time.perf_counter()
    total = sum(training.weights()[name] * loss for name, loss in training.losses(inputs).items())
    training.optimizer.zero_grad(set_to_none=True)
    total.backward()
    training.optimizer.step()
    return time.perf_counter() - started


def enlarge(training: UcdirTraining, size: int) -> None:
    """Repeat banks and features until they have `size` rows, as if the domains had so many images."""
    for rows in (training.banks, training.features):
        for d in (0, 1):
            rows[d] = rows[d].repeat(-(-size // len(rows[d])), 1)[:size]


def main(
    encoder: str = "mobilenet-v2",
    image_size: Annotated[int, typer.Option(help="width and height of images in pixels")] = 64,
    trains: str = "head",
    hidden: Annotated[int, typer.Option(help="width of the head; 0: that of the trunk, as in MoCo v2")] = 256,
    bank: Annotated[int, typer.Option(help="images of each domain in the memory; 0: those of the task")] = 0,
    rounds: int = 20,
) -> None:
    """Print both times and their ratio, and the sizes of the memory."""
    task = load_protocol("world-closed", open_dataset("world"))
    settings = UCDIR.named["as_released, head"].changed(
        trains=trains, hidden=hidden or None, image_size=image_size, learning_rate=1e-6
    )
    training = UcdirTraining(load_encoder(encoder), task, ("clipart", "sketch"), settings, name="UCDIR", progress=False)
    training.begin()
    training.model.train()
    if bank:
        enlarge(training, bank)
    training.epoch = settings.align_from  # all four losses count
    training.generator = torch.Generator().manual_seed(0)
    inputs = next(iter(training.batches()))
    times = [(bare_step(training, inputs), ucdir_step(training, inputs)) for _ in range(rounds + 3)][3:]
    bare, ours = (1000 * median(column) for column in zip(*times))
    ratio = median(b / a for a, b in times)
    print(f"{training.encoder.description}; {torch.get_num_threads()} threads, {platform.machine()}")
    print(f"{trains}: bare {bare:.1f} ms, UCDIR {ours:.1f} ms, median ratio {ratio:.2f} over {rounds} rounds")
    memory = sum(x.numel() * x.element_size() for x in training.banks) / 1e6
    peak = peak_memory(training.device)
    print(f"banks {[len(x) for x in training.banks]}, {memory:.1f} MB; peak memory of the process {peak:.2f} GB")


if __name__ == "__main__":
    typer.run(main)
