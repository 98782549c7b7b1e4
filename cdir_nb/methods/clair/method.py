"""CLAIR: CLIP-aided, weakly supervised, zero-shot retrieval between two domains (arXiv 2508.12290).

    pseudo-labels from CLIP  ->  epochs of:  three contrastive losses against banks of the momentum encoder, and L_KL
                                             update of momentum encoder and banks, refinement of pseudo-labels
    Q, which is computed from texts alone, maps the features of the first domain to the second domain.

Image labels are used only by one diagnostic score and by one ablation. Choices that the paper leaves open are settings,
or are noted in the code. Lists with one entry per domain are in the order of `domains`: index 0 is domain A, 1 is
domain B. (N, D) means N images of one domain.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.conventions import BY_PSEUDO_LABELS, BY_SEEN_LABELS
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.zero_shot import prompt_embeddings
from cdir_nb.methods.batches import Batches, domain_batches, pixel_batches, random_view
from cdir_nb.methods.checkpoints import digest_of
from cdir_nb.methods.clair.data import Texts, images_of, split, texts_of
from cdir_nb.methods.clair.losses import Bank, both_domains, inter_cluster_loss, inter_domain_loss, inter_instance_loss
from cdir_nb.methods.clair.mapping import NullSpace, procrustes, text_pairs
from cdir_nb.methods.clair.network import DomainAlignment, domain_alignment
from cdir_nb.methods.clair.pseudo_labels import alignment_loss, assigned, initial_labels, refine
from cdir_nb.methods.clair.settings import ClairSettings
from cdir_nb.methods.training import Numbers, Training, decides, mixed_precision, require_validation
from cdir_nb.methods.two_domains import class_numbers, precision_at, training_set_description

BANK_BATCH = 256
VALIDATION_K = 5  # cut-off of the validation scores; our default


class ClairTraining(Training):
    """The training of CLAIR on unlabelled images of two domains (Figure 2).

    texts        the words of the domains, the class names and the object names
    rows         per domain, (N,) rows of `images` to train on; validation: rows held out
    soft         per domain, (N, K) pseudo-labels
    assigned     per domain, a list of (N,) classes: initially and after each epoch
    banks        per domain, the memory bank: features of the momentum encoder in the shared space
    """

    settings: ClairSettings
    encoder: ClipEncoder
    images: ImageSet
    model: DomainAlignment
    momentum: DomainAlignment
    schedule_each_step = True
    checkpointed = ("soft", "assigned", "validation_labels")

    # ---- network, data and schedule ----

    def build(self) -> DomainAlignment:
        """Build the network and its momentum copy; select training images, without labels, and texts."""
        settings, task = self.settings, self.task
        self.images = images_of(task, self.domains, settings, self.seed)
        self.texts: Texts = texts_of(task, self.domains, settings.class_names)
        count = round(settings.validation_per_class * len(task.seen) / 2)  # half of it in each domain
        rows = [np.flatnonzero(self.images.domains == domain) for domain in self.domains]
        splits = [split(rows[d], count, [self.seed, d]) for d in (0, 1)]
        self.rows, self.validation = [train for train, _ in splits], [held_out for _, held_out in splits]
        self.steps_per_epoch = -(-max(map(len, self.rows)) // settings.batch_size)
        self.momentum = domain_alignment(self.encoder, settings, self.seed).requires_grad_(False)
        return domain_alignment(self.encoder, settings, self.seed)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """SGD with separate learning rates for norms (or the whole image tower), prompts and Q."""
        s = self.settings
        rates = {
            "norms": s.learning_rate_norms,
            "image tower": s.learning_rate_tower,
            "prompts": s.learning_rate_prompts,
            "Q": s.learning_rate_mapping,
        }
        groups = self.parameter_groups({group: {"lr": rate or s.learning_rate} for group, rate in rates.items()})
        return torch.optim.SGD(groups, lr=s.learning_rate, momentum=s.momentum, weight_decay=s.weight_decay)

    def make_schedule(self) -> torch.optim.lr_scheduler.LRScheduler:
        """Cosine decay to 0, advanced after each step."""
        steps = max(1, self.settings.epochs * self.steps_per_epoch)
        return torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps)

    @property
    def patience(self) -> int:
        """The number of epochs without a better score by pseudo-labels after which training stops."""
        return self.settings.patience

    def inputs(self) -> dict[str, str]:
        """Digests of the images, the texts, and the number of classes, on which the validation size depends."""
        texts = [self.texts.words, self.texts.names, self.texts.objects]
        return {**super().inputs(), "texts": digest_of(texts), "classes": str(len(self.task.seen))}

    @cached_property
    def text_features(self) -> list[torch.Tensor]:
        """Per domain, (K, D) features of the class prompts; not computed if a finished training is loaded."""
        words = self.texts.words
        return [prompt_embeddings(self.encoder, self.texts.names, words[d]).to(self.device) for d in self.domains]

    @property
    def train_set(self) -> str:
        """Description of the training data, for records."""
        images = training_set_description(self.encoder, self.images, self.settings.train_images)
        return f"{images}; {len(self.texts.names)} class names"

    def group_of(self, name: str) -> str:
        """Group of a parameter: "Q", "prompts", or "norms" ("image tower" if the tower is not frozen)."""
        if name == "q":
            return "Q"
        if name.endswith("prompts"):
            return "prompts"
        return "norms" if self.settings.freeze else "image tower"

    def stores_snapshot(self, epoch: int) -> bool:
        """True for every epoch if only norms, prompts and Q are trained."""
        return self.settings.freeze

    # ---- an epoch ----

    def start(self) -> None:
        """Compute Q in closed form, pseudo-labels from frozen CLIP (section 4.1), and the initial banks."""
        if self.settings.mapping:
            q = closed_form_mapping(self.encoder, self.texts, self.settings.null_space)
            for network in (self.model, self.momentum):
                network.q.data.copy_(q)
        self.soft = [self._labels_of_clip(self.rows[d], d) for d in (0, 1)]
        self.validation_labels = [assigned(self._labels_of_clip(self.validation[d], d)) for d in (0, 1)]
        self._check_validation()
        self.assigned = [[assigned(soft).cpu()] for soft in self.soft]
        self.fill_banks(self.momentum_features())

    def batches(self) -> Iterator[Batches]:
        """One batch per domain and step; the smaller domain repeats until the larger one is used up."""
        length = max(map(len, self.rows))
        return domain_batches(self.encoder, self.images, self.rows, length, self.settings.batch_size, self.generator)

    def losses(self, batch: Batches) -> dict[str, torch.Tensor]:
        """L_KL, L_II, L_IC, L_ID (equations 2 and 4 to 6), each averaged over both domains.

        L_II needs a second view of each image, and is computed only if its weight is not 0.
        """
        s, views = self.settings, self.views(batch)
        tau, scale = s.temperature, s.scale_kl or s.refinement.scale
        losses: dict[str, list[torch.Tensor]] = {"L_KL": [], "L_II": [], "L_IC": [], "L_ID": []}
        for a, b in ((0, 1), (1, 0)):
            indices, features = batch[a][0].to(self.device), views[0][a]
            labels, bank, other_bank = self.banks[a].labels[indices], self.banks[a], self.banks[b]
            x = self.model.shared(features, a)
            losses["L_KL"].append(alignment_loss(features @ self.text_features[a].T, self.soft[a][indices], scale))
            if s.weight_ii:
                other_view = self.model.shared(views[1][a], a)
                losses["L_II"].append(inter_instance_loss(x, other_view, bank, tau))
            losses["L_IC"].append(inter_cluster_loss(x, labels, bank, tau))
            losses["L_ID"].append(inter_domain_loss(x, labels, other_bank, tau))
        return {name: both_domains(*values) for name, values in losses.items() if values}

    def weights(self) -> Mapping[str, float]:
        """The weights of equation 7."""
        s = self.settings
        return {"L_KL": s.weight_kl, "L_II": s.weight_ii, "L_IC": s.weight_ic, "L_ID": s.weight_id}

    def views(self, batch: Batches) -> list[Sequence[torch.Tensor]]:
        """One or two random views of the batch: for each view, per domain (B, D) unit features before Q.

        All images pass through the network in one batch.
        """
        sizes = [len(indices) for indices, _ in batch]
        pixels = torch.cat([pixels for _, pixels in batch])
        count = 2 if self.settings.weight_ii else 1
        pixels = torch.cat([random_view(pixels, self.generator, self.settings.least_crop) for _ in range(count)])
        with self.mixed():
            features = self.model.image_features(pixels)
        return [view.split(sizes) for view in features.split(sum(sizes))]

    def end_epoch(self) -> Numbers:
        """Update the momentum encoder, the pseudo-labels and the banks, in this order."""
        self.update_momentum(self.settings.encoder_momentum)
        features = self.momentum_features()
        changed = self.refine_labels(features)
        self.fill_banks(features)
        return {"labels changed": changed}

    def refine_labels(self, features: Sequence[torch.Tensor]) -> float:
        """Refine the pseudo-labels with momentum features before Q (section 4.2). Returns the fraction that changed."""
        for d in (0, 1):
            self.soft[d] = refine(self.soft[d], features[d] @ self.text_features[d].T, self.settings.refinement)
            self.assigned[d].append(assigned(self.soft[d]).cpu())
        return float(torch.cat([epochs[-1] != epochs[-2] for epochs in self.assigned]).float().mean())

    @torch.no_grad()
    def fill_banks(self, features: Sequence[torch.Tensor]) -> None:
        """Fill the memory banks: the momentum encoder's feature of every image, with its current class."""
        self.banks = [
            Bank(self.momentum.shared(features[d], d), self.assigned[d][-1].to(self.device), len(self.texts.names))
            for d in (0, 1)
        ]

    def validate(self) -> Numbers:
        """Mean P@5 of both directions on the validation part; without such a part, the last epoch is used.

        The score by pseudo-labels takes frozen CLIP's labels as true. It needs no labels, but may favour states close
        to frozen CLIP (our default; the paper gives no criterion). The score by true labels of seen classes is a
        diagnostic, left out if the images have no such labels.
        """
        if not self.settings.validation_per_class:
            return {}
        features = [self.encode(self.model, rows) for rows in self.validation]
        with torch.no_grad():
            first, second = (self.model.shared(features[d], d) for d in (0, 1))
        scores = first @ second.T
        labels = {BY_PSEUDO_LABELS: self.validation_labels}
        if any(decides(*pair, VALIDATION_K) for pair in permutations(self.true_labels, 2)):
            labels[BY_SEEN_LABELS] = self.true_labels
        return {rule: precision_at(VALIDATION_K, scores, values) for rule, values in labels.items()}

    def _check_validation(self) -> None:
        """Raise CdirError if images are held out, but too few to choose an epoch."""
        per_class = self.settings.validation_per_class
        if per_class:
            remedy = f"train on more images, or set validation_per_class, now {per_class}, to 0"
            require_validation(self, *permutations(self.validation_labels, 2), k=VALIDATION_K, remedy=remedy)

    @cached_property
    def true_labels(self) -> list[torch.Tensor]:
        """The true classes (N,) of each domain's validation images, for the diagnostic score."""
        labels = class_numbers([self.images.labels[rows] for rows in self.validation])
        return [numbers.to(self.device) for numbers in labels]

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`, and compute the banks again."""
        super().restore(state)
        self.assigned = [[labels.cpu() for labels in epochs] for epochs in self.assigned]
        if not self.finished:
            self.fill_banks(self.momentum_features())

    # ---- features ----

    def momentum_features(self) -> list[torch.Tensor]:
        """Per domain, (N, D) the momentum encoder's features of all training images, before Q."""
        return [self.encode(self.momentum, rows) for rows in self.rows]

    @torch.no_grad()
    def encode(self, model: DomainAlignment, rows: np.ndarray) -> torch.Tensor:
        """(N, D) unit features of the images `rows`, before Q."""
        with self.mixed():
            batches = pixel_batches(self.encoder, self.images, rows, BANK_BATCH)
            return torch.cat([model.image_features(batch) for batch in batches])

    def mixed(self) -> AbstractContextManager:
        """Context manager for the precision that the networks run in."""
        return mixed_precision(self.device, self.settings.mixed_precision)

    def embed(self, model: DomainAlignment, images: ImageSet, progress: bool) -> torch.Tensor:
        """(N, D) unit vectors; Q is applied to images of the first domain only.

        As in section 4, E_theta and Q are those of the trained encoder, not of the momentum encoder.
        """
        features = F.normalize(model.encoder.embed_images(images, progress=progress), dim=-1)
        first = torch.from_numpy(images.domains == self.domains[0])
        mapped = model.shared(features.to(self.device), 0).cpu()
        return torch.where(first[:, None], mapped, features)

    def _labels_of_clip(self, rows: np.ndarray, d: int) -> torch.Tensor:
        """(N, K) pseudo-labels from frozen CLIP for images of domain `d`."""
        features = self.encoder.embed_images(self.images.take(rows), progress=False)
        return initial_labels(F.normalize(features, dim=-1).to(self.device), self.text_features[d])


def closed_form_mapping(encoder: ClipEncoder, texts: Texts, null_space: NullSpace = "identity") -> torch.Tensor:
    """(D, D) Q from the first domain to the second, from texts alone (equations 8 and 9); see `procrustes`."""
    first, second = text_pairs(encoder, texts.objects, texts.words).values()
    return procrustes(first, second, null_space)
