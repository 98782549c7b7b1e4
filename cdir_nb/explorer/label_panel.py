"""Pseudo-labels as retrieval: a class name is the query; refinement step and temperature can be changed."""

from functools import lru_cache

import ipywidgets as w
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from cdir_nb.encoders.zero_shot import prompt_embeddings
from cdir_nb.explorer.ask import Answer
from cdir_nb.explorer.collection import Collection
from cdir_nb.explorer.controls import TEMPERATURES, int_slider, k_slider, menu, on_value, row, value_slider
from cdir_nb.explorer.grid import Grid, answer_figure, result_tiles, tile_maker
from cdir_nb.methods.clair.pseudo_labels import RefinementConfig, assigned, initial_labels, refine
from cdir_nb.retrieval import rank

NEIGHBOURS = 10  # images averaged in place of a learnt feature, as in notebook 02
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

        `precision` is the fraction of the first k images whose pseudo-label is right, `average` that of all images.
        """
        rows, y = self.collection.domain_rows[domain], self.refined(domain, step)
        truth = self.collection.images.labels[rows]
        probability = torch.softmax(y / temperature, dim=1)[:, self.classes.index(label)].numpy()
        order = np.argsort(-probability, kind="stable")
        right = truth[order[:k]] == label
        accuracy = float((np.array(self.classes)[assigned(y).numpy()] == truth).mean())
        title = f"“{self.collection.names[label]}” in {domain}, {step} refinement steps, temperature {temperature:g}"
        scored = probability[order]
        return Answer(title, rows[order[:k]], scored[:k], right, scored, float(right.mean()), accuracy, len(rows))

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
        near = torch.as_tensor(rank(unit, unit, k=NEIGHBOURS).indices)
        return initial_labels(unit, texts), F.normalize(unit[near].mean(dim=1), dim=-1) @ texts.T


class LabelPanel:
    """Controls for `PseudoLabels`: a class name, and the images ranked for it."""

    def __init__(self, collection: Collection, step: int = 25) -> None:
        self.collection, self.labels = collection, PseudoLabels(collection)
        self.url_of = tile_maker(collection.images)
        self.domain = menu("domain", collection.domains, collection.domains[-1])
        self.label = menu("class", collection.names)
        self.step, self.k = int_slider("refinement step", 0, MAX_STEPS, step), k_slider()
        usual = min(TEMPERATURES, key=lambda t: abs(t - 1 / collection.encoder.logit_scale))
        self.temperature = value_slider("temperature", TEMPERATURES, usual)
        self.message, self.results = w.HTML(), Grid(label="images of the class, most probable first")
        self.controls = (self.domain, self.label, self.step, self.temperature, self.k)
        self.box = w.VBox([row(*self.controls), self.message, self.results])
        for control in self.controls:
            on_value(control, lambda new: self.update())
        self.update()

    def answer(self) -> Answer:
        """The answer for the current controls."""
        return self.labels.ask(*(control.value for control in self.controls))

    def update(self) -> None:
        """Show the answer for the current controls."""
        answer = self.answer()
        self.results.items = result_tiles(answer, self.collection.images, self.url_of)
        self.message.value = f"<b>{answer.title}</b><br>{_in_words(answer)}"

    def figure(self) -> Figure:
        """The answer as a static figure."""
        return answer_figure(self.answer(), self.collection.images)


def _in_words(answer: Answer) -> str:
    k = len(answer.rows)
    assert answer.precision is not None and answer.average is not None  # these images have labels
    return (
        f"Of the {k} most probable images {round(answer.precision * k)} are right. Of all {answer.n_queries:,} images "
        f"of the domain {100 * answer.average:.1f} % have the right label. Probability of the first: "
        f"{answer.scores[0]:.2f}; of number {k}: {answer.scores[-1]:.2f}."
    )
