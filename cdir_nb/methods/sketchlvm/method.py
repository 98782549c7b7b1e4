"""SketchLVM (Sain, Bhunia, Chowdhury, Koley, Xiang, Song: "CLIP for All Things Zero-Shot Sketch-Based Image Retrieval,
Fine-Grained or Not", CVPR 2023).

    trained:  prompts for each domain, and the normalisation layers of one image tower
    losses:   triplets across domains, by labels of seen classes; distance of each image from its class's text
The paper's text could not be obtained. The sources are two code bases: Sketch_LVM (the authors' release, triplets only)
and ClipPrompt (an independent reproduction, with the class texts). Each setting names its source; where neither has a
value, or the two differ for unknown reasons, the value is our default. The paper's fine-grained losses are not
implemented.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import permutations
from typing import Literal

import numpy as np
import torch

from cdir_nb.conventions import BY_SEEN_LABELS
from cdir_nb.data import load_card
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.zero_shot import prompt_embeddings
from cdir_nb.errors import CdirError
from cdir_nb.methods.batches import pixel_batches, random_view
from cdir_nb.methods.checkpoints import digest_of
from cdir_nb.methods.settings import Settings, setting
from cdir_nb.methods.sketchlvm.losses import class_text, triplet
from cdir_nb.methods.sketchlvm.network import Network
from cdir_nb.methods.sketchlvm.sampling import quadruples
from cdir_nb.methods.training import Numbers, Training, mixed_precision, require_validation
from cdir_nb.methods.two_domains import (
    class_numbers,
    drawn_rows,
    precision_at,
    training_images,
    training_set_description,
)

RELEASED = "released code, Sketch_LVM"
CLIP_PROMPT = "ClipPrompt's code"
EVAL_BATCH = 256
Batch = tuple[list[torch.Tensor], torch.Tensor]  # pixels of s, p, s', p', (B, 3, H, W) each; (B,) classes of s and p


class SketchLvmSettings(Settings):
    """Settings of SketchLVM. The defaults are for OpenAI's ViT-B/32, the paper's encoder.

    Raises CdirError for an invalid value, and for `read="first prompt"` without prompts.
    """

    method = "SketchLVM"

    prompts: int = setting(3, f"{RELEASED}: vectors for each domain, at the input of the first layer", ge=0)
    prompt_std: float = setting(0.02, f"our default, as in CLAIR's runs; {RELEASED}: 1", gt=0)
    read: Literal["class token", "first prompt"] = setting(
        "class token", f"{RELEASED}; {CLIP_PROMPT} reads the first prompt"
    )
    freeze: Literal["norms", "as released", "all but the head", "nothing"] = setting(
        "norms", f"paper, as CLAIR reports it; {RELEASED}: its freeze misses more tensors; prompts always train"
    )
    anchors: Literal["both domains", "first domain"] = setting(
        "both domains", f"our default, since both directions are measured; {RELEASED}: sketches only"
    )
    margin: float = setting(0.3, f"{CLIP_PROMPT}; {RELEASED}: 0.2", ge=0)
    weight_class_text: float = setting(
        1.0, f"our default (lambda is unknown); {CLIP_PROMPT}: 0.5 for each domain; {RELEASED}: 0", ge=0
    )
    template: str = setting("a photo of a {class}", f"{CLIP_PROMPT}: for images of both domains")
    learning_rate_prompts: float = setting(1e-3, f"{CLIP_PROMPT} (Adam); {RELEASED}: 1e-4", gt=0)
    learning_rate_norms: float = setting(1e-4, f"{CLIP_PROMPT} (Adam); {RELEASED}: 1e-6", gt=0)
    learning_rate_tower: float = setting(1e-6, f"{RELEASED} (Adam): parameters that are neither", gt=0)
    batch_size: int = setting(64, f"{CLIP_PROMPT}: triplets for each anchor domain; {RELEASED}: 192", ge=1)
    epochs: int = setting(60, f"{CLIP_PROMPT}; one epoch reads each image of the first domain once as an anchor", ge=0)
    least_crop: float | None = setting(
        None, "our default; least area of random, mirrored crops; None: whole images, as both codes", gt=0, le=1
    )
    validation: Literal["classes", "images"] = setting(
        "classes",
        "our default: whole seen classes are held out, since an epoch that is best for classes in training need not be "
        "the best for unseen ones; 'images': images of every class, for tasks with few classes",
    )
    validation_fraction: float = setting(
        0.2, "our default: about as many images as CLAIR holds out; 0: none, the last epoch is used", ge=0, le=0.5
    )
    score_at: int = setting(5, "our default: cut-off of the validation score P@k, CLAIR's", ge=1)
    train_images: int = setting(0, "our default; images of each domain, drawn at random, 0: all", ge=0)

    def __init__(self, **values: object) -> None:
        super().__init__(**values)
        if self.read == "first prompt" and not self.prompts:
            raise CdirError(
                'SketchLVM: read = "first prompt" needs prompts, but prompts = 0: set read to the class token'
            )


class SketchLvmTraining(Training):
    """Training on labelled images of two domains. Attributes besides those of `Training`:

    images      the training images, without the validation images
    validation  the validation images, by which an epoch is selected
    classes     the K training classes, without validation classes and unseen classes
    """

    settings: SketchLvmSettings
    encoder: ClipEncoder
    images: ImageSet
    model: Network

    def build(self) -> Network:
        """Split the images of the seen classes, and build the network."""
        s = self.settings
        if overlap := [label for label in self.task.classes if label in set(self.task.seen)]:
            raise CdirError(
                f"{self.name} trains on labels, and {self.task.name} has test classes among its training classes "
                f"({', '.join(overlap[:3])}): choose a zero-shot task, such as world-unseen"
            )
        images = training_images(self.task, self.domains)
        images = images.take(np.sort(np.concatenate(drawn_rows(images, self.domains, s.train_images, self.seed))))
        held_out = self._held_out(images)
        self.validation = images.take(held_out)
        self.images = self._in_both_domains(images.take(~held_out))
        self.classes = tuple(label for label in self.task.seen if label in set(self.images.labels))
        self._check_validation()
        self.steps_per_epoch = -(-int((self.images.domains == self.domains[0]).sum()) // s.batch_size)
        return Network(self.encoder, prompts=s.prompts, std=s.prompt_std, read=s.read, freeze=s.freeze, seed=self.seed)

    def group_of(self, name: str) -> str:
        """Group of a parameter: "prompts", "norms" or "image tower"; the tower has one group if nothing is frozen."""
        if name == "prompts":
            return "prompts"
        by_name = self.settings.freeze in ("norms", "as released")  # then only trainable norms have these names
        is_norm = by_name and name.rpartition(".")[2] in ("weight", "bias")
        return "norms" if is_norm else "image tower"

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Adam, with a learning rate for each group."""
        s = self.settings
        rates = {
            "prompts": {"lr": s.learning_rate_prompts},
            "norms": {"lr": s.learning_rate_norms},
            "image tower": {"lr": s.learning_rate_tower},
        }
        return torch.optim.Adam(self.parameter_groups(rates))

    def inputs(self) -> dict[str, str]:
        """Digests of training images, validation images, and the words in the class texts."""
        words = digest_of([self.names, self.domain_words])
        return {**super().inputs(), "validation": self.validation.fingerprint, "words": words}

    @property
    def names(self) -> list[str]:
        """The names of the training classes in natural words."""
        card = load_card(self.task.dataset)
        return [card.display(label) for label in self.classes]

    @property
    def domain_words(self) -> list[str]:
        """The word of each domain, for a template with {domain}."""
        card = load_card(self.task.dataset)
        return [card.domain_word(domain) for domain in self.domains]

    @property
    def train_set(self) -> str:
        """Description of the training data, for records."""
        return training_set_description(self.encoder, self.images, self.settings.train_images, len(self.classes))

    @cached_property
    def texts(self) -> list[torch.Tensor]:
        """(K, D) unit text features of the training classes for each domain; not needed to load a finished training."""
        templates = (self.settings.template,)
        return [
            prompt_embeddings(self.encoder, self.names, word, templates).to(self.device) for word in self.domain_words
        ]

    # ---- an epoch ----

    def batches(self) -> Iterator[Batch]:
        """Yield the pixels of B quadruples per step; s' is included only if images of the second domain are anchors."""
        rows, labels = quadruples(self._rows_of_classes(), self.generator)
        size = self.settings.batch_size
        columns = [0, 1, 2, 3] if self.settings.anchors == "both domains" else [0, 1, 3]
        streams = [pixel_batches(self.encoder, self.images, rows[:, column], size) for column in columns]
        least = self.settings.least_crop
        for *pixels, classes in zip(*streams, torch.from_numpy(labels).split(size)):
            views = pixels if least is None else [random_view(x, self.generator, least) for x in pixels]
            yield views, classes.to(self.device)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The triplet loss (anchors from both domains or the first), and the class text loss, a mean over domains."""
        (s, p, *s_other, p_other), classes = batch  # `s_other` is [s'], or empty
        margin = self.settings.margin
        with mixed_precision(self.device, False):
            s, *s_other = self._features([s, *s_other], 0)
            p, p_other = self._features([p, p_other], 1)
        triplets = [triplet(s, p, p_other, margin)]
        if s_other:
            triplets.append(triplet(p, s, s_other[0], margin))
        losses = {"L_triplet": torch.stack(triplets).mean()}
        if self.settings.weight_class_text:
            scale = self.encoder.logit_scale
            class_texts = [class_text(x, texts, classes, scale) for x, texts in zip((s, p), self.texts)]
            losses["L_class_text"] = torch.stack(class_texts).mean()
        return losses

    def weights(self) -> dict[str, float]:
        """The weight lambda of the class text loss."""
        return {"L_class_text": self.settings.weight_class_text}

    @torch.no_grad()
    def validate(self) -> Numbers:
        """Mean P@k of both directions on the held-out images; empty if there are none."""
        if not len(self.validation):
            return {}
        images = self._validation_by_domain()
        features = []
        for d in (0, 1):
            batches = pixel_batches(self.encoder, images[d], np.arange(len(images[d])), EVAL_BATCH)
            with mixed_precision(self.device, False):
                features.append(torch.cat([self.model(pixels, d) for pixels in batches]))
        scores = features[0] @ features[1].T
        labels = class_numbers([part.labels for part in images])
        return {BY_SEEN_LABELS: precision_at(self.settings.score_at, scores.cpu(), labels)}

    def embed(self, model: Network, images: ImageSet, progress: bool) -> torch.Tensor:
        """(N, D) unit vectors, each with the prompts of its domain."""
        vectors = torch.empty(len(images), self.encoder.dim)
        for d, domain in enumerate(self.domains):
            rows = np.flatnonzero(images.domains == domain)
            if len(rows):
                vectors[rows] = model.encoder_of(d).embed_images(images.take(rows), progress=progress)
        return torch.nn.functional.normalize(vectors, dim=-1)

    # ---- parts ----

    def _features(self, batches: list[torch.Tensor], domain_index: int) -> tuple[torch.Tensor, ...]:
        """(B, D) features of each batch of one domain; the batches pass through the network together."""
        return self.model(torch.cat(batches), domain_index).split(len(batches[0]))

    def _rows_of_classes(self) -> list[dict[int, np.ndarray]]:
        """For each domain, {class number: its rows in `images`}."""
        masks = [self.images.domains == domain for domain in self.domains]
        return [
            {n: np.flatnonzero(mask & (self.images.labels == label)) for n, label in enumerate(self.classes)}
            for mask in masks
        ]

    def _held_out(self, images: ImageSet) -> np.ndarray:
        """(N,) bool: the validation images, drawn from the seed: whole classes, or a part of each class and domain."""
        fraction, rng = self.settings.validation_fraction, np.random.default_rng(self.seed)
        labels = np.unique(images.labels)
        if fraction and self.settings.validation == "classes":
            count = round(fraction * len(labels))
            if count < 2:
                raise CdirError(
                    f"{self.name}: {len(labels)} seen classes are too few to hold out {fraction:.0%} of them for "
                    'validation: set validation to "images", or validation_fraction to 0'
                )
            return np.isin(images.labels, rng.permutation(labels)[:count])
        held_out = np.zeros(len(images), dtype=bool)
        for domain in self.domains:
            for label in labels:
                rows = rng.permutation(np.flatnonzero(images.mask(domain, [label])))
                held_out[rows[: round(fraction * len(rows))]] = True
        return held_out

    def _validation_by_domain(self) -> list[ImageSet]:
        return [self.validation.select(domain) for domain in self.domains]

    def _check_validation(self) -> None:
        """Raise CdirError if a part is to be held out, but is too small to choose an epoch."""
        fraction = self.settings.validation_fraction
        if fraction:
            labels = [images.labels for images in self._validation_by_domain()]
            remedy = f"train on more images, or set validation_fraction, now {fraction:g}, to 0"
            require_validation(self, *permutations(labels, 2), k=self.settings.score_at, remedy=remedy)

    def _in_both_domains(self, images: ImageSet) -> ImageSet:
        """The images of classes that both domains have. Raises CdirError for fewer than two classes."""
        a, b = (set(images.labels[images.domains == domain]) for domain in self.domains)
        if len(a & b) < 2:
            raise CdirError(
                f"{self.name} needs at least two training classes with images of {' and '.join(self.domains)}, but "
                f"there are {len(a & b)}: choose another task, or raise train_images"
            )
        return images.select(labels=sorted(a & b))
