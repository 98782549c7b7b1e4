"""Chapter 02: conventions of precision and average precision."""

import numpy as np

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.retrieval import Ranking
from cdir_nb.retrieval import average_precision as package_ap


def average_precision(hits, n_relevant):
    """AP of one query: the sum of the precisions at the ranks of hits, divided by the number of right images.

    hits        (G,) Boolean array in the order of the ranking: whether the result at rank 1, 2, ... is right
    n_relevant  number of right images in the gallery; more than `hits` has if the ranking was cut off
    """
    ranks = np.arange(1, len(hits) + 1)
    precision = np.cumsum(hits) / ranks
    return (precision * hits).sum() / n_relevant


def expected(hits, n_relevant):
    n = len(hits) + n_relevant - hits.sum()  # the right images that are not in the ranking come last
    labels = np.r_[hits, np.ones(n - len(hits), dtype=bool)]
    ranking = Ranking(np.arange(n)[None], -np.arange(n, dtype=float)[None], n)
    return package_ap(ranking, np.array([True]), labels, len(hits), "over_relevant").mean


def at_every_rank(hits, n_relevant):
    return (np.cumsum(hits) / np.arange(1, len(hits) + 1)).mean()


def over_found(hits, n_relevant):
    return average_precision(hits, hits.sum())


def reciprocal_ranks(hits, n_relevant):
    return (hits / np.arange(1, len(hits) + 1)).sum() / n_relevant


def cases():
    return [
        (np.array([True, False, True, False]), 2),
        (np.array([False, True, True, False, True, False]), 5),
        (np.arange(40) % 3 == 0, 30),
    ]


CHAPTER = Chapter(
    "02_conventions",
    "how numbers are made",
    45,
    """
import numpy as np

from cdir_nb import data, encoders, retrieval
from cdir_nb.course import check

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
query, gallery = task.query("sketch"), task.gallery("real")
ranking = retrieval.rank(clip.embed_images(query), clip.embed_images(gallery))
""",
    (
        Choice(
            "predict",
            """
A *perfect* ranking has all n = 30 right images first. Which of the four measures are below 100 % at k = 60?

`P@60:hits_over_k`, `P@60:hits_over_min_k_relevant`, `mAP@60:over_min_k_relevant`, `mAP@60:over_relevant`""",
            {
                "a": (
                    "None: the ranking is perfect.",
                    "`hits_over_k` divides by 60 ranks, of which only 30 can be hits: it says 50 %.",
                ),
                "b": (
                    "Only `hits_over_k`.",
                    "It divides by k, and beyond rank n no hit is left. The others divide by "
                    "what can be found, and so a perfect ranking has 100 % at any k ≥ n.",
                ),
                "c": (
                    "Both precisions.",
                    "`hits_over_min_k_relevant` looks at the first min(k, n) = 30 ranks, which are all hits: 100 %.",
                ),
                "d": (
                    "All but `mAP@60:over_relevant`.",
                    "Average precision adds the precision at the ranks of hits "
                    "only. In a perfect ranking each of these is 1, and n of them over n or min(k, n) give 100 %.",
                ),
            },
            "b",
            ("Write the numerator and denominator of each at k = 60.",),
            """
perfect = retrieval.Ranking(np.arange(300)[None], -np.arange(300.0)[None], 300)
relevant = np.where(np.arange(300) < 30, "cat", "dog")
for measure in retrieval.evaluate(perfect, np.array(["cat"]), relevant, ks=(60,), ap_ks=(60,)):
    print(f"{measure.name:32} {100 * measure.mean:5.0f} %")
""",
            """
measures = retrieval.evaluate(perfect, np.array(["cat"]), relevant, ks=(60,), ap_ks=(60,))
values = {measure.convention: measure.mean for measure in measures}
assert values.pop("hits_over_k") == 0.5 and set(values.values()) == {1.0}""",
        ),
        Choice(
            "explain",
            """
30 gallery images are right. A method finds one of them at rank 1, and none of the others among the first 200. In the
convention `over_found`, its AP@200 is 100 %. Why?""",
            {
                "a": ("AP looks at the first hit only.", "It looks at all hits within k. Here there is only one."),
                "b": (
                    "`over_found` divides by the hits within k, here 1; the 29 right images that were missed do not "
                    "count.",
                    "The sum of precisions is 1 and so is the denominator. `over_relevant` divides by 30 "
                    "and says 3.3 %.",
                ),
                "c": ("29 of 30 misses are rounded away.", "Nothing is rounded: 1 / 1 is exactly 100 %."),
                "d": (
                    "A hit at rank 1 is what AP is made to reward, so all conventions say 100 %.",
                    "`over_relevant` says 3.3 %: 1 / 30. The conventions differ only in what they divide by.",
                ),
            },
            "b",
            ("Which number is in the denominator of AP, in each of the conventions?",),
        ),
        Implement(
            """
Write average precision, in the textbook convention `over_relevant`.""",
            average_precision,
            expected,
            cases,
            {
                at_every_rank: "You average the precision over *all* ranks. Only the precisions at the ranks of hits "
                "count, and the sum is divided by the number of right images.",
                over_found: "You divide by the number of hits that were found. That is the convention `over_found`, "
                "which does not punish what is missing; the task asks for division by `n_relevant`.",
                reciprocal_ranks: "At each hit you add 1 / rank. The precision at a hit is the number of hits *so far* "
                "divided by the rank.",
            },
            (
                "With hits at ranks 1 and 3, the precisions at hits are 1/1 and 2/3, and with two right images AP is "
                "their sum over 2.",
                "`np.cumsum(hits)` counts the hits so far.",
                "`precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)`; multiply by `hits` before the sum.",
            ),
            """
hits = gallery.labels[ranking.indices] == query.labels[:, None]
mine = np.mean([average_precision(row, row.sum()) for row in hits])
package = retrieval.average_precision(ranking, query.labels, gallery.labels, None, "over_relevant").mean
print(f"sketch → real, mAP@all: {100 * mine:.2f} % by hand, {100 * package:.2f} % by the package")
""",
        ),
        Open(
            """
Compute P@10, P@100 and mAP@200 of this ranking in all their conventions. Choose the one number that you would print in
an abstract, and the one that you would print if the method were a competitor's. Which sentence in a paper would have
prevented both choices?""",
            """It lists all values with their names, sees that they span a wide range for one ranking, and
concludes that metric and convention have to be fixed before the results are known. A good sentence names metric,
cut-off, denominator, queries without a right image, and whether the query itself is in the gallery.""",
            ("`retrieval.evaluate(ranking, query.labels, gallery.labels, ks=(10, 100), ap_ks=(200,))`",),
        ),
    ),
)
