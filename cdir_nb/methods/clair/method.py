"""CLAIR: CLIP-aided, weakly supervised, zero-shot retrieval between two domains (arXiv 2508.12290).

    pseudo-labels from CLIP  ->  epochs of:  three contrastive losses against banks of the momentum encoder, and L_KL
                                             momentum encoder and banks renewed, pseudo-labels refined
    and Q, worked out from texts alone, carries the first domain's features into the second's all the while.

No image's label is read. What the paper leaves open is a setting of `ClairConfig`, or said where it matters.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder, image_batches
from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.losses import (
    Bank,
    both_domains,
    inter_cluster_loss,
    inter_domain_loss,
    inter_instance_loss,
    total_loss,
)
from cdir_nb.methods.clair.mapping import procrustes, text_pairs
from cdir_nb.methods.clair.pair import Pair
from cdir_nb.methods.clair.prompts import prompted, train_image_tower, train_only_norms_and_prompts
from cdir_nb.methods.clair.pseudo_labels import alignment_loss, assigned, initial_labels, refine
from cdir_nb.methods.clair.settings import ClairConfig
from cdir_nb.methods.clair.state import load_state, save_state
from cdir_nb.methods.frozen.zero_shot import prompt_embeddings

LOSSES = ("L_KL", "L_II", "L_IC", "L_ID")
BANK_BATCH = 256
KEPT = ("best", "soft", "assigned", "validation_labels", "history", "epoch", "best_epoch", "best_score")

Batches = Sequence[tuple[torch.Tensor, torch.Tensor]]  # places (B,) among a domain's training rows; pixels


class DomainAlignment(nn.Module):
    """E_theta and Q: images to unit features, those of the first domain carried into the second's by Q.

    encoder  a ClipEncoder of its own, with prompts
    q        (D, D), or None without a mapping
    """

    def __init__(self, encoder: ClipEncoder, q: torch.Tensor | None, *, train_q: bool = True) -> None:
        super().__init__()
        self.encoder, self.clip = encoder, encoder.model
        self.q = None if q is None else nn.Parameter(q.to(encoder.device).clone(), requires_grad=train_q)

    def image_features(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D) unit features before Q; texts are compared with these (our reading)."""
        return F.normalize(self.clip.encode_image(batch).float(), dim=-1)

    def shared(self, features: torch.Tensor, side: int) -> torch.Tensor:
        """(B, D) unit features of the pair's domain 0 or 1 -> the space of both: Q x for the first."""
        return F.normalize(features @ self.q.T, dim=-1) if side == 0 and self.q is not None else features


@dataclass(frozen=True)
class ClairEmbedder:
    """What `fit` returns: the query encoder and Q as they were chosen (section 4: only E_theta_q is used at test time).

    labels   for each domain (epochs run + 1, N) int64: the class that each training image, in the order of `train`, was
             assigned at the start and after each epoch
    train    for each domain (N,) the rows of `pair.images` that were trained on; the others are the validation part
    history  a dict an epoch: losses, validation score, seconds, peak memory, share of labels that changed
    chosen   the epoch whose state this is, the best on validation; 0 is the start
    """

    model: DomainAlignment
    pair: Pair
    config: ClairConfig
    labels: dict[str, np.ndarray] = field(repr=False)
    train: dict[str, np.ndarray] = field(repr=False)
    history: list[dict[str, float]] = field(repr=False)
    chosen: int

    @torch.no_grad()
    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, D) unit embeddings on the CPU, each row by its own domain; compare them by cosine.

        Raises CdirError for an image of a domain that is not one of the pair.
        """
        other = sorted(set(images.domains) - set(self.pair.domains))
        if other:
            raise CdirError(
                f"this CLAIR was trained for {' and '.join(self.pair.domains)}, and there are images of "
                f"{', '.join(other)}: fit another pair"
            )
        raw = F.normalize(self.model.encoder.embed_images(images, progress=progress), dim=-1)
        first = torch.from_numpy(images.domains == self.pair.domains[0])
        mapped = self.model.shared(raw.to(self.model.encoder.device), 0).cpu()
        return torch.where(first[:, None], mapped, raw)


def fit(
    encoder: ClipEncoder,
    pair: Pair,
    config: ClairConfig | None = None,
    *,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: bool = True,
) -> ClairEmbedder:
    """CLAIR on the unlabelled images of two domains (Figure 2).

    checkpoint  a file that keeps the state of every epoch; where it is there already the training goes on from it.
                `clair_state.kept_at` names one in the cache.
    Raises CdirError: a tower without tokens, a checkpoint of another model, pair or config.
    """
    config = config or ClairConfig()
    training = _Training(encoder, pair, config, seed)
    if not (checkpoint and load_state(training, checkpoint)):
        training.start()
    steps = config.epochs * training.steps_per_epoch
    bar = tqdm(
        total=steps,
        desc=f"CLAIR {'-'.join(pair.domains)}",
        unit=" steps",
        delay=2,
        leave=False,
        disable=not progress,
        initial=training.epoch * training.steps_per_epoch,
    )
    with bar:
        while not training.finished:
            training.run_epoch(bar.update)
            if checkpoint:
                save_state(training, checkpoint)
    return training.result()


class _Training:
    """Everything that changes from epoch to epoch. `state` and `restore` make it resumable."""

    def __init__(self, encoder: ClipEncoder, pair: Pair, config: ClairConfig, seed: int) -> None:
        self.encoder, self.pair, self.config, self.seed = encoder, pair, config, seed
        self.device = encoder.device
        self.model = _model(encoder, config, seed)
        self.momentum = _model(encoder, config, seed).requires_grad_(False)
        self.rows, self.validation = zip(*(pair.split(d, config.validation_per_class, seed) for d in pair.domains))
        self.optimizer = torch.optim.SGD(
            _trained(self.model).values(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self.steps_per_epoch = -(-max(map(len, self.rows)) // config.batch_size)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, max(1, config.epochs * self.steps_per_epoch)
        )
        self.epoch, self.history = 0, []
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    @cached_property
    def texts(self) -> list[torch.Tensor]:
        """(K, D) class prompts of each domain; a finished training that is read back never asks for them."""
        words = [self.pair.words[domain] for domain in self.pair.domains]
        return [prompt_embeddings(self.encoder, self.pair.names, word).to(self.device) for word in words]

    def start(self) -> "_Training":
        """Q in closed form, pseudo-labels from frozen CLIP (section 4.1), the first banks, the score before training."""
        if self.config.mapping:
            q = closed_form_mapping(self.encoder, self.pair)
            self.model.q.data.copy_(q), self.momentum.q.data.copy_(q)
        self.soft = [initial_labels(self._frozen(rows), texts) for rows, texts in zip(self.rows, self.texts)]
        self.validation_labels = [
            assigned(initial_labels(self._frozen(rows), texts)) for rows, texts in zip(self.validation, self.texts)
        ]
        self.assigned = [[assigned(soft).cpu()] for soft in self.soft]
        self._renew_banks()
        self.best_score, self.best_epoch = self._validate(), 0
        self.best = _copy(_own(self.model))
        return self

    @property
    def finished(self) -> bool:
        """All epochs run, or none of the last `patience` was better on validation (early stopping, section 5.2)."""
        return self.epoch >= self.config.epochs or self.epoch - self.best_epoch >= self.config.patience

    def run_epoch(self, tick: Callable[[], Any]) -> None:
        """One epoch: steps of SGD; then momentum encoder, pseudo-labels and banks are renewed, in this order."""
        started, sums = time.perf_counter(), torch.zeros(len(LOSSES) + 1)
        generator = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
        for batches in self._batches(generator):
            losses = self.step(batches, generator)
            sums += torch.stack([loss.detach().cpu() for loss in losses])
            tick()
        self.epoch += 1
        update_momentum(self.momentum, self.model, self.config.encoder_momentum)
        raw = self._momentum_features()
        self.soft = [
            refine(soft, x @ texts.T, self.config.refinement) for soft, x, texts in zip(self.soft, raw, self.texts)
        ]
        changed = self._assign()
        self._renew_banks(raw)
        means = dict(zip((*LOSSES, "L_total"), (sums / self.steps_per_epoch).tolist()))
        self._record(means, changed, time.perf_counter() - started)

    def step(self, batches: Batches, generator: torch.Generator) -> list[torch.Tensor]:
        """One step of SGD on a batch of each domain; its losses and their weighted sum."""
        losses = self.losses(batches, generator)
        c = self.config
        total = total_loss(losses, (c.weight_kl, c.weight_ii, c.weight_ic, c.weight_id))
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        self.schedule.step()
        return [*losses, total]

    def losses(self, batches: Batches, generator: torch.Generator) -> list[torch.Tensor]:
        """L_KL, L_II, L_IC, L_ID (equations 2 and 4 to 6), each the mean of both domains."""
        c, views = self.config, 2 if self.config.weight_ii else 1
        pixels = torch.cat([pixels for _, pixels in batches])
        pixels = torch.cat([random_view(pixels, generator, c.least_crop) for _ in range(views)])
        sizes = [len(rows) for rows, _ in batches] * views
        with self._mixed():
            parts = self.model.image_features(pixels).split(sizes)
        each = []
        for side, (rows, _) in enumerate(batches):
            rows = rows.to(self.device)
            x = self.model.shared(parts[side], side)
            bank, other_bank = self.banks[side], self.banks[1 - side]
            labels = bank.labels[rows]
            scores = parts[side] @ self.texts[side].T
            l_ii = (
                inter_instance_loss(x, self.model.shared(parts[side + 2], side), bank, c.temperature)
                if views == 2
                else x.new_zeros(())
            )
            each.append(
                (
                    alignment_loss(scores, self.soft[side][rows], c.refinement.scale),
                    l_ii,
                    inter_cluster_loss(x, labels, bank, c.temperature),
                    inter_domain_loss(x, labels, other_bank, c.temperature),
                )
            )
        return [both_domains(first, second) for first, second in zip(*each)]

    def result(self) -> ClairEmbedder:
        """The state that was best on validation."""
        self.model.load_state_dict(self.best, strict=False)
        labels = {d: torch.stack(epochs).numpy() for d, epochs in zip(self.pair.domains, self.assigned)}
        return ClairEmbedder(
            self.model.eval().requires_grad_(False),
            self.pair,
            self.config,
            labels,
            dict(zip(self.pair.domains, self.rows)),
            self.history,
            self.best_epoch,
        )

    def state(self) -> dict[str, Any]:
        """All that an interrupted training needs to go on: KEPT, and of the networks what is not CLIP's."""
        momentum, own = dict(self.momentum.named_parameters()), _own(self.model)
        state = {name: getattr(self, name) for name in KEPT}
        return {
            "model": _copy(own),
            "momentum": {name: momentum[name] for name in own},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            **state,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`; the banks are made again, since they follow from the momentum encoder."""
        for network in ("model", "momentum"):
            getattr(self, network).load_state_dict(state[network], strict=False)
        for name in ("optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        for name in KEPT:
            setattr(self, name, state[name])
        self.assigned = [[labels.cpu() for labels in epochs] for epochs in self.assigned]
        if not self.finished:
            self._renew_banks()

    def _batches(self, generator: torch.Generator) -> Iterator[Batches]:
        """A batch of each domain a step; the smaller domain comes round again until the larger one is through."""
        length = max(map(len, self.rows))
        orders = [
            torch.cat([torch.randperm(len(rows), generator=generator) for _ in range(-(-length // len(rows)))])[:length]
            for rows in self.rows
        ]
        streams = [self._pixels(rows[order.numpy()]) for rows, order in zip(self.rows, orders)]
        for *pixels, chosen in zip(*streams, zip(*(order.split(self.config.batch_size) for order in orders))):
            yield list(zip(chosen, pixels))

    def _pixels(self, rows: np.ndarray, batch_size: int | None = None) -> Iterator[torch.Tensor]:
        """(B, 3, H, W) preprocessed images, in the order of `rows`."""
        size = batch_size or self.config.batch_size
        for _, batch in image_batches(self.pair.images, rows.tolist(), self.encoder.preprocess, size, self.device):
            yield batch

    def _frozen(self, rows: np.ndarray) -> torch.Tensor:
        """(N, D) unit features of frozen CLIP, from the cache where it has them."""
        images = self.pair.images.take(rows)
        return F.normalize(self.encoder.embed_images(images, progress=False), dim=-1).to(self.device)

    @torch.no_grad()
    def _encode(self, model: DomainAlignment, rows: np.ndarray) -> torch.Tensor:
        """(N, D) unit features of rows, before Q."""
        with self._mixed():
            parts = [model.image_features(batch) for batch in self._pixels(rows, BANK_BATCH)]
        return torch.cat(parts) if parts else torch.empty(0, self.encoder.dim, device=self.device)

    def _momentum_features(self) -> list[torch.Tensor]:
        return [self._encode(self.momentum, rows) for rows in self.rows]

    def _renew_banks(self, raw: Sequence[torch.Tensor] | None = None) -> None:
        """Memory banks: what the momentum encoder makes of every image, with the class assigned to it now."""
        with torch.no_grad():
            shared = [self.momentum.shared(x, side) for side, x in enumerate(raw or self._momentum_features())]
        self.banks = [
            Bank(x, epochs[-1].to(self.device), len(self.pair.names)) for x, epochs in zip(shared, self.assigned)
        ]

    def _assign(self) -> float:
        """Keep the classes assigned now; the share of images whose class has changed."""
        for soft, epochs in zip(self.soft, self.assigned):
            epochs.append(assigned(soft).cpu())
        return float(torch.cat([epochs[-1] != epochs[-2] for epochs in self.assigned]).float().mean())

    def _validate(self) -> float:
        """Mean P@5 of both directions on the validation part, judged by frozen CLIP's pseudo-labels: no label is read,
        but a state near frozen CLIP may be favoured (our default; the paper does not say what it stops by).

        nan where no image is set aside: then the last epoch counts.
        """
        if not all(map(len, self.validation)):
            return float("nan")
        features = [self._encode(self.model, rows) for rows in self.validation]
        with torch.no_grad():
            first, second = (self.model.shared(x, side) for side, x in enumerate(features))
        labels = self.validation_labels
        return 0.5 * (_precision_at_5(first @ second.T, *labels) + _precision_at_5(second @ first.T, *labels[::-1]))

    def _record(self, losses: dict[str, float], changed: float, seconds: float) -> None:
        """Append to the history, and keep this epoch's state if none was better on validation."""
        score = self._validate()
        if not score <= self.best_score:  # nan: without validation the last epoch counts
            self.best_score, self.best_epoch, self.best = score, self.epoch, _copy(_own(self.model))
        self.history.append(
            {
                "epoch": self.epoch,
                **losses,
                "validation P@5": score,
                "labels changed": changed,
                "seconds": seconds,
                "peak GB": _peak_memory(self.device),
            }
        )

    @contextmanager
    def _mixed(self) -> Iterator[None]:
        """bfloat16 products where asked for. On a CPU the plain attention: the fused one's gradient is slower."""
        kind, mixed = self.device.type, self.config.mixed_precision
        attention = sdpa_kernel(SDPBackend.MATH) if kind == "cpu" else nullcontext()
        enabled = kind == "cuda" if mixed is None else mixed
        with attention, torch.autocast(kind, torch.bfloat16, enabled=enabled):
            yield


def closed_form_mapping(encoder: ClipEncoder, pair: Pair) -> torch.Tensor:
    """(D, D) Q from the first domain to the second, from texts alone (equations 8 and 9)."""
    first, second = text_pairs(encoder, pair.objects, {d: pair.words[d] for d in pair.domains}).values()
    return procrustes(first, second)


@torch.no_grad()
def update_momentum(momentum: nn.Module, model: nn.Module, m: float) -> None:
    """theta_k <- m theta_k + (1 - m) theta_q, at the end of an epoch (section 4); prompts and Q among them."""
    slow = dict(momentum.named_parameters())
    for name, fast in _trained(model).items():  # what is frozen is the same in both
        slow[name].mul_(m).add_(fast, alpha=1 - m)


def random_view(batch: torch.Tensor, generator: torch.Generator, least_crop: float) -> torch.Tensor:
    """(B, 3, H, W) a random crop of each image, of `least_crop` to all of its area, perhaps mirrored (our default)."""
    count = len(batch)
    side = torch.empty(count).uniform_(least_crop, 1, generator=generator).sqrt()
    shift = (1 - side)[:, None] * torch.empty(count, 2).uniform_(-1, 1, generator=generator)
    mirror = 1 - 2 * torch.randint(2, (count,), generator=generator)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = side * mirror, side, shift
    grid = F.affine_grid(theta, batch.shape, align_corners=False).to(batch)
    return F.grid_sample(batch, grid, padding_mode="border", align_corners=False)


def _model(encoder: ClipEncoder, config: ClairConfig, seed: int) -> DomainAlignment:
    """A copy of the encoder with prompts, and the identity in Q's place until it is known; what trains is unfrozen."""
    tuned = prompted(encoder, config.prompts, std=config.prompt_std, seed=seed)
    train_only_norms_and_prompts(tuned) if config.freeze else train_image_tower(tuned)
    tuned.model.eval()  # no dropout, no batch statistics: CLIP's towers have none
    q = torch.eye(encoder.dim) if config.mapping else None
    return DomainAlignment(tuned, q, train_q=config.train_mapping)


def _precision_at_5(scores: torch.Tensor, query_labels: torch.Tensor, gallery_labels: torch.Tensor) -> float:
    """Mean over queries of the share of the first five (fewer in a smaller gallery) that have the query's class."""
    top = scores.topk(min(5, scores.shape[1])).indices
    return float((gallery_labels[top] == query_labels[:, None]).float().mean())


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _own(model: nn.Module) -> dict[str, nn.Parameter]:
    """What is not CLIP's: all that is trained, and Q also where it is not."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad or name == "q"}


def _copy(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _peak_memory(device: torch.device) -> float:
    """GB at most since the training began on a GPU; on a CPU, at most of this process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
