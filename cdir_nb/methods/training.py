"""The training loop of all methods: steps, losses, momentum encoder, selection of states, snapshots, checkpoints.

A method subclasses `Training` and implements `build`, `batches`, `losses` and `embed`; it may also override `start`,
`end_epoch`, `validate`, `weights`, the optimiser and its schedule. Only this module calls `backward`.
"""

import copy
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from cdir_nb.conventions import LAST_EPOCH
from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders.image import ImageEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.checkpoints import about, cache_key, checkpoint_file, load_checkpoint, save_checkpoint
from cdir_nb.methods.embedder import Direction, Embedder
from cdir_nb.methods.settings import Settings
from cdir_nb.progress import progress_bar
from cdir_nb.sources import current_commit

Numbers = dict[str, float]
Labels = np.ndarray | torch.Tensor  # (N,)
State = dict[str, torch.Tensor]
CHECKPOINT_SECONDS = 5.0  # least time between two checkpoints; the last epoch is always saved
ENGINE_STATE = ("epoch", "history", "initial", "initial_scores", "best", "snapshots", "training_commit")


class Training:
    """One training run of a method: its network, its steps, and all state that changes from epoch to epoch.

    A subclass implements, in this order of use:

    build        returns the network; sets `steps_per_epoch`, and `momentum` if there is a momentum encoder
    inputs       the data that determine the result, as digests for the cache key (default: `images`)
    start        prepares data for the first epoch, such as memory banks; not called if a finished training is loaded
    batches      yields the argument of `losses`, one per step
    losses       returns the value of each loss, by name; `weights` returns their weights in the total
    end_epoch    is called after the last step of an epoch; returns additional numbers for the history
    validate     returns the score by each selection rule; larger is better
    embed        returns the vectors of images, for a network in one of its states

    Attributes:

    name         the method's or variant's name in records
    encoder      the frozen encoder; task: the protocol; domains: the domains to fit for (empty: all)
    settings     the method's settings; seed: the seed
    images       the training images, or None; training_pool: the images from which the seed drew them
    model        the network; momentum: its momentum copy, or None; evaluated: the network that embeds images
    generator    the generator for random draws of the current epoch, seeded by seed and epoch
    history      one dict per epoch: mean losses, additional numbers, scores, changes of parameters, seconds
    initial_scores  the scores of the initial state, by selection rule
    best         {selection rule: {"score", "epoch", "state"}}; epoch 0 is the initial state
    snapshots    {epoch: state of the evaluated network}, for the epochs that `stores_snapshot` accepts
    """

    similarity = "cosine"
    steps_per_epoch: int
    patience: int | None = None  # stop after this many epochs without a better score by the first selection rule
    schedule_each_step = False
    checkpointed: tuple[str, ...] = ()  # names of further attributes that a checkpoint stores
    momentum: Any = None  # a network, or None
    images: ImageSet | None = None
    train_set = ""
    data_at_test_time: frozenset[str] = frozenset()

    def __init__(
        self,
        encoder: ImageEncoder,
        task: Protocol,
        domains: Sequence[str],
        settings: Settings,
        *,
        name: str,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        self.encoder, self.task, self.domains = encoder, task, tuple(domains)
        self.settings: Any = settings
        self.name, self.seed, self.progress = name, seed, progress
        self.epoch, self.history, self.snapshots = 0, [], {}
        self.best: dict[str, dict[str, Any]] = {}
        self.training_commit = ""
        self.model = self.build()
        self.device = next((x.device for x in self.model.parameters()), encoder.device)
        self.optimizer = self.make_optimizer()
        self.schedule = self.make_schedule()

    @cached_property
    def training_pool(self) -> ImageSet | None:
        """The task's training images in the domains of `images`; `images` itself if it contains other images."""
        if self.images is None:
            return None
        pool = self.task.train.select(set(self.images.domains.tolist()))
        return pool if set(self.images.keys) <= set(pool.keys) else self.images

    # ---- implemented by methods ----

    def build(self) -> nn.Module:
        """Return the network to train, on the encoder's device, and set `steps_per_epoch`."""
        raise NotImplementedError(f"{type(self).__name__} has no build()")

    def make_optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of `model`; Adam at `settings.learning_rate` unless overridden."""
        return torch.optim.Adam(trainable_parameters(self.model).values(), lr=self.settings.learning_rate)

    def make_schedule(self) -> torch.optim.lr_scheduler.LRScheduler | None:
        """The learning rate schedule, advanced after each epoch (or step, if `schedule_each_step`); None: constant."""
        return None

    def inputs(self) -> dict[str, str]:
        """Digests of the data that determine the result, by name."""
        return {"images": self.images.fingerprint} if self.images is not None else {}

    def start(self) -> None:
        """Prepare the first epoch, for example initial pseudo-labels and memory banks."""

    def batches(self) -> Iterator[Any]:
        """Yield the batches of epoch `self.epoch`; random draws use `self.generator`."""
        raise NotImplementedError(f"{type(self).__name__} has no batches()")

    def losses(self, batch: Any) -> dict[str, torch.Tensor]:
        """{name: scalar} of one batch; gradients flow through them to `model`."""
        raise NotImplementedError(f"{type(self).__name__} has no losses(batch)")

    def weights(self) -> Mapping[str, float]:
        """The weight of each loss in epoch `self.epoch`; 1 for a loss that is not listed."""
        return {}

    def end_epoch(self) -> Numbers:
        """Update state once per epoch; returns numbers for the history. `self.epoch` is the epoch that ends."""
        return {}

    def validate(self) -> Numbers:
        """{selection rule: score} of the current state; larger is better. If empty, the last epoch is used."""
        return {}

    def release(self) -> None:
        """Delete data that only training needs, such as cached features; called after the last epoch."""

    def group_of(self, name: str) -> str:
        """The group of a trainable parameter, for `moved` and `parameter_groups`."""
        return "parameters"

    def stores_snapshot(self, epoch: int) -> bool:
        """Whether the state after `epoch` is stored for `Fitted.at_epoch`; suitable only for small networks."""
        return False

    def embed(self, model: nn.Module, images: ImageSet, progress: bool) -> torch.Tensor:
        """(N, D) float32 on the CPU; `model` is the evaluated network in one of its states, in evaluation mode."""
        raise NotImplementedError(f"{type(self).__name__} has no embed(model, images, progress)")

    @property
    def epochs(self) -> int:
        """The maximum number of epochs."""
        return self.settings.epochs

    @property
    def evaluated(self) -> nn.Module:
        """The network that is selected and embeds images: `model`, unless a method returns the momentum encoder."""
        return self.model

    @property
    def directions(self) -> tuple[Direction, ...] | None:
        """The pairs (query domain, gallery domain) to fit for: both directions of a pair of domains; None: any."""
        if len(self.domains) != 2:
            return None
        a, b = self.domains
        return (a, b), (b, a)

    @property
    def recorded_settings(self) -> dict[str, Any]:
        """The settings as plain data, for records."""
        return self.settings.plain()

    # ---- the loop ----

    def run(self) -> None:
        """Run the epochs that are not in the cache yet."""
        key = cache_key(self)
        file = checkpoint_file(self.name, key) if key else None
        state = load_checkpoint(file, key, self.device) if key and file else None
        self.restore(state) if state else self.begin()
        saved = time.monotonic()
        label = f"{self.name} {'-'.join(self.domains)}".strip()
        done, total = (n * self.steps_per_epoch for n in (self.epoch, self.epochs))
        with progress_bar(
            total=total, initial=done, desc=label, unit=" steps", delay=2, leave=False, disable=not self.progress
        ) as bar:
            while not self.finished:
                self.run_epoch(bar)
                if key and file and (self.finished or time.monotonic() - saved >= CHECKPOINT_SECONDS):
                    save_checkpoint(file, key, self.state(), about(self))
                    saved = time.monotonic()
            if key and file and not state and not self.history:  # zero epochs
                save_checkpoint(file, key, self.state(), about(self))
        self.release()

    def begin(self) -> None:
        """Prepare the first epoch, and compute the scores of the initial state."""
        self.start()
        self.training_commit = current_commit()
        self.initial = snapshot(trainable_parameters(self.model))
        self.initial_scores = self.validate()
        self._select(self.initial_scores)
        self._store_snapshot()

    @property
    def finished(self) -> bool:
        """True after the last epoch, or after `patience` epochs without a better score by the first rule."""
        best = next(iter(self.best.values()), None)
        stale = self.patience is not None and best is not None and self.epoch - best["epoch"] >= self.patience
        return self.epoch >= self.epochs or stale

    def run_epoch(self, bar: Any = None) -> None:
        """Run one epoch and add its row to the history."""
        started = time.perf_counter()
        self.generator = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
        weights, sums, steps = self.weights(), {}, 0
        self._noted: dict[str, float] = {}
        self.model.train()
        for batch in self.batches():
            self._step(batch, weights, sums)
            steps += 1
            if bar is not None:
                bar.update()
        if self.schedule and not self.schedule_each_step:
            self.schedule.step()
        row = {name: float(total) / max(steps, 1) for name, total in (sums | self._noted).items()}
        row |= {f"weight {name}": weights[name] for name in sums if name in weights} | self.end_epoch()
        self.epoch += 1
        seconds = time.perf_counter() - started
        scores = self.validate()
        self._select(scores)
        self._store_snapshot()
        moved = {f"moved, {group}": distance for group, distance in self.moved().items()}
        costs = {"seconds": seconds, "peak GB": peak_memory(self.device)}
        self.history.append({"epoch": self.epoch, **row, **scores, **moved, **costs})

    def _step(self, batch: Any, weights: Mapping[str, float], sums: dict[str, Any]) -> None:
        """One optimiser step on the weighted sum of the losses, whose values are added to `sums`."""
        losses = self.losses(batch)
        total = sum(weights.get(name, 1.0) * loss for name, loss in losses.items() if weights.get(name, 1.0))
        self.optimizer.zero_grad(set_to_none=True)
        if isinstance(total, torch.Tensor) and total.requires_grad:  # in an epoch, all weights may be zero
            if not torch.isfinite(total):
                rate = f"learning_rate, now {self.optimizer.param_groups[0]['lr']:g}"
                raise CdirError(f"{self.name}: the loss is not finite in epoch {self.epoch + 1}: lower {rate}")
            total.backward()
            self.optimizer.step()
            if self.schedule and self.schedule_each_step:
                self.schedule.step()
        for name, loss in (losses | {"L_total": total} if losses else {}).items():
            sums[name] = sums.get(name, 0.0) + (loss.detach() if isinstance(loss, torch.Tensor) else loss)

    def note(self, **numbers: float) -> None:
        """Add numbers of a step to the history, as the mean over the steps of an epoch."""
        for name, value in numbers.items():
            self._noted[name] = self._noted.get(name, 0.0) + value

    def _select(self, scores: Numbers) -> None:
        """Store the current state for each rule by which it is the best so far; of equal scores, the first counts."""
        for rule, score in scores.items():
            if math.isnan(score):
                raise CdirError(f"{self.name}: the score for {rule!r} is NaN in epoch {self.epoch}")
            if rule not in self.best or score > self.best[rule]["score"]:
                self.best[rule] = {"score": score, "epoch": self.epoch, "state": self.current_state()}

    def _store_snapshot(self) -> None:
        if self.stores_snapshot(self.epoch):
            self.snapshots[self.epoch] = self.current_state()

    def current_state(self) -> State:
        """A snapshot of those tensors of the evaluated network that training may change."""
        tensors = self.evaluated.state_dict()
        return snapshot({name: tensors[name] for name in mutable_state(self.model) if name in tensors})

    def parameter_groups(self, options: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
        """The trainable parameters as groups for an optimiser.

        options  {group, as returned by `group_of`: options of the optimiser, such as "lr"}
        """
        groups: dict[str, list[nn.Parameter]] = {}
        for name, parameter in trainable_parameters(self.model).items():
            groups.setdefault(self.group_of(name), []).append(parameter)
        return [{"params": parameters, **options[group]} for group, parameters in groups.items()]

    def moved(self) -> Numbers:
        """Distance of the trained parameters from their initial values, by group: |theta - theta_0| / |theta_0|."""
        groups: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for name, now in trainable_parameters(self.model).items():
            groups.setdefault(self.group_of(name), []).append((now.detach(), self.initial[name]))
        return {group: _relative_change(pairs) for group, pairs in groups.items()}

    @torch.no_grad()
    def update_momentum(self, m: float) -> None:
        """Update the momentum copy: theta_k <- m theta_k + (1 - m) theta_q, for all trainable parameters."""
        slow, fast = dict(self.momentum.named_parameters()), trainable_parameters(self.model)
        tensors, new = [slow[name] for name in fast], list(fast.values())
        torch._foreach_mul_(tensors, m)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(tensors, new, alpha=1 - m)  # pyright: ignore

    # ---- state ----

    def state(self) -> dict[str, Any]:
        """Everything needed to resume training; for networks, only the tensors that training may change."""
        tensors = mutable_state(self.model)
        slow = self.momentum.state_dict() if self.momentum is not None else {}
        return {
            "model": snapshot(tensors),
            "momentum": {name: slow[name] for name in tensors if name in slow},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else None,
            **{name: getattr(self, name) for name in (*ENGINE_STATE, *self.checkpointed)},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`."""
        self.model.load_state_dict(state["model"], strict=False)
        if self.momentum is not None:
            self.momentum.load_state_dict(state["momentum"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule:
            self.schedule.load_state_dict(state["schedule"])
        for name in (*ENGINE_STATE, *self.checkpointed):
            setattr(self, name, state[name])

    def states(self) -> dict[str, tuple[int, State]]:
        """{selection rule: (epoch, state)}: the last epoch, and the best state by each rule."""
        selected = {rule: (best["epoch"], best["state"]) for rule, best in self.best.items()}
        return {**selected, LAST_EPOCH: (self.epoch, self.current_state())}

    def steps_until(self, epoch: int) -> int:
        """The number of optimiser steps from the initial state to the state after an epoch."""
        return epoch * self.steps_per_epoch

    def moved_until(self, epoch: int) -> Numbers:
        """The relative change of each group of parameters after an epoch; 0 at the start."""
        groups = {key for row in self.history for key in row if key.startswith("moved, ")}
        row = self.history[epoch - 1] if epoch else {}
        return {key.removeprefix("moved, "): row.get(key, 0.0) for key in sorted(groups)}


class TrainedEmbedder(Embedder):
    """The embedder of a finished training, in the state after one of its epochs.

    training   the training, with `history`, `settings` and `images`
    epoch      the epoch of the state; 0 is the initial state
    model      the network in this state, frozen and in evaluation mode
    """

    def __init__(self, training: Training, selection: str, epoch: int, state: State) -> None:
        self.training, self.selection, self.epoch, self._state = training, selection, epoch, state
        self.name, self.encoder, self.seed = training.name, training.encoder, training.seed
        self.similarity, self.directions = training.similarity, training.directions
        self.settings, self.train_set = training.recorded_settings, training.train_set
        self.training_images, self.training_pool = training.images, training.training_pool
        self.training_commit = training.training_commit
        self.data_at_test_time = training.data_at_test_time
        self.steps, self.moved = training.steps_until(epoch), training.moved_until(epoch)

    @cached_property
    def model(self) -> nn.Module:
        model = copy.deepcopy(self.training.evaluated)
        model.load_state_dict(self._state, strict=False)
        return model.eval().requires_grad_(False)

    @torch.no_grad()
    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) float32 on the CPU. Raises CdirError for images of a domain that it was not fitted for."""
        if self.directions is not None:
            domains = dict.fromkeys(domain for pair in self.directions for domain in pair)
            if others := ", ".join(sorted(set(images.domains) - set(domains))):
                raise CdirError(
                    f"this {self.name} was trained for {' and '.join(domains)}, but there are images of {others}: "
                    f"choose other images, or a training run that includes {others}"
                )
        return self.training.embed(self.model, images, progress)


# ---- validation ----


def decides(query_labels: Labels, gallery_labels: Labels, k: int | None = None) -> bool:
    """Whether the score of a ranking can differ between two states of a network, and so choose one of them.

    The score cannot differ if no query has both relevant and other images in the gallery. P@k cannot differ either if
    the gallery has at most k images.
    k  the cut-off of P@k; None: average precision
    """
    relevant, queries, gallery = Counter(gallery_labels.tolist()), set(query_labels.tolist()), len(gallery_labels)
    return gallery > (k or 0) and any(0 < relevant[label] < gallery for label in queries)


def require_validation(training: Training, *parts: tuple[Labels, Labels], k: int | None = None, remedy: str) -> None:
    """Raise CdirError if the validation set cannot choose an epoch; called before the first one.

    parts  (query labels, gallery labels) of each ranking behind the score; it is enough if `decides` is true for one
    """
    if not any(decides(*labels, k) for labels in parts):
        sizes = "; ".join(f"queries: {len(queries)}, gallery: {len(gallery)}" for queries, gallery in parts)
        score = "average precision" if k is None else f"P@{k}"
        raise CdirError(
            f"{training.name}: the validation set ({sizes or 'empty'}) is too small to choose an epoch, since "
            f"every ranking has the same {score}: {remedy}"
        )


# ---- networks ----


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require gradients, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def mutable_state(model: nn.Module) -> State:
    """The tensors that training may change, by name: trainable parameters, and buffers such as running statistics."""
    state = model.state_dict(keep_vars=True)
    return {name: x for name, x in state.items() if x.requires_grad or not isinstance(x, nn.Parameter)}


def snapshot(tensors: Mapping[str, torch.Tensor]) -> State:
    """Detached copies of the tensors, by name."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@contextmanager
def mixed_precision(device: torch.device, enabled: bool | None) -> Iterator[None]:
    """Autocast to bfloat16 if enabled (None: on a GPU only). On a CPU, use plain attention: its gradient is faster."""
    attention = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    enabled = device.type == "cuda" if enabled is None else enabled
    with attention, torch.autocast(device.type, torch.bfloat16, enabled=enabled):
        yield


def peak_memory(device: torch.device) -> float:
    """Peak memory in GB: of the training on a GPU, of this process on a CPU."""
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
