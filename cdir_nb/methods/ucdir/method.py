"""UCDIR: unsupervised retrieval between two domains (Hu and Lee, ECCV 2022), and the trainer of its baselines.

    memory of every image, by a momentum encoder  ->  epochs of:  k-means in each domain (from T1 on)
                                                                  steps on two views of each image: loss, update of the
                                                                  momentum encoder, and of the memory
No label is read, except by the score that the released code selects its epoch by; it has no influence on training.
"""

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from cdir_nb.conventions import BEST_ON_TEST, LAST_EPOCH
from cdir_nb.encoders import ImageEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.batches import random_order
from cdir_nb.methods.checkpoints import digest_of, kept_in_cache
from cdir_nb.methods.training import Numbers, Training, changing, copied, trained, update_momentum
from cdir_nb.methods.two_domains import class_numbers, precision_at
from cdir_nb.methods.ucdir.clusters import Clusters, kmeans
from cdir_nb.methods.ucdir.embedder import UcdirEmbedder
from cdir_nb.methods.ucdir.network import Network, Standardise, image_tower, keys
from cdir_nb.methods.ucdir.pair import TwoDomains
from cdir_nb.methods.ucdir.settings import UcdirConfig
from cdir_nb.methods.ucdir.step import BOTH, Step
from cdir_nb.methods.ucdir.variants import objective_of
from cdir_nb.methods.ucdir.views import CachedViews, Inputs, PixelViews

CODE_VERSION = 1  # increase it when training changes: old checkpoints are then ignored
Head = dict[str, torch.Tensor]


def fit(
    encoder: ImageEncoder,
    pair: TwoDomains,
    config: UcdirConfig | None = None,
    *,
    name: str = "UCDIR",
    seed: int = 0,
    head: Head | None = None,
    checkpoint: Path | str | None = None,
    progress: bool = True,
) -> tuple[UcdirEmbedder, UcdirEmbedder]:
    """Train on the unlabelled images of two domains; returns the state after the last epoch, and that of the best epoch
    by labels ("best on test", as the released code reports).

    name        name of the variant, for records
    head        MoCo v2's head (`start_of`); None: a head drawn at random, as for a frozen trunk (`trains = "head"`),
                whose features are standardised and need another
    checkpoint  a file for the state after each epoch; if it exists, training resumes from it. `kept_at` gives one in
                the cache.
    Raises CdirError for more clusters than images, or a checkpoint of another training.
    """
    config = config or UcdirConfig()
    training = UcdirTraining(encoder, pair, config, seed, head=head, progress=progress)
    label = f"{name} {'-'.join(pair.domains)}"
    training.run(made_of(encoder, pair, config, seed, head), checkpoint, label=label, progress=progress)
    return training.embedder(name, LAST_EPOCH), training.embedder(name, BEST_ON_TEST)


def kept_at(encoder: ImageEncoder, pair: TwoDomains, config: UcdirConfig, seed: int, head: Head | None = None) -> Path:
    """The checkpoint file in the cache for exactly this training."""
    return kept_in_cache("ucdir", made_of(encoder, pair, config, seed, head))


def made_of(
    encoder: ImageEncoder, pair: TwoDomains, config: UcdirConfig, seed: int, head: Head | None = None
) -> dict[str, str]:
    """Everything that determines a training, by name; errors report which of them differ."""
    return {
        "model": encoder.identity,
        "images": f"{pair.images.fingerprint} {' '.join(pair.domains)} {pair.classes}",
        "settings": digest_of(config.plain()),
        "seed": str(seed),
        "head": digest_of({name: x.double().sum().item() for name, x in head.items()}) if head else "at random",
        "version": str(CODE_VERSION),
    }


class UcdirTraining(Training):
    """The parts of training specific to UCDIR: two networks, memory, clusters, and what an epoch and a step do."""

    score_name = "P@k by labels"
    kept = ("banks", "features", "recorded", "best_keys")

    def __init__(
        self,
        encoder: ImageEncoder,
        pair: TwoDomains,
        config: UcdirConfig,
        seed: int,
        *,
        head: Head | None = None,
        progress: bool = True,
    ) -> None:
        self.encoder, self.pair, self.config = encoder, pair, config
        self.objective = objective_of(config)
        self.sizes = [len(pair.side(d)) for d in BOTH]
        self._check_sizes()
        self.progress = progress
        model, momentum = (self._network(seed, head) for _ in BOTH)
        optimizer = torch.optim.SGD(
            trained(model).values(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
        super().__init__(
            model,
            optimizer,
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs),
            momentum=momentum.requires_grad_(False),
            epochs=config.epochs,
            steps_per_epoch=max(1, max(self.sizes) // config.batch_size),
            seed=seed,
            device=encoder.device,
        )

    @cached_property
    def views(self) -> CachedViews | PixelViews:
        """Where the views come from; not needed when a finished training is loaded."""
        if self.config.trains == "all":
            return PixelViews(self.encoder, self.pair)
        return CachedViews(self.encoder, self.pair, self.config.views, progress=self.progress)

    # ---- the loop ----

    def start(self) -> None:
        """Fill the memory: the momentum encoder's feature of every image."""
        if self.config.trains == "head":
            for network in (self.model, self.momentum):
                network.trunk.measure(torch.cat(self.views.centres))
        self.features = self.momentum_features()
        self.banks = [x.clone() for x in self.features]
        self.recorded: dict[int, list[torch.Tensor]] = {}
        self._record(0)

    def begin(self) -> "UcdirTraining":
        """Prepare for the first epoch, which is the best so far."""
        super().begin()
        self.best_keys = self._keys_now()
        return self

    def next_epoch(self, tick: Callable[[], Any] = lambda: None) -> None:
        """Run one epoch; keep the momentum encoder too if the epoch is the best so far."""
        super().next_epoch(tick)
        if self.best_epoch == self.epoch:
            self.best_keys = self._keys_now()

    def run_epoch(self, generator: torch.Generator, tick: Callable[[], Any]) -> Numbers:
        """Cluster the features of the last epoch, run the SGD steps, and compute the features of all images once."""
        clusters, seconds = self.cluster()
        weights, sums = self.objective.weights(self.config, self.epoch), {}
        self.model.train(), self.momentum.train()
        batch = min(self.config.batch_size, max(self.sizes))
        orders = [random_order(size, self.steps_per_epoch * batch, generator) for size in self.sizes]
        for inputs in self.views.epoch(orders, batch, generator):
            for name, value in self.step(inputs, clusters, weights, generator).items():
                sums[name] = sums.get(name, 0.0) + value
            tick()
        self.schedule.step()
        self.features = self.momentum_features()
        self._record(self.epoch + 1)
        means = {name: value / self.steps_per_epoch for name, value in sums.items()}
        return {**means, **{f"weight {name}": weights[name] for name in means}, "k-means seconds": seconds}

    def step(
        self,
        inputs: list[Inputs],
        clusters: list[list[Clusters]],
        weights: dict[str, float],
        generator: torch.Generator,
    ) -> Numbers:
        """One SGD step on one batch per domain; returns the value of each term of the loss."""
        terms = self.objective.terms(self.see(inputs, clusters, generator), self.config)
        values = {name: self.reduced(parts) for name, parts in terms.items()}
        total = sum(weights[name] * value for name, value in values.items() if weights[name])
        self.optimizer.zero_grad(set_to_none=True)
        if torch.is_tensor(total):  # no term may count in this epoch
            total.backward()
            self.optimizer.step()
        return {name: float(value.detach()) for name, value in values.items()}

    def see(self, inputs: list[Inputs], clusters: list[list[Clusters]], generator: torch.Generator) -> Step:
        """Features of both views, in the order of the released code: queries, update of the momentum encoder, keys,
        and the keys' place in the memory. Both domains go through a network together."""
        ids, first, second = zip(*inputs)
        sizes = [len(rows) for rows in ids]
        q = self.model(torch.cat(first))
        update_momentum(self.momentum, self.model, self.config.encoder_momentum)
        split = self.config.key_norm == "split" and self.config.trains == "all"
        k = keys(self.momentum, torch.cat(second), split=split, generator=generator)
        for bank, rows, part in zip(self.banks, ids, k.split(sizes)):
            bank[rows] = part
        return Step(list(q.split(sizes)), list(k.split(sizes)), list(ids), self.banks, clusters)

    def reduced(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """The mean over the domains; or, as the paper prints it, the sum over the domains and the images of a batch."""
        mean = torch.stack(parts).mean()
        if self.config.reduction == "mean":
            return mean
        return mean * len(parts) * min(self.config.batch_size, max(self.sizes))

    # ---- clusters and features ----

    def cluster(self) -> tuple[list[list[Clusters]], float]:
        """K-means on the features of all images, and its seconds; nothing where the loss needs no clusters (yet)."""
        started, kind = time.perf_counter(), self.objective.clusters
        if not kind or self.epoch < self.objective.begins(self.config):
            return [], 0.0
        sets = [torch.cat(self.features)] if kind == "both together" else self.features
        how = {"iterations": self.config.kmeans_iterations, "restarts": self.config.kmeans_restarts}
        found = [[kmeans(x, k, seed=1000 * self.seed + self.epoch, **how) for k in self.counts] for x in sets]
        return found, time.perf_counter() - started

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of clusters; more than one for ProtoNCE and PCS."""
        return self.objective.counts(self.config, self.config.clusters or self.pair.classes)

    @torch.no_grad()
    def momentum_features(self) -> list[torch.Tensor]:
        """Per domain, (N, dim) the momentum encoder's features of the whole pictures."""
        self.momentum.eval()
        return [torch.cat([self.momentum(x) for x in self.views.whole(d)]) for d in BOTH]

    def validate(self) -> float:
        """The released code's score, by labels: mean over both directions of P@k among the training images."""
        scores = self.features[0] @ self.features[1].T
        labels = class_numbers([self.pair.side(d).labels for d in BOTH])
        return precision_at(self.config.score_at, scores.cpu(), labels)

    # ---- state ----

    def embedder(self, name: str, selection: str) -> UcdirEmbedder:
        """The momentum encoder after the last epoch, or in the best epoch by labels."""
        best = selection == BEST_ON_TEST
        epoch, network = self.best_epoch if best else self.epoch, self._network(self.seed, None)
        network.load_state_dict(self.best_keys if best else self._keys_now(), strict=False)
        return UcdirEmbedder(
            encoder=self.encoder,
            network=network.eval().requires_grad_(False),
            pair=self.pair,
            config=self.config,
            history=self.history,
            recorded={n: dict(zip(self.pair.domains, (x.float() for x in kept))) for n, kept in self.recorded.items()},
            epoch=epoch,
            steps=epoch * self.steps_per_epoch,
            seed=self.seed,
            name=name,
            selection=selection,
        )

    def _network(self, seed: int, head: Head | None) -> Network:
        trunk = Standardise(self.encoder.dim) if self.config.trains == "head" else image_tower(self.encoder)
        network = Network(trunk, self.encoder.dim, self.config, seed).to(self.encoder.device)
        if head and self.config.trains == "all":
            network.load_head(head)
        return network

    def _keys_now(self) -> dict[str, torch.Tensor]:
        """The tensors of the momentum encoder that training changes."""
        slow = self.momentum.state_dict()
        return copied({name: slow[name] for name in changing(self.model)})

    def _record(self, epoch: int) -> None:
        """Keep the embeddings of this epoch, in half precision, if it is one of those that are kept."""
        if epoch % self.config.record_every == 0 or epoch == self.config.epochs:
            self.recorded[epoch] = [x.half().cpu() for x in self.features]

    def _check_sizes(self) -> None:
        """CdirError for more clusters than images in a domain."""
        most = max(self.counts) if self.objective.clusters else 0
        together = self.objective.clusters == "both together"
        for domain, size in zip(self.pair.domains, [sum(self.sizes)] * 2 if together else self.sizes):
            if most > size:
                raise CdirError(
                    f"{self.config.objective}: {most} clusters, but {size} training images "
                    f"{'in both domains' if together else f'of {domain}'}: lower `clusters`, or train on more images"
                )
