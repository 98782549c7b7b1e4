"""The training loop of all methods: history, early stopping, checkpoints, momentum encoder, mixed precision."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from cdir_nb.methods.checkpoints import load_checkpoint, save_checkpoint

Numbers = dict[str, float]
KEPT = ("epoch", "history", "initial", "best", "best_epoch", "best_score")


class Training:
    """All state that changes from epoch to epoch, and the loop over epochs (`run`).

    A method subclasses it and implements `start` and `run_epoch`, and where needed `validate`, `kept` (names of
    attributes that a checkpoint holds besides the networks) and `group_of` (see `moved`).

    model     the network to train; momentum: its momentum copy, or None
    epochs    the maximum; patience: stop after this many epochs without a better score, None: never stop early
    history   one dict per epoch: the method's numbers, `score_name`, seconds without validation, peak memory
    best      the state with the best score, from `best_epoch` (0: the start); without validation, the last epoch
    """

    score_name = "validation"
    kept: tuple[str, ...] = ()

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        *,
        momentum: nn.Module | None = None,
        epochs: int,
        steps_per_epoch: int,
        patience: int | None = None,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model, self.momentum, self.optimizer, self.schedule = model, momentum, optimizer, schedule
        self.epochs, self.steps_per_epoch, self.patience = epochs, steps_per_epoch, patience
        self.seed, self.device = seed, device
        self.epoch, self.history = 0, []
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    # ---- what a method implements ----

    def start(self) -> None:
        """Set up what the first epoch needs, such as initial pseudo-labels and memory banks."""

    def run_epoch(self, generator: torch.Generator, tick: Callable[[], Any]) -> Numbers:
        """Train for one epoch, calling `tick()` after each step; returns numbers for the history."""
        raise NotImplementedError

    def validate(self) -> float:
        """Score of the current model, larger is better; nan: no validation, so the last epoch is used."""
        return math.nan

    def group_of(self, name: str) -> str:
        """The group that a trained parameter belongs to, for `moved`."""
        return "parameters"

    # ---- the loop ----

    def begin(self) -> "Training":
        """Prepare for the first epoch: call `start`, and score the initial state."""
        self.start()
        self.initial = copied(changing(self.model))
        self.best, self.best_score, self.best_epoch = self.initial, self.validate(), 0
        return self

    def run(
        self, made_of: Mapping[str, str], checkpoint: Path | str | None, *, label: str, progress: bool = True
    ) -> None:
        """Run the remaining epochs: those after the last one in `checkpoint`, or all of them."""
        state = load_checkpoint(checkpoint, made_of, self.device) if checkpoint else None
        self.restore(state) if state else self.begin()
        done, total = (n * self.steps_per_epoch for n in (self.epoch, self.epochs))
        bar = tqdm(total=total, initial=done, desc=label, unit=" steps", delay=2, leave=False, disable=not progress)
        with bar:
            while not self.finished:
                self.next_epoch(bar.update)
                if checkpoint:
                    save_checkpoint(checkpoint, made_of, self.state())

    @property
    def finished(self) -> bool:
        """True after the last epoch, or after `patience` epochs without a better validation score."""
        stale = self.patience is not None and self.epoch - self.best_epoch >= self.patience
        return self.epoch >= self.epochs or stale

    def next_epoch(self, tick: Callable[[], Any] = lambda: None) -> None:
        """Run one epoch and add it to the history; keep its state if it has the best validation score so far."""
        started = time.perf_counter()
        numbers = self.run_epoch(torch.Generator().manual_seed(1000 * self.seed + self.epoch), tick)
        self.epoch += 1
        seconds, score, before = time.perf_counter() - started, self.validate(), self.best_score
        if not score <= self.best_score:  # nan (no validation) passes: the last epoch is kept
            self.best_score, self.best_epoch, self.best = score, self.epoch, copied(changing(self.model))
        moved = {f"moved, {group}": by for group, by in self.moved().items()}
        costs = {"seconds": seconds, "peak GB": peak_memory(self.device)}
        row = {"epoch": self.epoch, **numbers, self.score_name: score, "best before": before, **moved, **costs}
        self.history.append(row)

    def moved(self) -> Numbers:
        """Distance of the trained parameters from their initial values, by group: |theta - theta_0| / |theta_0|."""
        groups: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for name, now in trained(self.model).items():
            groups.setdefault(self.group_of(name), []).append((now.detach(), self.initial[name]))
        return {group: _relative_change(pairs) for group, pairs in groups.items()}

    def state(self) -> dict[str, Any]:
        """Everything needed to resume training; of the networks, only the tensors that training changes."""
        own = changing(self.model)
        slow = self.momentum.state_dict() if self.momentum else {}
        return {
            "model": copied(own),
            "momentum": {name: slow[name] for name in own if name in slow},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            **{name: getattr(self, name) for name in (*KEPT, *self.kept)},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state`."""
        for network in (self.model, self.momentum):
            if network is not None:
                network.load_state_dict(state["model" if network is self.model else "momentum"], strict=False)
        for name in ("optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        for name in (*KEPT, *self.kept):
            setattr(self, name, state[name])

    def load_best(self) -> nn.Module:
        """The model in its best state, frozen and in evaluation mode."""
        self.model.load_state_dict(self.best, strict=False)
        return self.model.eval().requires_grad_(False)


def moved_until(epoch: int, history: Sequence[Mapping[str, float]]) -> Numbers:
    """How far each group of parameters had moved after an epoch of a history; 0 at the start."""
    groups = {key: value for row in history for key, value in row.items() if key.startswith("moved, ")}
    row = history[epoch - 1] if epoch else {}
    return {key.removeprefix("moved, "): row.get(key, 0.0) for key in groups}


@torch.no_grad()
def update_momentum(momentum: nn.Module, model: nn.Module, m: float) -> None:
    """theta_k <- m theta_k + (1 - m) theta_q for all trained parameters; frozen ones are the same in both networks."""
    slow = dict(momentum.named_parameters())
    for name, fast in trained(model).items():
        slow[name].mul_(m).add_(fast, alpha=1 - m)


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def changing(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors that training may change, by name: trained parameters, and buffers such as running statistics."""
    state = model.state_dict(keep_vars=True)
    return {name: x for name, x in state.items() if x.requires_grad or not isinstance(x, nn.Parameter)}


def copied(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Detached copies, which further training does not change."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@contextmanager
def mixed_precision(device: torch.device, enabled: bool | None) -> Iterator[None]:
    """Autocast to bfloat16 if enabled (None: on a GPU only). On a CPU, use plain attention: its gradient is faster."""
    attention = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    enabled = device.type == "cuda" if enabled is None else enabled
    with attention, torch.autocast(device.type, torch.bfloat16, enabled=enabled):
        yield


def peak_memory(device: torch.device) -> float:
    """Peak memory in GB: on a GPU since the training began, on a CPU of this process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e9
    import resource  # does not exist on Windows; elsewhere psutil reports no peak

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def _relative_change(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """|now - before| / |before| over all tensors together."""
    change = sum(float((now - before).square().sum()) for now, before in pairs)
    size = sum(float(before.square().sum()) for _, before in pairs)
    return math.sqrt(change / size) if size else math.nan
