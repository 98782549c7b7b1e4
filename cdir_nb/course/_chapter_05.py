"""Chapter 05: pseudo-labels and their refinement."""

import torch

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.methods.clair.pseudo_labels import RefinementConfig
from cdir_nb.methods.clair.pseudo_labels import refine as package_refine


def refine(labels, target, scale, step_size):
    """(N, K) labels y after one step of gradient descent towards a target x: y - step_size · gradient.

    The gradient of KL(softmax(scale x) || softmax(scale y)) with respect to y is
    scale · (softmax(scale y) - softmax(scale x)).

    labels, target  (N, K) tensors of cosines, of images and classes
    """
    gradient = scale * ((scale * labels).softmax(dim=1) - (scale * target).softmax(dim=1))
    return labels - step_size * gradient


def expected(labels, target, scale, step_size):
    return package_refine(labels, target, RefinementConfig(scale=scale, step_size=step_size, scaled=False))


def away(labels, target, scale, step_size):
    return 2 * labels - refine(labels, target, scale, step_size)


def softmax_without_scale(labels, target, scale, step_size):
    return labels - step_size * scale * (labels.softmax(dim=1) - target.softmax(dim=1))


def without_softmax(labels, target, scale, step_size):
    return labels - step_size * scale * (labels - target)


def cases():
    random = torch.Generator().manual_seed(0)
    labels, target = 0.3 * torch.rand(2, 6, 4, generator=random)
    return [
        (torch.tensor([[0.30, 0.28, 0.20]]), torch.tensor([[0.22, 0.31, 0.21]]), 20.0, 0.01),
        (labels, target, 30.0, 0.01),
    ]


CHAPTER = Chapter(
    "05_pseudo_labels",
    "pseudo-labels",
    50,
    """
import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb import analysis, data, encoders
from cdir_nb.course import check
from cdir_nb.encoders.zero_shot import prompt_embeddings

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
names = [card.display(label) for label in task.classes]
cosines, true = {}, {}
for domain, part in task.queries.items():
    texts = prompt_embeddings(clip, names, card.domain_word(domain))
    cosines[domain] = F.normalize(clip.embed_images(part), dim=1) @ texts.T
    true[domain] = torch.tensor([task.classes.index(label) for label in part.labels])
""",
    (
        Choice(
            "predict",
            """
CLIP names 37 % of the infograph images correctly, with a mean confidence of 77 %. Keep only the labels it is most sure
of, so that at least 90 % of the kept ones are right. What fraction of infograph is left?""",
            {
                "a": (
                    "About 60 %.",
                    "That would need a confidence that tells right from wrong. It does so for "
                    "clipart, where 88 % can be kept, but not for infograph.",
                ),
                "b": (
                    "About 37 %, those that are right.",
                    "Only if all right labels had a higher confidence than all "
                    "wrong ones. Many wrong labels are very sure.",
                ),
                "c": (
                    "About 5 %.",
                    "The confidence says little here: nearly everything has to go, and with it the "
                    "domain. A filter for unsure labels removes the images that need help most.",
                ),
                "d": (
                    "Nothing: no subset is right so often.",
                    "The few most confident labels are mostly right; about 5 % can be kept.",
                ),
            },
            "c",
            ("Mean confidence 77 %, accuracy 37 %: what does that say about the sure labels?",),
            """
kept = {}
for domain, y in cosines.items():
    confidence, best = (100 * y).softmax(1).max(1)
    accuracy = analysis.accuracy_at_coverage(confidence.numpy(), (best == true[domain]).numpy())
    enough = np.flatnonzero(accuracy >= 0.9)
    kept[domain] = (enough.max() + 1) / len(accuracy) if len(enough) else 0.0
    print(f"{domain:10} named correctly {100 * accuracy[-1]:3.0f} %, can be kept {100 * kept[domain]:3.0f} %")
""",
            'assert kept["infograph"] < 0.1 and kept["clipart"] > 0.8',
        ),
        Choice(
            "explain",
            """
At the start of training, the bank holds CLIP's own image vectors, and the target x of the refinement is computed from
them. The labels do not change, whatever the number of steps. Why?""",
            {
                "a": ("The steps are too small.", "Many steps do not help either: the gradient itself is zero."),
                "b": (
                    "Target and labels are the same cosines, so the gradient softmax(y) - softmax(x) is zero.",
                    "Refinement moves the labels towards what the bank says. Only a bank that knows more than the "
                    "labels can improve them: refinement is the road, the bank is the destination.",
                ),
                "c": (
                    "ψ is zero for cosines below 0.5.",
                    "ψ is a normal density: it is small far from 0.5, but never zero.",
                ),
                "d": ("The labels are already right.", "Up to 63 % of them are wrong (infograph)."),
            },
            "b",
            ("What are x and y, if the bank's features are CLIP's?",),
        ),
        Implement(
            """
Write one step of refinement (CLAIR's equation 2, without ψ).""",
            refine,
            expected,
            cases,
            {
                away: "Your labels move *away* from the target: a step of descent subtracts the gradient.",
                softmax_without_scale: "The scale is missing inside the softmax. Without it both softmaxes are nearly "
                "uniform, and nearly equal.",
                without_softmax: "You moved y towards x directly. The gradient of the KL divergence is a difference "
                "of *probabilities*, softmax(scale y) - softmax(scale x).",
            },
            (
                "The docstring has the gradient; one line computes it.",
                "`(scale * labels).softmax(dim=1)` are the probabilities that the labels stand for.",
            ),
            """
y, x = cosines["quickdraw"], cosines["quickdraw"].clone()
wrong = x.argmax(1) != true["quickdraw"]
x[wrong] = 0.3 * F.one_hot(true["quickdraw"][wrong], len(names)).float()  # a bank that knows the truth
for steps in (0, 1, 10, 100):
    moved = y
    for _ in range(steps):
        moved = refine(moved, x, 100, 1e-4)
    right = (moved.argmax(1) == true["quickdraw"]).float().mean()
    print(f"{steps:3} steps towards a perfect bank: {100 * right:.0f} % of quickdraw's labels are right")
""",
        ),
        Open(
            """
Design a rule that decides which pseudo-labels a training should use. It may look at everything but the true labels.
Compare it, in two domains, with using all labels and with a threshold on the confidence.""",
            """It states the rule before measuring, and reports two numbers: how many labels are used, and how many of
those are right. Good rules use more than one image's confidence: agreement of prompts, of neighbours, or equal numbers
for each class. It notes that accuracy alone can be raised by dropping the hard domain.""",
            ("Agreement of two templates, or of an image and its nearest neighbours, is a start.",),
        ),
    ),
)
