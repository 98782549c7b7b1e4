"""CLAIR: CLIP-aided, weakly supervised, zero-shot retrieval between two domains (arXiv 2508.12290).

    pseudo-labels from CLIP  ->  epochs of:  three contrastive losses against banks of the momentum encoder, and L_KL
                                             update of momentum encoder and banks, refinement of pseudo-labels
    Throughout, Q, computed from texts alone, maps the first domain's features to the second's.

No image label is read, except by one diagnostic setting. What the paper leaves open is a setting of `ClairConfig`, or
is noted where it matters.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.conventions import BY_PSEUDO_LABELS, BY_SEEN_LABELS, LAST_EPOCH
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
from cdir_nb.methods.training import Numbers, Training, changing, copied, mixed_precision, trained, update_momentum
from cdir_nb.methods.two_domains import class_numbers, precision_at

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
    """Train CLAIR on the unlabelled images of two domains (Figure 2).

    name        name of the variant, for records
    checkpoint  a file for the state after each epoch; if it exists, training resumes from it. `clair.state.kept_at`
                gives one in the cache.
    Raises CdirError for prompts in a tower without tokens, or a checkpoint of another model, pair or config.
    """
    config = config or ClairConfig()
    training = ClairTraining(encoder, pair, config, seed)
    label = f"CLAIR {'-'.join(pair.domains)}"
    training.run(made_of(encoder, pair, config, seed), checkpoint, label=label, progress=progress)
    return training.embedder(name)


class ClairTraining(Training):
    """The parts of training specific to CLAIR: networks, pseudo-labels, banks, and what an epoch and a step do."""

    score_name = "validation P@5"
    score_by_labels = float("nan")
    kept = ("soft", "assigned", "validation_labels", "best_by_labels")

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
        """(K, D) text features of each domain's class prompts; not needed when a finished training is loaded."""
        words = [self.pair.words[domain] for domain in self.pair.domains]
        return [prompt_embeddings(self.encoder, self.pair.names, word).to(self.device) for word in words]

    def start(self) -> None:
        """Compute Q in closed form, pseudo-labels from frozen CLIP (section 4.1), and the initial banks."""
        if self.config.mapping:
            q = closed_form_mapping(self.encoder, self.pair)
            self.model.q.data.copy_(q), self.momentum.q.data.copy_(q)
        self.soft = [initial_labels(self._frozen(rows), texts) for rows, texts in zip(self.rows, self.texts)]
        self.validation_labels = [
            assigned(initial_labels(self._frozen(rows), texts)) for rows, texts in zip(self.validation, self.texts)
        ]
        self.best_by_labels = {"score": -1.0, "epoch": 0, "state": {}}
        self.assigned = [[assigned(soft).cpu()] for soft in self.soft]
        self.renew_banks(self.momentum_features())

    def run_epoch(self, generator: torch.Generator, tick: Callable[[], Any]) -> Numbers:
        """Run the SGD steps, then update the momentum encoder, the pseudo-labels and the banks, in this order."""
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
        """One SGD step on one batch per domain; returns (5,) its four losses and their weighted sum (equation 7)."""
        losses = self.losses(batches, generator)
        c = self.config
        total = total_loss(losses, (c.weight_kl, c.weight_ii, c.weight_ic, c.weight_id))
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        self.schedule.step()
        return torch.stack([loss.detach().cpu() for loss in (*losses, total)])

    def losses(self, batches: Batches, generator: torch.Generator) -> list[torch.Tensor]:
        """L_KL, L_II, L_IC, L_ID (equations 2 and 4 to 6), each averaged over both domains."""
        parts = self.views(batches, generator)
        each = [self.losses_of(side, rows.to(self.device), parts[side::2]) for side, (rows, _) in enumerate(batches)]
        return [both_domains(first, second) for first, second in zip(*each)]

    def views(self, batches: Batches, generator: torch.Generator) -> Sequence[torch.Tensor]:
        """(B, D) unit features, before Q, of random views of both domains' batches: first domain, second domain, and
        both again for a second view if L_II needs one."""
        views = 2 if self.config.weight_ii else 1
        pixels = torch.cat([pixels for _, pixels in batches])
        pixels = torch.cat([random_view(pixels, generator, self.config.least_crop) for _ in range(views)])
        with self.mixed():
            return self.model.image_features(pixels).split([len(rows) for rows, _ in batches] * views)

    def losses_of(self, side: int, rows: torch.Tensor, views: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The four losses of one domain, from features (B, D) of one or two views of its images `rows` (B,)."""
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
        """Refine the pseudo-labels with (N, D) momentum features (section 4.2); returns the share that changed."""
        for side, (x, texts) in enumerate(zip(raw, self.texts)):
            self.soft[side] = refine(self.soft[side], x @ texts.T, self.config.refinement)
            self.assigned[side].append(assigned(self.soft[side]).cpu())
        return float(torch.cat([epochs[-1] != epochs[-2] for epochs in self.assigned]).float().mean())

    @torch.no_grad()
    def renew_banks(self, raw: Sequence[torch.Tensor]) -> None:
        """Fill the memory banks: the momentum encoder's feature of every image, with its current class."""
        shared = [self.momentum.shared(x, side) for side, x in enumerate(raw)]
        self.banks = [
            Bank(x, epochs[-1].to(self.device), len(self.pair.names)) for x, epochs in zip(shared, self.assigned)
        ]

    def next_epoch(self, tick: Callable[[], Any] = lambda: None) -> None:
        """Run one epoch; the history also gets the score by true labels, which decides nothing but `best_by_labels`."""
        super().next_epoch(tick)
        self.history[-1][self.score_name + ", true labels"] = self.score_by_labels

    def validate(self) -> float:
        """Mean P@5 of both directions on the validation part, with frozen CLIP's pseudo-labels as truth: no label is
        read, but states close to frozen CLIP may be favoured (our default; the paper gives no criterion). As a
        diagnostic, the state that is best by true labels of the seen classes is kept beside it.

        nan if there is no validation part: then the last epoch is used.
        """
        if not all(map(len, self.validation)):
            return float("nan")
        features = [self.encode(self.model, rows) for rows in self.validation]
        with torch.no_grad():
            first, second = (self.model.shared(x, side) for side, x in enumerate(features))
        self.score_by_labels = precision_at(5, first @ second.T, self.true_labels())
        if self.score_by_labels > self.best_by_labels["score"]:
            state = copied(changing(self.model))
            self.best_by_labels = {"score": self.score_by_labels, "epoch": self.epoch, "state": state}
        return precision_at(5, first @ second.T, self.validation_labels)

    def group_of(self, name: str) -> str:
        """Q, prompts or norms; without freezing, norms belong to the image tower."""
        if name == "q":
            return "Q"
        return "prompts" if name.endswith("prompts") else "norms" if self.config.freeze else "image tower"

    def embedder(self, name: str) -> ClairEmbedder:
        """The embedder with the state that was best on validation by pseudo-labels, and the other states beside it."""
        labels = {d: torch.stack(epochs).numpy() for d, epochs in zip(self.pair.domains, self.assigned)}
        states = {LAST_EPOCH: (self.epoch, copied(changing(self.model)))}
        if all(map(len, self.validation)):
            states[BY_PSEUDO_LABELS] = self.best_epoch, self.best
            states[BY_SEEN_LABELS] = self.best_by_labels["epoch"], self.best_by_labels["state"]
        return ClairEmbedder(
            model=self.load_best(),
            pair=self.pair,
            config=self.config,
            labels=labels,
            train=dict(zip(self.pair.domains, self.rows)),
            history=self.history,
            states=states,
            selection=BY_PSEUDO_LABELS if BY_PSEUDO_LABELS in states else LAST_EPOCH,
            steps_per_epoch=self.steps_per_epoch,
            encoder=self.encoder,
            seed=self.seed,
            name=name,
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a `state`; the banks are recomputed from the momentum encoder."""
        super().restore(state)
        self.assigned = [[labels.cpu() for labels in epochs] for epochs in self.assigned]
        if not self.finished:
            self.renew_banks(self.momentum_features())

    def batches(self, generator: torch.Generator) -> Any:
        """One batch per domain and step; the smaller domain repeats until the larger one is used up."""
        length, size = max(map(len, self.rows)), self.config.batch_size
        return domain_batches(self.encoder, self.pair.images, self.rows, length, size, generator)

    def momentum_features(self) -> list[torch.Tensor]:
        """(N, D) the momentum encoder's features of all training images of each domain, before Q."""
        return [self.encode(self.momentum, rows) for rows in self.rows]

    @torch.no_grad()
    def encode(self, model: DomainAlignment, rows: np.ndarray) -> torch.Tensor:
        """(N, D) unit features of the images `rows`, before Q."""
        with self.mixed():
            pixels = pixel_batches(self.encoder, self.pair.images, rows, BANK_BATCH)
            parts = [model.image_features(batch) for batch in pixels]
        return torch.cat(parts) if parts else torch.empty(0, self.encoder.dim, device=self.device)

    def mixed(self) -> Any:
        """Context manager for the precision that the networks run in."""
        return mixed_precision(self.device, self.config.mixed_precision)

    def _groups(self, model: DomainAlignment) -> list[dict[str, Any]]:
        """Parameter groups: norms (or the whole image tower), prompts and Q, each with its learning rate."""
        c = self.config
        rates = {
            "norms": c.learning_rate_norms,
            "image tower": c.learning_rate_tower,
            "prompts": c.learning_rate_prompts,
            "Q": c.learning_rate_mapping,
        }
        groups: dict[str, list[torch.Tensor]] = {}
        for name, parameter in trained(model).items():
            groups.setdefault(self.group_of(name), []).append(parameter)
        own = {group: rates[group] or c.learning_rate for group in groups}
        return [{"params": parameters, "lr": own[group]} for group, parameters in groups.items()]

    def true_labels(self) -> list[torch.Tensor]:
        """(N,) true classes of each domain's validation images, for diagnostics."""
        labels = self.pair.images.labels
        return [numbers.to(self.device) for numbers in class_numbers([labels[rows] for rows in self.validation])]

    def _frozen(self, rows: np.ndarray) -> torch.Tensor:
        """(N, D) unit features from frozen CLIP, read from the cache if it has them."""
        images = self.pair.images.take(rows)
        return F.normalize(self.encoder.embed_images(images, progress=False), dim=-1).to(self.device)


def closed_form_mapping(encoder: ClipEncoder, pair: Pair) -> torch.Tensor:
    """(D, D) Q from the first domain to the second, from texts alone (equations 8 and 9)."""
    first, second = text_pairs(encoder, pair.objects, {d: pair.words[d] for d in pair.domains}).values()
    return procrustes(first, second)


def _model(encoder: ClipEncoder, config: ClairConfig, seed: int) -> DomainAlignment:
    """A copy of the encoder with prompts, the trained parts unfrozen; Q is the identity until it is computed."""
    tuned = prompted(encoder, config.prompts, std=config.prompt_std, seed=seed)
    train_only_norms_and_prompts(tuned) if config.freeze else train_image_tower(tuned)
    tuned.model.eval()  # no dropout, no batch statistics: CLIP's towers have none
    q = torch.eye(encoder.dim) if config.mapping else None
    return DomainAlignment(tuned, q, train_q=config.train_mapping)
