"""Where the time of a training step goes, for every method: network, losses and optimiser, or anything else.

    python bench/training_step.py                   all methods that train on features in memory
    python bench/training_step.py UCDIR TKI         some of them

A method trains for some epochs on the drawn world. Calls of networks, of loss functions and of `backward` are timed,
and the updates of networks (the optimiser's and the momentum encoder's). The remaining time of a step is overhead:
batches of features, memory, sums of losses, progress. Times are CPU times of one thread, so other work does not count.
"""

import functools
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Annotated, Any

import torch
import typer

from cdir_nb.data import open_task
from cdir_nb.encoders import load_encoder
from cdir_nb.methods import METHODS, Training

TASKS = {  # where a method trains on features in memory
    "a pair of domains": ("world-closed", "mobilenet-v2", ("clipart", "sketch")),
    "all domains": ("world-ucdr-quickdraw-mixed", "mobilenet-v2", ()),
    "TKI": ("world-unseen", "tiny-clip", ()),
}


class Clock:
    """Seconds spent in the functions that it wraps; calls inside of such a call count once."""

    def __init__(self) -> None:
        self.seconds, self._inside = 0.0, False

    def wrapped(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def timed(*args: Any, **how: Any) -> Any:
            if self._inside:
                return function(*args, **how)
            self._inside, started = True, time.thread_time()
            try:
                return function(*args, **how)
            finally:
                self.seconds += time.thread_time() - started
                self._inside = False

        return timed


@contextmanager
def timed(clock: Clock, training: Training):
    """Time networks, losses, `backward` and the optimiser's step by `clock`."""
    module = sys.modules[type(training).__module__]
    functions = [
        (torch.nn.Module, "__call__"),
        (torch.Tensor, "backward"),
        (training.optimizer, "step"),  # of the instance, which the schedule wraps
        (torch.optim.Optimizer, "zero_grad"),
        (Training, "update_momentum"),
    ]
    functions += [(module, name) for name, value in vars(module).items() if _is_loss(value)]
    if hasattr(getattr(training.model, "head", None), "losses"):
        functions.append((type(training.model.head), "losses"))
    if hasattr(training, "terms"):
        functions.append((type(training), "terms"))
    before = [(owner, name, getattr(owner, name)) for owner, name in functions]
    try:
        for owner, name, function in before:
            setattr(owner, name, clock.wrapped(function))
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def _is_loss(value: object) -> bool:
    return callable(value) and getattr(value, "__module__", "").endswith(".losses")


def measured(training: Training, epochs: int) -> tuple[float, float]:
    """(milliseconds of a step, fraction of it outside network, losses and optimiser), the lowest of several epochs."""
    training.begin()
    steps_and_fractions = []
    for _ in range(epochs):
        clock, sums = Clock(), {}
        training.generator = torch.Generator().manual_seed(training.epoch)
        training._noted = {}
        weights = training.weights()
        training.model.train()
        batches = iter(training.batches())
        first = next(batches)  # k-means, and views that are drawn once
        training._step(first, weights, sums)
        with timed(clock, training):
            started, steps = time.thread_time(), 0
            for batch in batches:
                training._step(batch, weights, sums)
                steps += 1
            total = time.thread_time() - started
        training.end_epoch()
        training.epoch += 1
        if steps:
            steps_and_fractions.append((1000 * total / steps, 1 - clock.seconds / total))
    return min(steps_and_fractions, key=lambda pair: pair[1]) if steps_and_fractions else (float("nan"), float("nan"))


def main(
    methods: Annotated[list[str] | None, typer.Argument(help="names in METHODS; all if none is given")] = None,
    epochs: int = 12,
) -> None:
    """Print a line for each method."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread\n{'method':32}  ms per step  outside network, losses, optimiser")
    for row in [METHODS[name] for name in methods or METHODS]:
        protocol, encoder, domains = TASKS.get(row.name, TASKS.get(row.fitted_for, (None, None, None)))
        if not isinstance(row.build, type) or protocol is None or (row.encoders == "CLIP" and row.name != "TKI"):
            continue
        task, start = open_task("world", None, protocol)[2], load_encoder(encoder)
        settings = row.configured(start)
        if "train_images" in type(settings).model_fields and not domains:
            settings = settings.changed(train_images=6)
        training = row.build(start, task, domains, settings, name=row.name, progress=False)
        milliseconds, outside = measured(training, epochs)
        print(f"{row.name:32}  {milliseconds:11.2f}  {100 * outside:5.1f} %", flush=True)


if __name__ == "__main__":
    typer.run(main)
