"""The training of any head of the harness: the same sampler, views, optimiser, stopping and validation for all."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import image_batches
from cdir_nb.encoders.feature_maps import MapEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet.network import Batch, Network, Setup
from cdir_nb.methods.snmpnet.sampling import Epoch, draw_epoch, pool_of, reshuffled, rows_by_domain
from cdir_nb.methods.snmpnet.settings import SnMpNetConfig
from cdir_nb.methods.snmpnet.task import TrainingTask
from cdir_nb.methods.snmpnet.views import epoch_views
from cdir_nb.methods.training import Numbers, Training, copied, mixed_precision
from cdir_nb.retrieval import evaluate_embeddings

EMBED_BATCH = 256
MakeHead = Callable[[Setup], nn.Module]


class SnMpNetTraining(Training):
    """Training of one head on one task. `snapshots`: the state after some epochs (0, 1, 2, 4, 8, ...)."""

    score_name = "validation mAP@200"
    kept = ("snapshots",)

    def __init__(
        self,
        encoder: MapEncoder,
        task: TrainingTask,
        semantics: torch.Tensor,
        config: SnMpNetConfig,
        make_head: MakeHead,
        seed: int,
        progress: bool = True,
    ) -> None:
        self.encoder, self.task, self.config, self.progress = encoder, task, config, progress
        self._pools: dict[int, tuple[Epoch, dict[str, torch.Tensor]]] = {}
        self._validation_maps: dict[str, torch.Tensor] = {}
        self.rows = rows_by_domain(task.images, config.batch_size)
        self.labels = torch.from_numpy(task.labels)
        self.domains = torch.from_numpy(numbers_of(task.images.domains, task.domains))
        with torch.random.fork_rng(devices=[]):  # PyTorch's own initialisation, from our seed
            torch.manual_seed(seed)
            head = make_head(Setup(encoder.channels, semantics, task.domains, config, encoder))
            trunk = copy.deepcopy(encoder.model) if config.trains == "all" else None
            model = Network(trunk, encoder.channels, config.attention_width, head).to(encoder.device)
        optimizer = _optimizer(model, config)
        floor = min(1.0, config.least_learning_rate / config.learning_rate)
        decay = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda epoch: floor ** min(1.0, epoch / config.decay_epochs)
        )
        super().__init__(
            model,
            optimizer,
            decay,
            epochs=config.epochs,
            steps_per_epoch=min(map(len, self.rows)) // (config.batch_size // len(self.rows)),
            patience=config.patience if task.queries else None,
            seed=seed,
            device=encoder.device,
        )

    def start(self) -> None:
        """Standardise a frozen trunk's channels; keep the state before the first step."""
        if self.config.trains == "head":
            self.model.standardise(self.pools(0)[1][self.model.head.views[0]])
        self.snapshots = {0: copied(self.model.state_dict())} if self.config.trains == "head" else {}

    def run_epoch(self, generator: torch.Generator, tick: Callable[[], Any]) -> Numbers:
        """SGD steps on balanced batches; the learning rate falls after each epoch."""
        self.model.train()
        sums: dict[str, float] = {}
        for batch in self.batches(self.epoch):
            losses = self.model.head.losses(batch)
            total = sum(losses.values())
            if not torch.isfinite(total):
                raise CdirError(
                    f"the loss is not finite in epoch {self.epoch + 1}: lower learning_rate, now "
                    f"{self.config.learning_rate:g}"
                )
            self.optimizer.zero_grad(set_to_none=True)
            total.backward()
            self.optimizer.step()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + float(loss.detach())
            tick()
        self.schedule.step()
        done = self.epoch + 1
        if self.config.trains == "head" and (done & (done - 1)) == 0:  # 1, 2, 4, 8, ...
            self.snapshots[done] = copied(self.model.state_dict())
        return {name: value / self.steps_per_epoch for name, value in sums.items()}

    def batches(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch: views drawn now, or with a frozen trunk the maps of a pool drawn beforehand."""
        rng = np.random.default_rng([self.seed, number])
        if self.config.trains == "all":
            yield from self._drawn_now(number, rng)
            return
        pool, maps = self.pools(pool_of(number, self.config))
        for places in reshuffled(pool, len(self.rows), rng):
            inputs = {kind: own[places].float() for kind, own in maps.items()}
            yield self._batch(pool, places, inputs, rng)

    def pools(self, number: int) -> tuple[Epoch, dict[str, torch.Tensor]]:
        """A pool and, for each view, the (S x B, C, P) half-precision maps of its pictures; embedded once."""
        if number not in self._pools:
            epoch = self._epoch(number)
            maps = {kind: self._maps(self._views(epoch, kind, number)) for kind in self.model.head.views}
            self._pools[number] = epoch, maps
        return self._pools[number]

    def _drawn_now(self, number: int, rng: np.random.Generator) -> Iterator[Batch]:
        epoch = self._epoch(number)
        everything = range(epoch.rows.size)
        streams = [
            image_batches(views, everything, self.encoder.preprocess, epoch.rows.shape[1], self.device)
            for views in (self._views(epoch, kind, number) for kind in self.model.head.views)
        ]
        for parts in zip(*streams):
            pixels = {kind: batch for kind, (_, batch) in zip(self.model.head.views, parts)}
            yield self._batch(epoch, np.array(parts[0][0]), pixels, rng)

    def _batch(self, epoch: Epoch, places: np.ndarray, inputs: dict[str, torch.Tensor], rng: Any) -> Batch:
        rows, partners = (x.ravel()[places] for x in (epoch.rows, epoch.partners))
        inputs = {kind: x.to(self.device) for kind, x in inputs.items()}
        with mixed_precision(self.device, self.config.mixed_precision):
            maps = {kind: self.model.maps(x).float() for kind, x in inputs.items()}
        columns = (
            self.labels[rows],
            self.labels[partners],
            torch.from_numpy(epoch.ratio.ravel()[places]).float(),
            self.domains[rows],
            torch.from_numpy(epoch.shuffles.ravel()[places]),
        )
        pooled = {kind: self.model.attention(x) for kind, x in maps.items()}
        return Batch(pooled, *(column.to(self.device) for column in columns), inputs, rng)

    def _epoch(self, number: int) -> Epoch:
        return draw_epoch(self.rows, number, self.config, np.random.default_rng([self.seed, number, 1]))

    def _views(self, epoch: Epoch, kind: str, number: int) -> ImageSet:
        return epoch_views(self.task.images, epoch, kind, self.config, seed=self.seed, number=number)

    def _maps(self, images: ImageSet) -> torch.Tensor:
        return frozen_maps(self.encoder, images, self.progress)

    # ---- early stopping on validation classes ----

    def validate(self) -> float:
        """mAP@200 (over_found) of validation classes: each training domain's queries, mean over domains; else nan."""
        if not self.task.queries:
            return float("nan")
        gallery = self._embed("gallery", self.task.gallery)
        scores = [
            evaluate_embeddings(
                *(self._embed(domain, queries), gallery, queries.labels, self.task.gallery.labels),
                similarity="euclidean",
                ks=(),
                ap_ks=(200,),
            )
            for domain, queries in self.task.queries.items()
        ]
        found = [result.mean for results in scores for result in results if result.convention == "over_found"]
        return sum(found) / len(found)

    def _embed(self, name: str, images: ImageSet) -> torch.Tensor:
        if self.config.trains == "head" and name not in self._validation_maps:
            self._validation_maps[name] = self._maps(images)
        return embedded(self.model, images, self.task.domains, self.encoder, self._validation_maps.get(name))

    def group_of(self, name: str) -> str:
        """trunk, attention, head."""
        return name.partition(".")[0]


def _optimizer(model: Network, config: SnMpNetConfig) -> torch.optim.Optimizer:
    rates = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "Adam":
        return torch.optim.Adam(model.parameters(), **rates)
    nesterov = config.nesterov and config.momentum > 0
    return torch.optim.SGD(model.parameters(), momentum=config.momentum, nesterov=nesterov, **rates)


@torch.no_grad()
def embedded(
    model: Network, images: ImageSet, domains: tuple[str, ...], encoder: MapEncoder, maps: torch.Tensor | None
) -> torch.Tensor:
    """(N, m) float32 on the CPU: retrieval features; maps (N, C, P) from a frozen trunk, None: from the pictures."""
    model.eval()
    numbers, parts, start = torch.from_numpy(numbers_of(images.domains, domains)), [], 0
    if maps is not None:
        batches = iter(maps.split(EMBED_BATCH))
    else:
        rows = range(len(images))
        batches = (batch for _, batch in image_batches(images, rows, encoder.preprocess, 64, encoder.device))
    for batch in batches:
        own = numbers[start : start + len(batch)].to(encoder.device)
        parts.append(model(batch.float().to(encoder.device), own).float().cpu())
        start += len(batch)
    return torch.cat(parts)


def frozen_maps(encoder: MapEncoder, images: ImageSet, progress: bool = True) -> torch.Tensor:
    """(N, C, P) half-precision feature maps, from the cache where it has them."""
    return encoder.embed_images(images, progress=progress).half().unflatten(1, (encoder.channels, encoder.places))


def numbers_of(names: np.ndarray, known: tuple[str, ...]) -> np.ndarray:
    """(N,) int64 place of each name in `known`; -1 where it is not there."""
    place = {name: i for i, name in enumerate(known)}
    return np.array([place.get(name, -1) for name in names.tolist()], dtype=np.int64)
