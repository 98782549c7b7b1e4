"""Pseudo-labels as retrieval: a class name is the query; refinement step and temperature can be changed."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from cdir_nb.encoders.clip import require_texts
from cdir_nb.encoders.words import require_known_words
from cdir_nb.encoders.zero_shot import prompt_embeddings, require_names
from cdir_nb.explorer.ask import Answer
from cdir_nb.explorer.collection import Collection, require_different
from cdir_nb.explorer.controls import (
    TEMPERATURES,
    Panel,
    application,
    int_slider,
    k_slider,
    menu,
    on_value,
    value_slider,
)
from cdir_nb.explorer.grid import NOT_JUDGED, answer_figure, result_tiles, tile_maker
from cdir_nb.methods.clair.pseudo_labels import RefinementConfig, assigned, initial_labels, refine
from cdir_nb.retrieval import rank

NEIGHBOURS = 10  # images averaged in place of a learnt feature, as in notebook 05
MAX_STEPS = 50  # the paper trains for 25 epochs, with one refinement step each


class PseudoLabels:
    """CLIP's pseudo-labels of a collection, refined step by step towards the predictions of each image's neighbours."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.classes = list(collection.names)
        self.config = RefinementConfig(scale=collection.encoder.logit_scale, steps=1)
        self.target = lru_cache(16)(self._target)
        self.refined = lru_cache(256)(self._refined)

    def ask(self, domain: str, label: str, step: int, temperature: float, k: int) -> Answer:
        """Rank the images of a domain by the probability of a class: softmax over classes of y / temperature.

        `precision` is the fraction of the first k images that are of the class, `average` the fraction of all images
        whose pseudo-label is right; both are None if an image of the domain has no label. Raises CdirError for a class
        whose name has a word that the encoder does not know.
        """
        require_known_words(self.collection.encoder.encoder, self.collection.names[label])
        rows, y = self.collection.domain_rows[domain], self.refined(domain, step)
        truth = self.collection.images.labels[rows]
        probability = torch.softmax(y / temperature, dim=1)[:, self.classes.index(label)].numpy()
        order = np.argsort(-probability, kind="stable")
        title = f"“{self.collection.names[label]}” in {domain}, {step} refinement steps, temperature {temperature:g}"
        answer = Answer(title, rows[order[:k]], probability[order[:k]], None, probability[order])
        if "" in truth:
            return answer
        right = truth[order[:k]] == label
        accuracy = float((np.array(self.classes)[assigned(y).numpy()] == truth).mean())
        return replace(answer, right=right, precision=float(right.mean()), average=accuracy, n_queries=len(rows))

    def _refined(self, domain: str, step: int) -> torch.Tensor:
        """(N, K) labels after `step` steps."""
        if step == 0:
            return self.target(domain)[0]
        return refine(self.refined(domain, step - 1), self.target(domain)[1], self.config)

    def _target(self, domain: str) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, K) CLIP's labels, and the predictions of each image's neighbours (no true label is read)."""
        c = self.collection
        texts = prompt_embeddings(c.encoder, [c.names[label] for label in self.classes], c.words[domain])
        unit = F.normalize(c.encoder.embed_images(c.images.take(c.domain_rows[domain])), dim=-1)
        require_different(unit, domain)
        near = torch.as_tensor(rank(unit, unit, k=NEIGHBOURS).indices)
        return initial_labels(unit, texts), F.normalize(unit[near].mean(dim=1), dim=-1) @ texts.T


class LabelPanel(Panel):
    """Controls for `PseudoLabels`: a class name, and the images ranked for it.

    It needs an encoder with a text tower, and at least two classes.
    """

    def __init__(self, collection: Collection, step: int = 25) -> None:
        super().__init__("images of the class, most probable first")
        self.collection = collection
        with self.answers.errors_shown():
            self._build(step)

    def _build(self, step: int) -> None:
        c = self.collection
        require_texts(c.encoder.encoder)
        require_names("this panel", list(c.names.values()))
        self.labels, self.url_of = PseudoLabels(c), tile_maker(c.images)
        self.domain = menu("domain", c.domains, c.domains[-1])
        self.label = menu("class", c.names)
        self.step, self.k = int_slider("refinement step", 0, MAX_STEPS, step), k_slider()
        usual = min(TEMPERATURES, key=lambda t: abs(t - 1 / c.encoder.logit_scale))
        self.temperature = value_slider("temperature", TEMPERATURES, usual)
        self.controls = (self.domain, self.label, self.step, self.temperature, self.k)
        self.box.children = [application(self.controls, [self.message, self.results])]
        for control in self.controls:
            on_value(control, lambda new: self.update())
        self.update()

    def answer(self) -> Answer:
        """The answer for the current controls."""
        return self.labels.ask(*(control.value for control in self.controls))

    def update(self) -> None:
        """Show the answer for the current controls."""
        with self.answers.errors_shown():
            answer = self.answer()
            self.answers.show(answer.title, _in_words(answer), result_tiles(answer, self.collection, self.url_of))

    def draw(self) -> Figure:
        """The answer as a static figure."""
        return answer_figure(self.answer(), self.collection.images)


def _in_words(answer: Answer) -> str:
    k = len(answer.rows)
    if answer.precision is None or answer.average is None:
        judged = NOT_JUDGED
    else:
        judged = (
            f"Of the {k} most probable images {round(answer.precision * k)} are right. Of all {answer.n_queries:,} "
            f"images of the domain {100 * answer.average:.1f} % have the right label."
        )
    return " ".join(
        [judged, f"Probability of the first: {answer.scores[0]:.2f}; of number {k}: {answer.scores[-1]:.2f}."]
        + answer.remarks
    )
