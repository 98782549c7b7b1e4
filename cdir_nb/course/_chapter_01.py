"""Chapter 01: naming images with texts, and directions between domains."""

import torch
import torch.nn.functional as F

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.encoders.zero_shot import zero_shot_scores


def probabilities(images, texts, scale):
    """(N, K) the probability of each class for each image: a softmax over classes of scale times the cosine.

    images  (N, D) tensor of image vectors, of any length
    texts   (K, D) tensor, one text vector per class, of any length
    scale   a number; CLIP's is 100
    """
    cosines = F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T
    return (scale * cosines).softmax(dim=1)


def expected(images, texts, scale):
    return torch.softmax(scale * zero_shot_scores(images, texts), dim=1)


def without_unit_length(images, texts, scale):
    return (scale * images @ texts.T).softmax(dim=1)


def over_images(images, texts, scale):
    return (scale * zero_shot_scores(images, texts)).softmax(dim=0)


def without_scale(images, texts, scale):
    return zero_shot_scores(images, texts).softmax(dim=1)


def cases():
    random = torch.Generator().manual_seed(0)
    toy = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    large = 2 * torch.randn(5, 8, generator=random), torch.randn(4, 8, generator=random)
    return [(*toy, 2.0), (*large, 10.0)]


CHAPTER = Chapter(
    "01_clip_zero_shot",
    "CLIP alone",
    45,
    """
import pandas as pd
import torch.nn.functional as F

from cdir_nb import data, encoders, retrieval
from cdir_nb.course import check
from cdir_nb.encoders.zero_shot import prompt_embeddings

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
vectors = {domain: clip.embed_images(part) for domain, part in task.queries.items()}
labels = {domain: part.labels for domain, part in task.queries.items()}
""",
    (
        Choice(
            "predict",
            """
Infograph images show a thing among panels, arrows and text. Take the five directions *from* infograph and the five
directions *to* infograph. Which have the lower mean P@10?""",
            {
                "a": (
                    "Both are equal, because the cosine of two images is the same in both directions.",
                    "The cosines are the same, but each direction sorts other images against each other: a query's "
                    "ranking compares the images of its gallery only.",
                ),
                "b": (
                    "Those to infograph: the right images are hard to recognise.",
                    "In these directions all images "
                    "that compete are infographs, so what they have in common does not change their order. A clear "
                    "query can still find its class.",
                ),
                "c": (
                    "Those from infograph: the query itself is unclear.",
                    "A query that lies between the classes finds little in any gallery, however clear the gallery is.",
                ),
                "d": (
                    "Neither is lower than for other domains.",
                    "Infograph is the hardest domain, as query and as "
                    "gallery: the mean over all 30 directions is 44 %.",
                ),
            },
            "c",
            ("What do all results of one query have in common, in each of the two cases?",),
            """
def p_at_10(a, b):
    ranking = retrieval.rank(vectors[a], vectors[b], k=10)
    return 100 * retrieval.precision_at_k(ranking, labels[a], labels[b], 10, "hits_over_k").mean

precision = pd.Series({pair: p_at_10(*pair) for pair in task.directions})
from_it, to_it = precision["infograph"].mean(), precision[:, "infograph"].mean()
print(f"mean P@10 (hits_over_k): from infograph {from_it:.1f} %, to infograph {to_it:.1f} %, "
      f"all {len(precision)} directions {precision.mean():.1f} %")
""",
            "assert from_it < to_it - 5 and to_it < precision.mean()",
        ),
        Choice(
            "explain",
            """
clipart → quickdraw has P@10 of 55.9 %, quickdraw → clipart 39.1 %. Both use the same table of cosines, once by rows and
once by columns. Why can the numbers differ so much?""",
            {
                "a": (
                    "CLIP embeds queries and gallery images in different ways.",
                    "It does not: one encoder embeds "
                    "all images, whether they are queries or not. That is why the cosines are the same.",
                ),
                "b": (
                    "A ranking compares the cosines within one row, the other within one column; a cosine that is "
                    "high in its row need not be high in its column.",
                    "Which images compete decides. A clear "
                    "clipart image ranks quickdraw images well; a vague quickdraw image is near to several classes "
                    "of clipart at once.",
                ),
                "c": (
                    "One gallery has more images of the right class than the other.",
                    "Each gallery has 30 images of each of the 10 classes, and so chance is 10 % in both directions.",
                ),
                "d": (
                    "Queries are drawn at random, so each run gives other numbers.",
                    "All 300 images of a domain are queries; nothing is drawn at random.",
                ),
            },
            "b",
            ("Draw a 2 × 2 table of cosines in which both rows find their class and one column does not.",),
        ),
        Implement(
            """
CLIP names an image by comparing it with one text per class. Write the probabilities of all classes.""",
            probabilities,
            expected,
            cases,
            {
                without_unit_length: "You use dot products of the vectors as they are. The cosine divides by both "
                "lengths: normalise images and texts first, or a long vector wins by its length.",
                over_images: "Your softmax runs over the images: each *column* sums to 1. The classes of one image "
                "compete with each other, so each *row* must sum to 1.",
                without_scale: "The scale is missing. Cosines of CLIP lie close together, and a softmax of the raw "
                "cosines is nearly uniform.",
            },
            (
                "A cosine is the dot product of two vectors of length 1. `F.normalize(x, dim=1)` makes rows that long.",
                "`softmax(dim=1)` makes rows sum to 1, `softmax(dim=0)` columns.",
            ),
            """
texts = prompt_embeddings(clip, [card.display(name) for name in task.classes], "sketch")
best = probabilities(vectors["sketch"], texts, 100).argmax(1)
right = [task.classes[i] == label for i, label in zip(best, labels["sketch"])]
print(f"{100 * sum(right) / len(right):.1f} % of the sketches are named correctly")
""",
        ),
        Open(
            """
`prompt_embeddings` takes several templates, such as `("A {domain} of a {class}", "A {class}, {domain}")`. Find the
templates that name quickdraw images best. On which images did you choose them, and on which do you report the
accuracy?""",
            """It chooses templates on other images or classes than those it reports, for example on the training
classes (`task.seen`), and says how many templates were tried. Choosing and reporting on the same images overstates the
gain; chapter 11 measures by how much.""",
            ("`images.select(['quickdraw'], task.seen)` has images of other classes.",),
        ),
    ),
)
