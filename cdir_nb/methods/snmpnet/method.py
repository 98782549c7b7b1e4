"""SnMpNet: retrieval of unseen classes from unseen domains (Paul, Dutta and Biswas, ICCV 2021).

A backbone with soft attention maps an image of any domain near the vector of its class. It learns from mixtures of two
images, of one domain or of two, whose shares it predicts. The trainer takes any head (see `network`), so that the
baselines have the same backbone, sampler, steps, stopping and evaluation.
"""

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from cdir_nb.conventions import BY_VALIDATION_CLASSES, LAST_EPOCH
from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ImageEncoder
from cdir_nb.encoders.feature_maps import MapEncoder, map_encoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.checkpoints import digest_of, kept_in_cache, load_checkpoint, save_checkpoint
from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.snmpnet.head import SnMpNetHead
from cdir_nb.methods.snmpnet.network import Network
from cdir_nb.methods.snmpnet.semantics import Semantics
from cdir_nb.methods.snmpnet.settings import HEAD_ONLY, SnMpNetConfig
from cdir_nb.methods.snmpnet.task import TrainingTask, training_task
from cdir_nb.methods.snmpnet.trainer import MakeHead, SnMpNetTraining, embedded, frozen_maps
from cdir_nb.methods.snmpnet.views import inverted_in
from cdir_nb.methods.training import Numbers, moved_until

CODE_VERSION = 1  # increase it when training changes: old checkpoints are then ignored


@dataclass(frozen=True)
class SnMpNetEmbedder(Embedder):
    """A trained network of the harness: SnMpNet, an ablation, or a baseline.

    encoder    the backbone that it began with; semantics: where the class vectors come from
    config, task, network, history; chosen: the epoch of the state; snapshots: states after some epochs, for `at_epoch`
    """

    encoder: MapEncoder
    config: SnMpNetConfig
    task: TrainingTask
    network: Network = field(repr=False)
    history: list[Numbers] = field(repr=False)
    semantics: str
    name: str = "SnMpNet"
    seed: int = 0
    chosen: int = 0
    steps: int = 0
    selection: str = LAST_EPOCH
    snapshots: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict, repr=False)

    similarity = "euclidean"

    @property
    def settings(self) -> dict[str, Any]:
        """Settings and class vectors as plain data, for the digest in records."""
        return {**self.config.plain(), "semantics": self.semantics}

    @property
    def train_set(self) -> str:
        """What it was trained on, and whether only heads were trained."""
        return self.task.in_words + (f"; {HEAD_ONLY}" if self.config.trains == "head" else "")

    @property
    def moved(self) -> Numbers:
        """How far the trained parameters moved from their start."""
        return moved_until(self.chosen, self.history)

    def embed(self, images: ImageSet, *, progress: bool = True) -> torch.Tensor:
        """(N, m) features, not normalised; compare them by Euclidean distance (section 4.4)."""
        images = inverted_in(images, self.config.invert)
        maps = frozen_maps(self.encoder, images, progress) if self.network.trunk is None else None
        return embedded(self.network, images, self.task.domains, self.encoder, maps)

    def at_epoch(self, epoch: int) -> "SnMpNetEmbedder":
        """The same training after an earlier epoch, one of `snapshots`. Raises CdirError for another one."""
        if epoch not in self.snapshots:
            kept = ", ".join(map(str, self.snapshots)) or "none"
            raise CdirError(f"{self.name}: the state after epoch {epoch} was not kept; kept: {kept}")
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.snapshots[epoch])
        steps = self.steps // max(self.chosen, 1) * epoch
        return replace(self, network=network, chosen=epoch, steps=steps)


def fit(
    encoder: ImageEncoder,
    task: Protocol,
    semantics: Semantics,
    config: SnMpNetConfig | None = None,
    *,
    make_head: MakeHead = SnMpNetHead,
    name: str = "SnMpNet",
    train_images: int = 0,
    seed: int = 0,
    progress: bool = True,
) -> SnMpNetEmbedder:
    """Train on a protocol's seen classes and domains; the state with the best score on validation classes is kept.

    encoder       a convolutional backbone: timm:legacy_seresnet50 in the paper, mobilenet-v2 on two cores
    semantics     vectors of the seen classes; those of unseen classes are never read
    make_head     of a baseline, see `baselines`; name: of the method in records
    train_images  how many images of each class and domain, 0: all
    A finished training is read from the cache. Raises CdirError for an encoder without feature maps, missing class
    vectors, splits that overlap, one domain only, or a batch that cannot be balanced.
    """
    config = config or SnMpNetConfig()
    maps, own = map_encoder(encoder, config.side), training_task(task, config, train_images=train_images, seed=seed)
    vectors = semantics.of(own.classes, unit=config.unit_semantics)
    training = SnMpNetTraining(maps, own, vectors, config, make_head, seed, progress)
    made_of = {
        "model": maps.identity,
        "images": own.images.fingerprint,
        "validation": digest_of([images.fingerprint for images in (*own.queries.values(), own.gallery)]),
        "class vectors": f"{semantics.origin} {digest_of([list(own.classes), vectors.tolist()])}",
        "settings": digest_of(config.plain()),
        "head": f"{make_head.__module__}.{make_head.__qualname__}",
        "seed": str(seed),
        "version": str(CODE_VERSION),
    }
    _train(training, made_of, name, progress)
    return SnMpNetEmbedder(
        encoder=maps,
        config=config,
        task=own,
        network=training.load_best(),
        history=training.history,
        semantics=semantics.origin,
        name=name,
        seed=seed,
        chosen=training.best_epoch,
        steps=training.best_epoch * training.steps_per_epoch,
        selection=BY_VALIDATION_CLASSES if own.queries else LAST_EPOCH,
        snapshots=training.snapshots,
    )


def _train(training: SnMpNetTraining, made_of: dict[str, str], name: str, progress: bool) -> None:
    """Run a training, or read it from the cache. Epochs of heads take less time than writing a checkpoint of each."""
    file = kept_in_cache("snmpnet", made_of)
    if training.config.trains == "all":
        return training.run(made_of, file, label=name, progress=progress)
    state = load_checkpoint(file, made_of, training.device)
    if state:
        return training.restore(state)
    training.run(made_of, None, label=name, progress=progress)
    return save_checkpoint(file, made_of, training.state())
