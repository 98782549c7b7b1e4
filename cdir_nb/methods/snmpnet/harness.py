"""The trainer of SnMpNet and its baselines: backbone, balanced batches of views, optimiser, and validation on held-out
classes.

    trunk (or its feature maps, if it is frozen)  ->  soft attention  ->  head: losses, and features for retrieval

A method subclasses `HarnessTraining` and names the class of its head, a `network.Head`.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, ClassVar

import numpy as np
import torch

from cdir_nb.conventions import BY_VALIDATION_CLASSES
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders.feature_maps import MapEncoder, map_encoder
from cdir_nb.methods.batches import pixel_batches, seeded
from cdir_nb.methods.checkpoints import digest_of
from cdir_nb.methods.method import ALL_DOMAINS, BACKBONE, LearnsFrom, Method
from cdir_nb.methods.snmpnet.network import Batch, Head, Network, Setup
from cdir_nb.methods.snmpnet.sampling import Epoch, draw_epoch, pool_of, reshuffled, rows_by_domain
from cdir_nb.methods.snmpnet.semantics import class_semantics
from cdir_nb.methods.snmpnet.settings import BY_ENCODER, HEAD_ONLY, HarnessSettings, named_settings
from cdir_nb.methods.snmpnet.task import numbers_of, training_images, validation_images
from cdir_nb.methods.snmpnet.views import epoch_views, inverted_in
from cdir_nb.methods.training import Numbers, Training, mixed_precision, require_validation
from cdir_nb.retrieval import evaluate_embeddings

EMBED_BATCH = 256  # of feature maps; of images: 64
Maps = dict[str, torch.Tensor]  # view -> (S x B, C, P) half-precision maps of an epoch's images


class HarnessTraining(Training):
    """The training of one head on a protocol's training domains.

    head           class of the head; head_options: additional arguments of its constructor
    needs_domain   whether the head uses the domain of an image; it then has no features for unseen domains
    queries        {training domain: images of validation classes}; gallery: the validation gallery
    semantics      the source of the class vectors; vectors: (K, m), those of the seen classes
    """

    similarity = "euclidean"  # section 4.4
    head: ClassVar[type[Head]]
    head_options: ClassVar[Mapping[str, Any]] = {}
    needs_domain = False
    settings: HarnessSettings
    model: Network
    images: ImageSet

    # ---- network, data and schedule ----

    def build(self) -> Network:
        """Build the network; the seed determines the head's initial weights.

        Raises CdirError for an encoder without feature maps, missing class vectors, overlapping splits, a single
        domain, and a batch that cannot be balanced.
        """
        settings = self.settings
        self.encoder = map_encoder(self.encoder, settings.image_size)
        self.images = training_images(self.task, settings, self.seed)
        self.queries, self.gallery = validation_images(self.task, settings)
        self.semantics = class_semantics(settings.semantics, self.task, self.encoder.device)
        self.vectors = self.semantics.of(self.task.seen, unit=settings.unit_semantics)
        self.rows = rows_by_domain(self.images, settings.batch_size)
        self._check_validation()
        self.steps_per_epoch = min(map(len, self.rows)) // (settings.batch_size // len(self.rows))
        self.patience = settings.patience if self.queries else None
        self._pools: dict[int, tuple[Epoch, Maps]] = {}
        self._validation_maps: dict[str, torch.Tensor] = {}
        return self.make_network()

    def make_network(self) -> Network:
        """Trunk, attention and head, with PyTorch's default initialisation."""
        encoder, settings = self.encoder, self.settings
        setup = Setup(encoder.channels, self.vectors, self.train_domains, settings, encoder)
        backbone = None if self.only_head else copy.deepcopy(encoder.model)
        with seeded(self.seed):
            head = self.head(setup, **self.head_options)
            return Network(backbone, encoder.channels, settings.attention_width, head).to(encoder.device)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """SGD with momentum, or Adam."""
        s, parameters = self.settings, self.model.parameters()
        rates: dict[str, Any] = {"lr": s.learning_rate, "weight_decay": s.weight_decay}
        if s.optimizer == "Adam":
            return torch.optim.Adam(parameters, **rates)
        return torch.optim.SGD(parameters, momentum=s.momentum, nesterov=s.nesterov and s.momentum > 0, **rates)

    def make_schedule(self) -> torch.optim.lr_scheduler.LRScheduler:
        """Exponential decay to the minimum learning rate, advanced after each epoch."""
        least = min(1.0, self.settings.least_learning_rate / self.settings.learning_rate)
        epochs = self.settings.decay_epochs
        return torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda epoch: least ** min(1.0, epoch / epochs))

    def inputs(self) -> dict[str, str]:
        """Digests of training images, validation images and class vectors."""
        validation = [images.fingerprint for images in (*self.queries.values(), self.gallery)]
        vectors = digest_of([list(self.task.seen), self.vectors.tolist()])
        return {
            **super().inputs(),
            "validation": digest_of(validation),
            "class vectors": f"{self.semantics.origin} {vectors}",
        }

    @property
    def train_domains(self) -> tuple[str, ...]:
        """The training domains; the position of a domain is its index."""
        return tuple(self.task.train_domains)

    @property
    def only_head(self) -> bool:
        """Whether the trunk is frozen."""
        return self.settings.trains == "head"

    @property
    def recorded_settings(self) -> dict[str, object]:
        """The settings, with the origin of the class vectors (name and digest) in place of a path."""
        return {**super().recorded_settings, "semantics": self.semantics.origin}

    @property
    def train_set(self) -> str:
        """Description of the training images, and of the trained part if only a head was trained."""
        images = f"{len(self.images)} images of {self.task.name}"
        classes = f"{len(self.task.seen)} classes, {', '.join(self.train_domains)}"
        return f"{images}: {classes}" + (f"; {HEAD_ONLY}" if self.only_head else "")

    @property
    def directions(self) -> tuple[tuple[str, str], ...] | None:
        """None (any direction); only directions between training domains if the head uses the domain."""
        return tuple(permutations(self.train_domains, 2)) if self.needs_domain else None

    def group_of(self, name: str) -> str:
        """Group of a parameter: "trunk", "attention" or "head"."""
        return name.partition(".")[0]

    def stores_snapshot(self, epoch: int) -> bool:
        """With a frozen trunk, the head is stored after epochs 0, 1, 2, 4, 8, ..."""
        return self.only_head and epoch & (epoch - 1) == 0

    # ---- an epoch ----

    def release(self) -> None:
        """Delete the feature maps from memory."""
        self._pools.clear()
        self._validation_maps.clear()

    def start(self) -> None:
        """Standardise a frozen trunk's channels."""
        if self.only_head:
            _, maps = self.pool(0)
            self.model.standardise(maps[self.model.head.views[0]])

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of an epoch: new views, or with a frozen trunk the feature maps of a pool of views."""
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.only_head:
            epoch, maps = self.pool(pool_of(self.epoch, self.settings))
            positions = torch.from_numpy(reshuffled(epoch, len(self.rows), rng))
            inputs = self._pool_batches(maps, positions)
        else:
            epoch = self._draw(self.epoch)
            positions = torch.arange(epoch.rows.size).view(epoch.rows.shape)
            inputs = self._pixel_batches(epoch)
        rows, partners, ratio, shuffles = (
            torch.from_numpy(x.ravel()) for x in (epoch.rows, epoch.partners, epoch.ratio, epoch.shuffles)
        )
        labels = numbers_of(self.images.labels, self.task.seen)
        columns = {
            "labels": labels[rows],
            "other_labels": labels[partners],
            "ratio": ratio.float(),
            "domains": numbers_of(self.images.domains, self.train_domains)[rows],
            "shuffles": shuffles,
        }
        for step, views in zip(positions, inputs):
            yield Batch(views, rng=rng, **{name: column[step].to(self.device) for name, column in columns.items()})

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The head's losses, computed from the pooled features of each view that the head needs."""
        with mixed_precision(self.device, self.settings.mixed_precision):
            maps = {view: self.model.maps(x).float() for view, x in batch.inputs.items()}
        pooled = {view: self.model.attention(x) for view, x in maps.items()}
        return self.model.head.losses(pooled, batch)

    def pool(self, number: int) -> tuple[Epoch, Maps]:
        """The views of pool `number`, and their feature maps, which are computed only once for each pool."""
        if number not in self._pools:
            epoch = self._draw(number)
            views = {view: self._views(epoch, view, number) for view in self.model.head.views}
            maps = {view: frozen_maps(self.encoder, images, self.progress) for view, images in views.items()}
            self._pools[number] = epoch, maps
        return self._pools[number]

    def _draw(self, number: int) -> Epoch:
        return draw_epoch(self.rows, number, self.settings, np.random.default_rng([self.seed, number, 1]))

    def _views(self, epoch: Epoch, view: str, number: int) -> ImageSet:
        return epoch_views(self.images, epoch, view, self.settings, seed=self.seed, number=number)

    def _pool_batches(self, maps: Maps, positions: torch.Tensor) -> Iterator[Maps]:
        """For each step, view -> (B, C, P) maps on the device."""
        for step in positions:
            yield {view: x.index_select(0, step).to(self.device).float() for view, x in maps.items()}

    def _pixel_batches(self, epoch: Epoch) -> Iterator[dict[str, torch.Tensor]]:
        """For each step, view -> (B, 3, H, W) pixels on the device."""
        names, (steps, size) = self.model.head.views, epoch.rows.shape
        view_sets = [self._views(epoch, view, self.epoch) for view in names]
        streams = [pixel_batches(self.encoder, images, range(steps * size), size) for images in view_sets]
        for pixels in zip(*streams):
            yield dict(zip(names, pixels))

    # ---- validation and retrieval ----

    def validate(self) -> Numbers:
        """mAP@200 (over_found) on the validation classes, as the mean over the training domains of the queries."""
        if not self.queries:
            return {}
        gallery, scores = self._validation_features("gallery", self.gallery), []
        options: dict[str, Any] = {"similarity": self.similarity, "ks": (), "ap_ks": (200,)}
        for domain, images in self.queries.items():
            queries = self._validation_features(domain, images)
            results = evaluate_embeddings(queries, gallery, images.labels, self.gallery.labels, **options)
            scores += [result.mean for result in results if result.convention == "over_found"]
        return {BY_VALIDATION_CLASSES: sum(scores) / len(scores)}

    def _check_validation(self) -> None:
        """Raise CdirError if the protocol has validation classes whose images are too few to choose an epoch."""
        if classes := self.task.validation:
            parts = [(images.labels, self.gallery.labels) for images in self.queries.values()]
            remedy = f"give images of more than {len(classes)} validation classes, or a protocol without any"
            require_validation(self, *parts, remedy=remedy)

    def _validation_features(self, name: str, images: ImageSet) -> torch.Tensor:
        if self.only_head and name not in self._validation_maps:
            self._validation_maps[name] = frozen_maps(self.encoder, images, self.progress)
        self.model.eval()
        return embedded(self.model, images, self.train_domains, self.encoder, self._validation_maps.get(name))

    def embed(self, model: Network, images: ImageSet, progress: bool) -> torch.Tensor:
        """(N, m) features, not normalised; compare them by Euclidean distance (section 4.4)."""
        images = inverted_in(images, self.settings.invert)
        maps = frozen_maps(self.encoder, images, progress) if self.only_head else None
        return embedded(model, images, self.train_domains, self.encoder, maps)


@torch.no_grad()
def embedded(
    model: Network, images: ImageSet, domains: Sequence[str], encoder: MapEncoder, maps: torch.Tensor | None
) -> torch.Tensor:
    """(N, m) float32 retrieval features on the CPU.

    maps  (N, C, P) feature maps of a frozen trunk; None: features are computed from pixels
    """
    numbers = numbers_of(images.domains, domains).to(encoder.device)
    size = 64 if maps is None else EMBED_BATCH
    batches = pixel_batches(encoder, images, range(len(images)), size) if maps is None else maps.split(size)
    features = [model(x.to(encoder.device).float(), d).float().cpu() for x, d in zip(batches, numbers.split(size))]
    return torch.cat(features)


def frozen_maps(encoder: MapEncoder, images: ImageSet, progress: bool = True) -> torch.Tensor:
    """(N, C, P) half-precision feature maps, read from the cache if available."""
    return encoder.embed_images(images, progress=progress).half().unflatten(1, (encoder.channels, encoder.places))


def method_row(
    name: str,
    paper: str,
    training: type[HarnessTraining],
    *more: LearnsFrom,
    settings: type[HarnessSettings] = HarnessSettings,
    released: Mapping[str, Any] | None = None,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> Method:
    """The row in `METHODS` of a method that uses this trainer.

    more      training data besides images and labels
    released  settings of the method's released code, in addition to those of all methods of this trainer
    """
    return Method(
        name=name,
        paper=paper,
        build=training,
        settings=settings,
        learns_from=("images", "labels", *more),
        fitted_for=ALL_DOMAINS,
        encoders=BACKBONE,
        variants=variants or {},
        named=named_settings(settings, **released or {}),
        for_encoder=BY_ENCODER,
    )
