"""The trainer of UCDIR and its baselines: network, memory, clusters, and two views of each image.

    memory of every image, by a momentum encoder  ->  epochs of:  k-means in each domain, if a loss needs it
                                                                  steps on two views of each image: loss, update of the
                                                                  momentum encoder, and of the memory
Training uses no labels. The released code selects the best epoch by a score that uses labels; this does not affect
training.
A method subclasses `TwoDomainTraining` and implements `terms`: the value of each of its losses in a step.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.conventions import BEST_ON_TEST, BY_SEEN_LABELS
from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError
from cdir_nb.methods.batches import random_order
from cdir_nb.methods.method import PAIR, Method
from cdir_nb.methods.training import Numbers, Training, decides, trainable_parameters
from cdir_nb.methods.trunks import ImageTower, Standardise
from cdir_nb.methods.two_domains import (
    class_numbers,
    drawn_rows,
    precision_at,
    training_images,
    training_set_description,
)
from cdir_nb.methods.ucdir.clusters import Clusters, kmeans
from cdir_nb.methods.ucdir.network import Network, keys
from cdir_nb.methods.ucdir.settings import BY_ENCODER, MomentumSettings, TwoDomainSettings
from cdir_nb.methods.ucdir.views import CachedViews, Inputs, PixelViews, at_size

EMBED_BATCH = 1024
SMALLEST_SPREAD = 1e-6
BOTH = (0, 1)  # the indices of the two domains
Clustered = Literal["each domain", "both together", ""]
Terms = dict[str, list[torch.Tensor]]  # name of a loss: its value for each domain (or each pair of domains)


@dataclass(frozen=True)
class Step:
    """One batch of each of two domains; lists have one entry per domain.

    q, k      (B, D) unit features of two views, from the trained encoder and the momentum encoder; a method that
              overrides `see` may return other features as k
    ids       (B,) rows of the bank
    banks     (N, D) the memory of momentum features, which already contains the keys k
    clusters  per domain, Clusters of increasing K; one entry if both domains are clustered together; empty before the
              first k-means
    """

    q: list[torch.Tensor]
    k: list[torch.Tensor]
    ids: list[torch.Tensor]
    banks: list[torch.Tensor]
    clusters: list[list[Clusters]]

    def together(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """q (2B, D), bank (N_A + N_B, D) and ids (2B,) of both domains, concatenated as one domain."""
        ids_a, ids_b = self.ids
        return torch.cat(self.q), torch.cat(self.banks), torch.cat([ids_a, ids_b + len(self.banks[0])])


class TwoDomainTraining(Training):
    """A training run of UCDIR, or of another method that uses its trainer.

    A subclass implements `terms`, and may override:

    clustered        the input of k-means: "each domain", "both together", or "" for a method without clusters
    weights          the weight of each term in an epoch
    make_momentum    returns the momentum encoder, or None; a method without it must also override `see`

    Two settings are optional: `granularity`, the numbers of clusters in multiples of K, one for each level (default:
    one level with K), and `cluster_from`, the first epoch (from 0) with clusters (default: 0).
    """

    clustered: Clustered = ""
    checkpointed = ("banks", "features")
    settings: MomentumSettings
    model: Network
    momentum: Network | None
    images: ImageSet

    def terms(self, step: Step) -> Terms:
        """The values of each loss; losses that need clusters are left out before the first clustering."""
        raise NotImplementedError(f"{type(self).__name__} has no terms(step)")

    # ---- network, data and schedule ----

    def build(self) -> Network:
        """Build the network and its momentum copy, and select the training images of both domains."""
        settings = self.settings
        self.encoder = at_size(self.encoder, settings.image_size)
        images = training_images(self.task, self.domains)
        rows = np.sort(np.concatenate(drawn_rows(images, self.domains, settings.train_images, self.seed)))
        self.images = images.take(rows)
        self.sizes = [len(domain_images) for domain_images in self.by_domain]
        self._check_counts()
        self.batch_size = min(settings.batch_size, max(self.sizes))
        self.steps_per_epoch = max(1, max(self.sizes) // settings.batch_size)
        self.momentum = self.make_momentum()
        return self.make_network()

    def make_network(self) -> Network:
        """A network whose head is initialised at random from the seed, or is that of a MoCo v2 checkpoint."""
        trunk = Standardise(self.encoder.dim) if self.only_head else ImageTower(self.encoder)
        network = Network(trunk, self.encoder.dim, self.settings, self.seed).to(self.encoder.device)
        head = getattr(self.encoder.built, "head", None)
        if head and not self.only_head:  # the checkpoint's head does not fit standardised features
            network.load_head(head)
        return network

    def make_momentum(self) -> Network | None:
        """The momentum copy of the network."""
        return self.make_network().requires_grad_(False)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """SGD with momentum and weight decay."""
        s = self.settings
        parameters = trainable_parameters(self.model).values()
        return torch.optim.SGD(parameters, lr=s.learning_rate, momentum=s.momentum, weight_decay=s.weight_decay)

    def make_schedule(self) -> torch.optim.lr_scheduler.LRScheduler | None:
        """Cosine decay to 0, advanced after each epoch."""
        return torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, self.settings.epochs)

    def inputs(self) -> dict[str, str]:
        """Digests of the images and of the number of classes, which determines the number of clusters."""
        return {**super().inputs(), "classes": str(self.classes)}

    @property
    def only_head(self) -> bool:
        """Whether the trunk is frozen."""
        return self.settings.trains == "head"

    @cached_property
    def by_domain(self) -> list[ImageSet]:
        """The training images of the first and of the second domain."""
        return [self.images.select(domain) for domain in self.domains]

    @property
    def classes(self) -> int:
        """K, the number of training classes; their names and labels are not used."""
        return len(self.task.seen)

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of clusters of each level."""
        multiples = getattr(self.settings, "granularity", (1,))
        return tuple((self.settings.clusters or self.classes) * multiple for multiple in multiples)

    @cached_property
    def views(self) -> CachedViews | PixelViews:
        """The source of the views; created on first use, and not at all if a finished training is loaded."""
        if self.only_head:
            return CachedViews(self.encoder, self.by_domain, self.settings.views, progress=self.progress)
        return PixelViews(self.encoder, self.by_domain)

    @property
    def train_set(self) -> str:
        """Description of the training images and of the trained part, for records."""
        part = "head only, frozen trunk" if self.only_head else "whole network"
        return f"{training_set_description(self.encoder, self.images, self.settings.train_images)}; {part}"

    @property
    def evaluated(self) -> Network:
        """The momentum encoder, as in UCDIR's released code; the trained network for a method without one."""
        return self.model if self.momentum is None else self.momentum

    def stores_snapshot(self, epoch: int) -> bool:
        """If only a head is trained, it is stored every `snapshot_every` epochs and after the last epoch."""
        due = epoch % self.settings.snapshot_every == 0 or epoch == self.settings.epochs
        return due and self.only_head

    def _check_counts(self) -> None:
        """Raise CdirError for fewer than two classes, and for more clusters than images."""
        if self.classes < 2:
            raise CdirError(f"{self.name} needs at least two classes (K = {self.classes}): choose another task")
        if not self.clustered:
            return
        sets = {f"of {domain}": size for domain, size in zip(self.domains, self.sizes)}
        if self.clustered == "both together":
            sets = {"in both domains": sum(self.sizes)}
        for name, size in sets.items():
            if max(self.counts) > size:
                raise CdirError(
                    f"{self.name}: {max(self.counts)} clusters, but {size} training images {name}: "
                    "lower `clusters`, or train on more images"
                )

    # ---- an epoch ----

    def start(self) -> None:
        """Standardise the features of a frozen trunk; fill the memory with the evaluated network's features."""
        if isinstance(self.views, CachedViews):
            features = torch.cat(self.views.whole_images)
            for network in (self.model, self.evaluated):
                network.trunk.set(features.mean(dim=0), features.std(dim=0).clamp(min=SMALLEST_SPREAD))
        self.features = self.whole_features()
        self.banks = [x.clone() for x in self.features]

    def batches(self) -> Iterator[Inputs]:
        """Yield one batch per domain and step, after k-means on the features of the previous epoch."""
        started = time.perf_counter()
        self.clusters = self.cluster()
        self._cluster_seconds = time.perf_counter() - started
        self.evaluated.train()
        length = self.steps_per_epoch * self.batch_size
        orders = [random_order(size, length, self.generator) for size in self.sizes]
        return self.views.epoch(orders, self.batch_size, self.generator)

    def losses(self, batch: Inputs) -> dict[str, torch.Tensor]:
        """The value of each term, reduced to a scalar."""
        return {name: self.reduce(values) for name, values in self.terms(self.see(batch)).items()}

    def reduce(self, values: list[torch.Tensor]) -> torch.Tensor:
        """The mean of a term over the domains."""
        return torch.stack(values).mean()

    def see(self, inputs: Inputs) -> Step:
        """Compute the features of both views: queries, then after a momentum update the keys, which enter the memory.

        The order is that of the released code. Both domains pass through a network in one batch.
        """
        ids, queries, key_inputs = inputs
        sizes = [len(rows) for rows in ids]
        q = self.model(queries)
        self.update_momentum(self.settings.encoder_momentum)
        split = self.settings.key_norm == "split" and not self.only_head
        k = keys(self.evaluated, key_inputs, split=split, generator=self.generator)
        for bank, rows, domain_keys in zip(self.banks, ids, k.split(sizes)):
            bank[rows] = domain_keys
        return Step(list(q.split(sizes)), list(k.split(sizes)), ids, self.banks, self.clusters)

    def end_epoch(self) -> Numbers:
        """Compute the features of all images for the next clustering and the score."""
        self.features = self.whole_features()
        return {"k-means seconds": self._cluster_seconds}

    def cluster(self) -> list[list[Clusters]]:
        """K-means on the features of all images; empty if no loss needs clusters in this epoch."""
        if not self.clustered or self.epoch < getattr(self.settings, "cluster_from", 0):
            return []
        s, seed = self.settings, 1000 * self.seed + self.epoch
        options: dict[str, int] = {"iterations": s.kmeans_iterations, "restarts": s.kmeans_restarts, "seed": seed}
        sets = [torch.cat(self.features)] if self.clustered == "both together" else self.features
        return [[kmeans(features, count, **options) for count in self.counts] for features in sets]

    @torch.no_grad()
    def whole_features(self) -> list[torch.Tensor]:
        """Per domain, the evaluated network's features (N, dim) of the unaugmented images."""
        network = self.evaluated.eval()
        return [torch.cat([network(x) for x in self.views.whole(d)]) for d in BOTH]

    # ---- selection and retrieval ----

    def validate(self) -> Numbers:
        """The released code's score, which uses labels: P@k among the training images, mean over both directions.

        If every ranking has the same score (images without labels, or at most k of them), it is left out, and only the
        last epoch is used.
        """
        scores = self.features[0] @ self.features[1].T
        labels = class_numbers([images.labels for images in self.by_domain])
        if not any(decides(*pair, self.settings.score_at) for pair in permutations(labels, 2)):
            return {}
        rule = BY_SEEN_LABELS if self.task.zero_shot else BEST_ON_TEST  # a closed set is tested on its training images
        return {rule: precision_at(self.settings.score_at, scores.cpu(), labels)}

    def embed(self, model: Network, images: ImageSet, progress: bool) -> torch.Tensor:
        """(N, dim) unit vectors, as in the released code's evaluation."""
        device = self.encoder.device
        if self.only_head:
            features = self.encoder.embed_images(images, progress=progress)
            return torch.cat([model(batch.to(device)).cpu() for batch in features.split(EMBED_BATCH)])
        features = model.trunk.as_encoder(self.encoder).embed_images(images, progress=progress).to(device)
        return F.normalize(model.head(features), dim=1).cpu()


def method_row(
    name: str,
    paper: str,
    training: type[TwoDomainTraining],
    settings: type[TwoDomainSettings],
    named: Mapping[str, TwoDomainSettings],
    **more: Any,
) -> Method:
    """The row in `METHODS` of a method that uses this trainer; more: further fields of `Method`."""
    row: dict[str, Any] = {"learns_from": ("images",), "fitted_for": PAIR, "for_encoder": BY_ENCODER, **more}
    return Method(name, paper, training, settings, named=named, **row)
