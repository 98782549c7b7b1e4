"""Chapter 11: intervals over classes, and selection."""

import numpy as np

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.course.figures import drawn_means


def interval(a, b, picks):
    """(low, high): the 95 % bootstrap interval of the mean difference a - b, over classes.

    a, b   (C,) arrays: the mean of each class by two methods, in the same order of classes
    picks  (B, C) array of class numbers: row i has the classes of draw i, drawn with replacement

    In each draw, both methods are averaged over the same classes. 2.5 % of the draws are left out at each end.
    """
    differences = (a - b)[picks].mean(axis=1)
    low, high = np.quantile(differences, [0.025, 0.975])
    return low, high


def expected(a, b, picks):
    means = [np.mean([a[i] for i in row]) - np.mean([b[i] for i in row]) for row in picks]
    return tuple(np.percentile(means, [2.5, 97.5]))


def spread_of_classes(a, b, picks):
    return tuple(np.quantile(a - b, [0.025, 0.975]))


def ninety_percent(a, b, picks):
    return tuple(np.quantile((a - b)[picks].mean(axis=1), [0.05, 0.95]))


def unpaired(a, b, picks):
    return tuple(np.quantile(a[picks].mean(axis=1) - b[picks[::-1]].mean(axis=1), [0.025, 0.975]))


def cases():
    random = np.random.default_rng(0)
    toy = np.array([60.0, 30.0]), np.array([50.0, 32.0]), np.array([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]])
    return [toy, (random.normal(50, 20, 10), random.normal(45, 20, 10), random.integers(0, 10, (500, 10)))]


CHAPTER = Chapter(
    "11_chance_and_selection",
    "chance and selection",
    50,
    """
import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb import data, encoders, retrieval
from cdir_nb.course import check, figure

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
query, gallery = task.query("sketch"), task.gallery("real")
x, y = (F.normalize(clip.embed_images(part), dim=1) for part in (query, gallery))

def hits_of(query_vectors, gallery_vectors):
    ranking = retrieval.rank(query_vectors, gallery_vectors, k=10)
    return 100 * retrieval.precision_at_k(ranking, query.labels, gallery.labels, 10, "hits_over_k").values

plain, centred = hits_of(x, y), hits_of(x - x.mean(0), y - y.mean(0))
""",
    (
        Choice(
            "predict",
            """
sketch → real, P@10 of CLIP is 47.5 %, from 300 queries of 10 classes. A bootstrap over *queries* gives an interval 7
points wide. How wide is the interval if *classes* are drawn instead?""",
            {
                "a": (
                    "The same: these are the same 300 numbers.",
                    "The queries of a class are alike: 30 guitars "
                    "tell less about new classes than 30 different things.",
                ),
                "b": (
                    "About 24 points.",
                    "What varies most is the class: some are easy, some hard, and there are only "
                    "ten. A claim about new classes needs this interval.",
                ),
                "c": (
                    "About 2 points: means of classes vary less than single queries.",
                    "Each mean varies less, but there are ten of them instead of 300, and they differ a lot.",
                ),
                "d": (
                    "About 9 points, a little wider.",
                    "That would be so if classes differed little. Their P@10 goes from below 20 % to above 80 %.",
                ),
            },
            "b",
            ("How many independent things are drawn in each case?",),
            """
def width(groups):
    low, high = retrieval.bootstrap_interval(plain, groups)
    return high - low

over_queries, over_classes = width(None), width(query.labels)
print(f"P@10 {plain.mean():.1f} %; width of the interval: over queries {over_queries:.1f}, "
      f"over classes {over_classes:.1f} points")
""",
            "assert over_queries < 9 and 20 < over_classes < 28",
        ),
        Choice(
            "explain",
            """
A method that learns nothing is evaluated after each of 50 epochs; its P@10 on the test set goes up and down by chance.
The paper reports the best epoch. Why is this number too high, even if all 50 numbers are unbiased?""",
            {
                "a": ("Early epochs have a lower P@10.", "Not here: this method learns nothing."),
                "b": (
                    "The largest of many noisy numbers is the one with the luckiest noise.",
                    "Each number is right "
                    "on average, their maximum is not. Choose the epoch on other data than those you report.",
                ),
                "c": (
                    "50 epochs are too few for a mean.",
                    "No mean is taken, and more epochs would make the maximum larger still.",
                ),
                "d": ("P@10 is biased.", "Each of the 50 numbers may be unbiased; the bias comes from choosing."),
            },
            "b",
            ("Roll one die and note the number; roll 50 dice and note the largest. Which is unbiased?",),
        ),
        Implement(
            """
Write the bootstrap interval of a difference between two methods, over classes. In the figure: the differences that
1,000 draws give, and the interval.""",
            interval,
            expected,
            cases,
            {
                spread_of_classes: "These are quantiles of the *classes*. The interval is about the mean: average "
                "each draw first, then quantiles of these means.",
                ninety_percent: "You leave out 5 % at each end, which is a 90 % interval. For 95 %, leave out 2.5 %.",
                unpaired: "Each method has draws of its own. Draw the same classes for both: what is hard for one is "
                "hard for the other, and in the difference this cancels.",
            },
            (
                "`(a - b)[picks]` has the shape of `picks`: one row per draw.",
                "The mean of each row, then `np.quantile(means, [0.025, 0.975])`.",
            ),
            """
names = np.array(task.classes)
a, b = (np.array([values[query.labels == name].mean() for name in names]) for values in (centred, plain))
picks = np.random.default_rng(0).integers(0, len(names), (1000, len(names)))
low, high = interval(a, b, picks)
print(f"centred minus CLIP: {(a - b).mean():.1f} points, 95 % interval over classes {low:.1f} to {high:.1f}")
""",
            figure=drawn_means,
        ),
        Open(
            """
Choose a claim of a paper of the book. How many classes and how many seeds would you need to decide it, if its effect is
as large as the paper says? Say which of the two matters more, and why.""",
            """It takes the spread between classes and between seeds from numbers of the book, not from memory, and
compares the width of the interval, which shrinks with the square root of the number of classes, with the effect. In
most cases classes matter more: seeds differ by one or two points, classes by tens.""",
            ("The width shrinks as one over the square root of the number of classes.",),
        ),
    ),
)
