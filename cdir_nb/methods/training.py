"""The trainer of all methods: epochs with a history, early stopping, checkpoints; momentum encoder, mixed precision."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
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
    """Everything that changes from epoch to epoch, and the loop over epochs (`run`).

    A method inherits from it and says what is its own: `start`, `run_epoch`, and where they apply `validate`, `kept`
    (names of attributes that a checkpoint holds besides the networks) and `group_of` (see `moved`).

    model     what is trained; momentum: its slow copy, None without one
    epochs    at most; patience: epochs without a better score before an early stop, None: never
    history   a dict per epoch: the method's numbers, `score_name`, seconds without validation, peak memory
    best      the state with the best score, of `best_epoch` (0: the start); without a score the last epoch's
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

    # ---- what a method says ----

    def start(self) -> None:
        """What has to be there before the first epoch: first pseudo-labels, banks, and the like."""

    def run_epoch(self, generator: torch.Generator, tick: Callable[[], Any]) -> Numbers:
        """One epoch, with `tick()` after each step; numbers for the history."""
        raise NotImplementedError

    def validate(self) -> float:
        """Score of the model as it is, larger is better; nan: there is no validation, and the last epoch counts."""
        return math.nan

    def group_of(self, name: str) -> str:
        """The group of a trained parameter, for `moved`."""
        return "parameters"

    # ---- the loop ----

    def begin(self) -> "Training":
        """Before the first epoch: `start`, and the score of the state that training starts from."""
        self.start()
        self.initial = copied(changing(self.model))
        self.best, self.best_score, self.best_epoch = self.initial, self.validate(), 0
        return self

    def run(
        self, made_of: Mapping[str, str], checkpoint: Path | str | None, *, label: str, progress: bool = True
    ) -> None:
        """Run the epochs that are missing, all of them or those after the last one in `checkpoint`."""
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
        """All epochs are run, or none of the last `patience` was better on validation."""
        stale = self.patience is not None and self.epoch - self.best_epoch >= self.patience
        return self.epoch >= self.epochs or stale

    def next_epoch(self, tick: Callable[[], Any] = lambda: None) -> None:
        """One epoch and its row of the history; the state is kept if none was better on validation."""
        started = time.perf_counter()
        numbers = self.run_epoch(torch.Generator().manual_seed(1000 * self.seed + self.epoch), tick)
        self.epoch += 1
        seconds, score = time.perf_counter() - started, self.validate()
        if not score <= self.best_score:  # nan: without validation the last epoch counts
            self.best_score, self.best_epoch, self.best = score, self.epoch, copied(changing(self.model))
        moved = {f"moved, {group}": by for group, by in self.moved().items()}
        costs = {"seconds": seconds, "peak GB": peak_memory(self.device)}
        self.history.append({"epoch": self.epoch, **numbers, self.score_name: score, **moved, **costs})

    def moved(self) -> Numbers:
        """How far the trained parameters are from their start, by group: |theta - theta_0| / |theta_0|."""
        groups: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for name, now in trained(self.model).items():
            groups.setdefault(self.group_of(name), []).append((now.detach(), self.initial[name]))
        return {group: _relative_change(pairs) for group, pairs in groups.items()}

    def state(self) -> dict[str, Any]:
        """All that an interrupted training needs to go on; of the networks only what training changes."""
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
        """Go on from a `state`."""
        for network in (self.model, self.momentum):
            if network is not None:
                network.load_state_dict(state["model" if network is self.model else "momentum"], strict=False)
        for name in ("optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        for name in (*KEPT, *self.kept):
            setattr(self, name, state[name])

    def load_best(self) -> nn.Module:
        """The model in its best state, fixed and in evaluation mode."""
        self.model.load_state_dict(self.best, strict=False)
        return self.model.eval().requires_grad_(False)


@torch.no_grad()
def update_momentum(momentum: nn.Module, model: nn.Module, m: float) -> None:
    """theta_k <- m theta_k + (1 - m) theta_q, for all that is trained; what is frozen is the same in both."""
    slow = dict(momentum.named_parameters())
    for name, fast in trained(model).items():
        slow[name].mul_(m).add_(fast, alpha=1 - m)


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def changing(model: nn.Module) -> dict[str, torch.Tensor]:
    """What may change in training, by name: trained parameters, and buffers such as running statistics."""
    state = model.state_dict(keep_vars=True)
    return {name: x for name, x in state.items() if x.requires_grad or not isinstance(x, nn.Parameter)}


def copied(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies that training leaves as they are."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@contextmanager
def mixed_precision(device: torch.device, enabled: bool | None) -> Iterator[None]:
    """bfloat16 products where asked for (None: on a GPU). On a CPU the plain attention: it has the faster gradient."""
    attention = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    enabled = device.type == "cuda" if enabled is None else enabled
    with attention, torch.autocast(device.type, torch.bfloat16, enabled=enabled):
        yield


def peak_memory(device: torch.device) -> float:
    """GB at most since the training began on a GPU; on a CPU, at most of this process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e9
    import resource  # not on Windows; psutil knows no peak elsewhere

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def _relative_change(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """|now - before| / |before| over all tensors together."""
    change = sum(float((now - before).square().sum()) for now, before in pairs)
    size = sum(float(before.square().sum()) for _, before in pairs)
    return math.sqrt(change / size) if size else math.nan
