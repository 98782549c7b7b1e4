"""Chapter 00: P@k, and what belongs to a number."""

import numpy as np

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.retrieval import Ranking
from cdir_nb.retrieval import precision_at_k as package_precision


def precision_at_k(scores, query_labels, gallery_labels, k):
    """P@k (hits over k), the mean over queries of the fraction of right results among the first k.

    scores          (Q, G) array: the similarity of each query and each gallery image, higher is nearer
    query_labels    (Q,) array of class names
    gallery_labels  (G,) array of class names
    """
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    hits = gallery_labels[first] == query_labels[:, None]
    return hits.mean()


def expected(scores, query_labels, gallery_labels, k):
    order = np.argsort(-scores, axis=1, kind="stable")
    ranking = Ranking(order, np.take_along_axis(scores, order, axis=1), scores.shape[1])
    return package_precision(ranking, query_labels, gallery_labels, k, "hits_over_k").mean


def lowest_first(scores, query_labels, gallery_labels, k):
    return precision_at_k(-scores, query_labels, gallery_labels, k)


def divided_by_relevant(scores, query_labels, gallery_labels, k):
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    hits = (gallery_labels[first] == query_labels[:, None]).sum(1)
    return (hits / (gallery_labels == query_labels[:, None]).sum(1)).mean()


def any_hit(scores, query_labels, gallery_labels, k):
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (gallery_labels[first] == query_labels[:, None]).any(1).mean()


def cases():
    toy = np.array([[0.9, 0.2, 0.8, 0.1], [0.3, 0.4, 0.7, 0.6]]), np.array(["cat", "dog"])
    random = np.random.default_rng(0)
    labels = np.array(["cat", "dog", "owl"])
    large = random.normal(size=(6, 20)), labels[np.arange(6) % 3], labels[np.arange(20) % 3]
    return [(*toy, np.array(["cat", "dog", "dog", "cat"]), 2), (*large, 5), (*large, 1)]


CHAPTER = Chapter(
    "00_tour",
    "a tour of the workbook",
    40,
    """
import numpy as np
import torch.nn.functional as F

from cdir_nb import data, encoders, retrieval
from cdir_nb.course import check

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
query, gallery = task.query("quickdraw"), task.gallery("sketch")
""",
    (
        Choice(
            "predict",
            """
The gallery has 300 images, of which 30 have the query's class. What is the largest P@200 that any method can reach,
with the convention `hits_over_k`?""",
            {
                "a": (
                    "100 %",
                    "With 200 ranks and only 30 right images, at least 170 results are wrong. 100 % is the "
                    "largest value of another convention, `hits_over_min_k_relevant`, which divides by 30.",
                ),
                "b": ("30 %", "30 is the number of right images, not a percentage: divide it by the 200 ranks."),
                "c": (
                    "15 %",
                    "A perfect ranking has its 30 hits first, and 30 of 200 is 15 %. A number that looks bad "
                    "may be the best possible one; look at the convention first.",
                ),
                "d": (
                    "10 %",
                    "That is chance: a random order has 10 % hits at any k. A perfect ranking has all 30 "
                    "hits among the first 200, and so 30 of 200.",
                ),
            },
            "c",
            (
                "Imagine the best possible ranking: which ranks are hits?",
                "P@k divides by k, whatever the number of right images.",
            ),
            """
perfect = np.arange(200) < 30
print(f"P@200, hits_over_k: {100 * perfect.mean():.0f} %")
""",
            "assert perfect.mean() == 0.15",
        ),
        Choice(
            "explain",
            """
Paper A reports 46 % for its method, paper B reports 44 % for another; both write "P@10 on DomainNet". Why can you not
yet say that A's method finds more?""",
            {
                "a": (
                    "Two points are always within the noise.",
                    "Whether two points are noise depends on the number "
                    "of queries and classes; with thousands of queries they need not be. The first question is "
                    "whether both numbers mean the same.",
                ),
                "b": (
                    "Convention, gallery, classes or encoder may differ, and each can move P@10 by more than two "
                    "points.",
                    "Before two numbers are compared, their contexts must be: the same metric in the "
                    "same convention, the same queries and gallery, and the same encoder.",
                ),
                "c": (
                    "P@10 is a bad metric; only mAP can compare methods.",
                    "Any metric compares rankings of the same "
                    "gallery. mAP has even more conventions than P@10, so it does not help here.",
                ),
                "d": (
                    "A's method may have been trained longer.",
                    "Longer training would be a reason *why* A finds "
                    "more. The question is whether it finds more at all.",
                ),
            },
            "b",
            ("What would you have to know in order to reproduce each of the two numbers?",),
        ),
        Implement(
            """
Write P@k. The stub says what goes in and what comes out.""",
            precision_at_k,
            expected,
            cases,
            {
                lowest_first: "The order is reversed: similarities are sorted from the lowest to the highest. "
                "`np.argsort` sorts upwards, so sort `-scores`.",
                divided_by_relevant: "You divide the hits by the number of right images in the gallery. That is "
                "*recall* at k; P@k divides by k.",
                any_hit: "You count whether a query has *any* hit. That is the hit rate; P@k counts all hits among "
                "the first k.",
            },
            (
                "`np.argsort(-scores, axis=1)` gives, for each query, the gallery rows from best to worst.",
                "`gallery_labels[rows]` has the shape of `rows`. Compare it with `query_labels[:, None]`.",
                "`first = np.argsort(-scores, axis=1)[:, :k]`; the mean of a Boolean array is the fraction of True.",
            ),
            """
x, y = (F.normalize(clip.embed_images(part), dim=1).numpy() for part in (query, gallery))
value = precision_at_k(x @ y.T, query.labels, gallery.labels, 5)
print(f"quickdraw → sketch, P@5: {100 * value:.1f} %")
""",
        ),
        Open(
            """
Six domains give 30 directions. Look at the images in the chapter and write down the three directions that you expect to
be hardest, and why. Then compute P@10 of all 30 and compare. What did you overlook?""",
            """It names a reason *before* the numbers, such as "infograph hides the object between other things". It
reports all 30 numbers, or at least the ranks of the three guesses. The hardest directions start from infograph (18.7 to
24.1 % for the five), which many expect; that infograph is easier as a gallery (21.0 to 37.1 %) is what most
overlook.""",
            ("Loop over `task.directions` with the function that you wrote.",),
        ),
    ),
)
