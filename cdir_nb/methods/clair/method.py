"""CLAIR: CLIP-aided, weakly supervised, zero-shot retrieval between two domains (arXiv 2508.12290).

    pseudo-labels from CLIP  ->  epochs of:  three contrastive losses against banks of the momentum encoder, and L_KL
                                             momentum encoder and banks renewed, pseudo-labels refined
    and Q, worked out from texts alone, carries the first domain's features into the second's all the while.

No image's label is read, but by one diagnostic setting. What the paper leaves open is a setting of `ClairConfig`, or
said where it matters.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.conventions import BY_SEEN_LABELS, LAST_EPOCH
from cdir_nb.encoders import ClipEncoder
from cdir_nb.methods.batches import Batches, domain_batches, pixel_batches, random_view
from cdir_nb.methods.clair.embedder import ClairEmbedder, DomainAlignment
from cdir_nb.methods.clair.losses import (
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
from cdir_nb.methods.clair.state import made_of
from cdir_nb.methods.frozen.zero_shot import prompt_embeddings
from cdir_nb.methods.memory import Bank
from cdir_nb.methods.training import Numbers, Training, mixed_precision, trained, update_momentum

LOSSES = ("L_KL", "L_II", "L_IC", "L_ID")
BANK_BATCH = 256


def fit(
    encoder: ClipEncoder,
    pair: Pair,
    config: ClairConfig | None = None,
    *,
    name: str = "CLAIR",
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: bool = True,
) -> ClairEmbedder:
    """CLAIR on the unlabelled images of two domains (Figure 2).

    name        of the variant, for records
    checkpoint  a file that keeps the state of every epoch; where it is there already the training goes on from it.
                `clair.state.kept_at` names one in the cache.
    Raises CdirError: prompts for a tower without tokens, a checkpoint of another model, pair or config.
    """
    config = config or ClairConfig()
    training = ClairTraining(encoder, pair, config, seed)
    label = f"CLAIR {'-'.join(pair.domains)}"
    training.run(made_of(encoder, pair, config, seed), checkpoint, label=label, progress=progress)
    return training.embedder(name)


class ClairTraining(Training):
    """What is CLAIR's own in a training: its networks, pseudo-labels and banks, and what an epoch and a step do."""

    score_name = "validation P@5"
    kept = ("soft", "assigned", "validation_labels")

    def __init__(self, encoder: ClipEncoder, pair: Pair, config: ClairConfig, seed: int) -> None:
        self.encoder, self.pair, self.config = encoder, pair, config
        self.rows, self.validation = zip(*(pair.split(d, config.validation_per_class, seed) for d in pair.domains))
        steps = -(-max(map(len, self.rows)) // config.batch_size)
        model, momentum = _model(encoder, config, seed), _model(encoder, config, seed).requires_grad_(False)
        optimizer = torch.optim.SGD(
            self._groups(model), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
        super().__init__(
            model,
            optimizer,
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, config.epochs * steps)),
            momentum=momentum,
            epochs=config.epochs,
            steps_per_epoch=steps,
            patience=config.patience,
            seed=seed,
            device=encoder.device,
        )

    @cached_property
    def texts(self) -> list[torch.Tensor]:
        """(K, D) class prompts of each domain; a finished training that is read back never asks for them."""
        words = [self.pair.words[domain] for domain in self.pair.domains]
        return [prompt_embeddings(self.encoder, self.pair.names, word).to(self.device) for word in words]

    def start(self) -> None:
        """Q in closed form, pseudo-labels from frozen CLIP (section 4.1), the first banks."""
        if self.config.mapping:
            q = closed_form_mapping(self.encoder, self.pair)
            self.model.q.data.copy_(q), self.momentum.q.data.copy_(q)
        self.soft = [initial_labels(self._frozen(rows), texts) for rows, texts in zip(self.rows, self.texts)]
        self.validation_labels = (
            self._true_labels()
            if self.config.selection == BY_SEEN_LABELS
            else [
                assigned(initial_labels(self._frozen(rows), texts)) for rows, texts in zip(self.validation, self.texts)
            ]
        )
        self.assigned = [[assigned(soft).cpu()] for soft in self.soft]
        self.renew_banks(self.momentum_features())

    def run_epoch(self, generator: torch.Generator, tick: Callable[[], Any]) -> Numbers:
        """Steps of SGD; then momentum encoder, pseudo-labels and banks are renewed, in this order."""
        sums = torch.zeros(len(LOSSES) + 1)
        for batches in self.batches(generator):
            sums += self.step(batches, generator)
            tick()
        update_momentum(self.momentum, self.model, self.config.encoder_momentum)
        raw = self.momentum_features()
        changed = self.renew_labels(raw)
        self.renew_banks(raw)
        means = dict(zip((*LOSSES, "L_total"), (sums / self.steps_per_epoch).tolist()))
        return {**means, "labels changed": changed}

    def step(self, batches: Batches, generator: torch.Generator) -> torch.Tensor:
        """One step of SGD on a batch of each domain; (5,) its losses and their weighted sum (equation 7)."""
        losses = self.losses(batches, generator)
        c = self.config
        total = total_loss(losses, (c.weight_kl, c.weight_ii, c.weight_ic, c.weight_id))
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        self.schedule.step()
        return torch.stack([loss.detach().cpu() for loss in (*losses, total)])

    def losses(self, batches: Batches, generator: torch.Generator) -> list[torch.Tensor]:
        """L_KL, L_II, L_IC, L_ID (equations 2 and 4 to 6), each the mean of both domains."""
        parts = self.views(batches, generator)
        each = [self.losses_of(side, rows.to(self.device), parts[side::2]) for side, (rows, _) in enumerate(batches)]
        return [both_domains(first, second) for first, second in zip(*each)]

    def views(self, batches: Batches, generator: torch.Generator) -> Sequence[torch.Tensor]:
        """(B, D) unit features of random views of both domains' batches, before Q: first and second domain, and both
        again from other views where L_II asks for a second one."""
        views = 2 if self.config.weight_ii else 1
        pixels = torch.cat([pixels for _, pixels in batches])
        pixels = torch.cat([random_view(pixels, generator, self.config.least_crop) for _ in range(views)])
        with self.mixed():
            return self.model.image_features(pixels).split([len(rows) for rows, _ in batches] * views)

    def losses_of(self, side: int, rows: torch.Tensor, views: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The four losses of one domain, from one or two views (B, D) of its images `rows` (B,)."""
        tau, scale = self.config.temperature, self.config.scale_kl or self.config.refinement.scale
        x, *second_view = (self.model.shared(view, side) for view in views)
        bank, other_bank = self.banks[side], self.banks[1 - side]
        labels = bank.labels[rows]
        return (
            alignment_loss(views[0] @ self.texts[side].T, self.soft[side][rows], scale),
            inter_instance_loss(x, *second_view, bank, tau) if second_view else x.new_zeros(()),
            inter_cluster_loss(x, labels, bank, tau),
            inter_domain_loss(x, labels, other_bank, tau),
        )

    def renew_labels(self, raw: Sequence[torch.Tensor]) -> float:
        """Refine the pseudo-labels against (N, D) momentum features (section 4.2); the share that changes class."""
        for side, (x, texts) in enumerate(zip(raw, self.texts)):
            self.soft[side] = refine(self.soft[side], x @ texts.T, self.config.refinement)
            self.assigned[side].append(assigned(self.soft[side]).cpu())
        return float(torch.cat([epochs[-1] != epochs[-2] for epochs in self.assigned]).float().mean())

    @torch.no_grad()
    def renew_banks(self, raw: Sequence[torch.Tensor]) -> None:
        """Memory banks: what the momentum encoder makes of every image, with the class assigned to it now."""
        shared = [self.momentum.shared(x, side) for side, x in enumerate(raw)]
        self.banks = [
            Bank(x, epochs[-1].to(self.device), len(self.pair.names)) for x, epochs in zip(shared, self.assigned)
        ]

    def validate(self) -> float:
        """Mean P@5 of both directions on the validation part, judged by frozen CLIP's pseudo-labels: no label is read,
        but a state near frozen CLIP may be favoured (our default; the paper does not say what it stops by). As a
        diagnostic, true labels of the seen classes may judge instead (`selection`).

        nan where no image is set aside, or nothing is to be selected: then the last epoch counts.
        """
        if self.config.selection == LAST_EPOCH or not all(map(len, self.validation)):
            return float("nan")
        features = [self.encode(self.model, rows) for rows in self.validation]
        with torch.no_grad():
            first, second = (self.model.shared(x, side) for side, x in enumerate(features))
        labels = self.validation_labels
        return 0.5 * (_precision_at_5(first @ second.T, *labels) + _precision_at_5(second @ first.T, *labels[::-1]))

    def group_of(self, name: str) -> str:
        """Q, prompts, norms; without freezing norms are a part of the image tower."""
        if name == "q":
            return "Q"
        return "prompts" if name.endswith("prompts") else "norms" if self.config.freeze else "image tower"

    def embedder(self, name: str) -> ClairEmbedder:
        """The state that was best on validation."""
        labels = {d: torch.stack(epochs).numpy() for d, epochs in zip(self.pair.domains, self.assigned)}
        return ClairEmbedder(
            model=self.load_best(),
            pair=self.pair,
            config=self.config,
            labels=labels,
            train=dict(zip(self.pair.domains, self.rows)),
            history=self.history,
            chosen=self.best_epoch,
            steps=self.best_epoch * self.steps_per_epoch,
            encoder=self.encoder,
            seed=self.seed,
            name=name,
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`; the banks are made again, since they follow from the momentum encoder."""
        super().restore(state)
        self.assigned = [[labels.cpu() for labels in epochs] for epochs in self.assigned]
        if not self.finished:
            self.renew_banks(self.momentum_features())

    def batches(self, generator: torch.Generator) -> Any:
        """A batch of each domain per step; the smaller domain comes round again until the larger one is through."""
        length, size = max(map(len, self.rows)), self.config.batch_size
        return domain_batches(self.encoder, self.pair.images, self.rows, length, size, generator)

    def momentum_features(self) -> list[torch.Tensor]:
        """(N, D) what the momentum encoder makes of all training images of each domain, before Q."""
        return [self.encode(self.momentum, rows) for rows in self.rows]

    @torch.no_grad()
    def encode(self, model: DomainAlignment, rows: np.ndarray) -> torch.Tensor:
        """(N, D) unit features of rows, before Q."""
        with self.mixed():
            pixels = pixel_batches(self.encoder, self.pair.images, rows, BANK_BATCH)
            parts = [model.image_features(batch) for batch in pixels]
        return torch.cat(parts) if parts else torch.empty(0, self.encoder.dim, device=self.device)

    def mixed(self) -> Any:
        """The precision that the networks run in, as a context."""
        return mixed_precision(self.device, self.config.mixed_precision)

    def _groups(self, model: DomainAlignment) -> list[dict[str, Any]]:
        """What the optimizer trains: norms (or the whole image tower), prompts and Q, each with its learning rate."""
        c = self.config
        rates = {"prompts": c.learning_rate_prompts, "Q": c.learning_rate_mapping}
        groups: dict[str, list[torch.Tensor]] = {}
        for name, parameter in trained(model).items():
            groups.setdefault(self.group_of(name), []).append(parameter)
        own = {group: rates.get(group, c.learning_rate_norms) or c.learning_rate for group in groups}
        return [{"params": parameters, "lr": own[group]} for group, parameters in groups.items()]

    def _true_labels(self) -> list[torch.Tensor]:
        """(N,) classes of each domain's validation images by their true labels, numbered over both domains."""
        labels = self.pair.images.labels
        known = np.unique(labels)
        return [torch.from_numpy(np.searchsorted(known, labels[rows])).to(self.device) for rows in self.validation]

    def _frozen(self, rows: np.ndarray) -> torch.Tensor:
        """(N, D) unit features of frozen CLIP, from the cache where it has them."""
        images = self.pair.images.take(rows)
        return F.normalize(self.encoder.embed_images(images, progress=False), dim=-1).to(self.device)


def closed_form_mapping(encoder: ClipEncoder, pair: Pair) -> torch.Tensor:
    """(D, D) Q from the first domain to the second, from texts alone (equations 8 and 9)."""
    first, second = text_pairs(encoder, pair.objects, {d: pair.words[d] for d in pair.domains}).values()
    return procrustes(first, second)


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
