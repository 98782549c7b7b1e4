"""Pseudo-labels as retrieval: which images does a class name find, and what do refinement and temperature change?"""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.encoders.zero_shot import prompt_embeddings
from cdir_nb.explorer.ask import Answer
from cdir_nb.explorer.collection import Collection
from cdir_nb.methods.clair.pseudo_labels import RefinementConfig, assigned, initial_labels, refine
from cdir_nb.retrieval import rank

NEIGHBOURS = 10  # images averaged in place of a learnt feature, as in notebook 02


class Labels:
    """CLIP's pseudo-labels of a collection's images, refined step by step towards what their neighbours predict."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.classes = list(collection.names)
        self.config = RefinementConfig(scale=collection.encoder.logit_scale, steps=1)
        self.target = lru_cache(16)(self._target)
        self.refined = lru_cache(256)(self._refined)

    def ask(self, domain: str, label: str, step: int, temperature: float, k: int) -> Answer:
        """The images of a domain by their probability of a class: softmax over classes of y / temperature.

        `average` is the share of all images whose label is right, `precision` that of the first k.
        """
        rows, y = self.collection.domain_rows[domain], self.refined(domain, step)
        truth = self.collection.images.labels[rows]
        probability = torch.softmax(y / temperature, dim=1)[:, self.classes.index(label)].numpy()
        order = np.argsort(-probability, kind="stable")
        right = truth[order[:k]] == label
        accuracy = float((np.array(self.classes)[assigned(y).numpy()] == truth).mean())
        title = f"“{self.collection.names[label]}” in {domain}, {step} refinement steps, temperature {temperature:g}"
        found = probability[order]
        return Answer(title, rows[order[:k]], found[:k], right, found, float(right.mean()), accuracy, len(rows))

    def _refined(self, domain: str, step: int) -> torch.Tensor:
        """(N, K) labels after `step` steps."""
        if step == 0:
            return self.target(domain)[0]
        return refine(self.refined(domain, step - 1), self.target(domain)[1], self.config)

    def _target(self, domain: str) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, K) CLIP's labels, and those that each image's neighbours predict (no true label is read)."""
        c = self.collection
        texts = prompt_embeddings(c.encoder, [c.names[label] for label in self.classes], c.words[domain])
        unit = F.normalize(c.encoder.embed_images(c.images.take(c.domain_rows[domain])), dim=-1)
        near = torch.as_tensor(rank(unit, unit, k=NEIGHBOURS).indices)
        return initial_labels(unit, texts), F.normalize(unit[near].mean(dim=1), dim=-1) @ texts.T


def labels_in_words(answer: Answer) -> str:
    """An answer of `Labels` in numbers."""
    k = len(answer.rows)
    return (
        f"Of the {k} most probable images {round(answer.precision * k)} are right. Of all {answer.n_queries:,} images "
        f"of the domain {100 * answer.average:.1f} % have the right label. Probability of the first: "
        f"{answer.scores[0]:.2f}; of number {k}: {answer.scores[-1]:.2f}."
    )
