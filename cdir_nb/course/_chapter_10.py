"""Chapter 10: the triplet loss of SketchLVM."""

import torch
import torch.nn.functional as F

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.methods.sketchlvm import losses


def triplet(anchor, positive, negative, margin):
    """The mean of max(0, margin + d(anchor, positive) - d(anchor, negative)), with d = 1 - cosine.

    anchor, positive, negative  (B, D) tensors of vectors, of any length: a sketch, a photo of its class, and a photo
                                of another class
    """
    near = 1 - F.cosine_similarity(anchor, positive, dim=1)
    far = 1 - F.cosine_similarity(anchor, negative, dim=1)
    return (margin + near - far).clamp(min=0).mean()


def expected(anchor, positive, negative, margin):
    return losses.triplet(anchor, positive, negative, margin)


def clamped_after_the_mean(anchor, positive, negative, margin):
    near, far = (1 - F.cosine_similarity(anchor, x, dim=1) for x in (positive, negative))
    return (margin + near - far).mean().clamp(min=0)


def exchanged(anchor, positive, negative, margin):
    return triplet(anchor, negative, positive, margin)


def euclidean(anchor, positive, negative, margin):
    near, far = ((anchor - x).norm(dim=1) for x in (positive, negative))
    return (margin + near - far).clamp(min=0).mean()


def cases():
    random = torch.Generator().manual_seed(0)
    toy = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.8, 0.6], [0.0, 1.0]])
    negatives = torch.tensor([[0.6, 0.8], [-1.0, 0.0]])
    return [(*toy, negatives, 0.3), (*torch.randn(3, 10, 6, generator=random), 0.2)]


CHAPTER = Chapter(
    "10_sketchlvm",
    "SketchLVM",
    45,
    """
import torch
import torch.nn.functional as F

from cdir_nb import data, encoders
from cdir_nb.course import check

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
sketches, photos = task.query("sketch"), task.gallery("real")
x, y = (F.normalize(clip.embed_images(part), dim=1) for part in (sketches, photos))
same = torch.from_numpy(sketches.labels[:, None] == photos.labels[None, :])
""",
    (
        Choice(
            "predict",
            """
Before any training: anchor a sketch, positive a random photo of its class, margin 0.1. What fraction of the triplets
has a loss above zero if the negative is a *random* photo of another class, and if it is the *nearest* such photo?""",
            {
                "a": (
                    "Random about 40 %, nearest about 97 %.",
                    "With random negatives most triplets teach nothing "
                    "from the first step on, and ever fewer do later. The nearest negative still hurts.",
                ),
                "b": (
                    "Both nearly 100 %: nothing was trained yet.",
                    "CLIP already knows much: a random photo of "
                    "another class is mostly further away than the positive, by more than the margin.",
                ),
                "c": (
                    "Random about 97 %, nearest about 40 %.",
                    "The nearest negative is the *hardest*: its loss is above zero more often, not less.",
                ),
                "d": (
                    "Both about 10 %.",
                    "P@10 of sketch → real is 48 %: for most sketches some photo of another "
                    "class is nearer than a random one of their own.",
                ),
            },
            "a",
            ("Which of the two negatives has the larger cosine with the anchor?",),
            """
random = torch.Generator().manual_seed(0)
cosine, rows = x @ y.T, torch.arange(len(x))
positive = cosine[rows, torch.multinomial(same.float(), 1, generator=random)[:, 0]]
negative = {"random": cosine[rows, torch.multinomial((~same).float(), 1, generator=random)[:, 0]],
            "nearest": cosine.masked_fill(same, -1).amax(1)}
active = {name: (0.1 - positive + s > 0).float().mean().item() for name, s in negative.items()}
print({name: f"{100 * value:.0f} %" for name, value in active.items()})
""",
            'assert 0.3 < active["random"] < 0.5 and active["nearest"] > 0.9',
        ),
        Choice(
            "explain",
            """
Two trainings start from the same CLIP, with labels of the seen classes: one uses triplets only, the other adds
a cross-entropy to the *texts* of the classes. Why can the texts help with classes that were never seen?""",
            {
                "a": (
                    "The names of the unseen classes are used in training.",
                    "They are not: that would no longer be zero-shot.",
                ),
                "b": (
                    "The texts of seen classes stay where CLIP put them, among the texts of all other names; images "
                    "pulled to them stay in the space in which unseen names have their place, too.",
                    "Triplets know which images belong together, but not where. The texts anchor the space.",
                ),
                "c": (
                    "A cross-entropy is always better than a triplet loss.",
                    "It is not: which is better depends on "
                    "the data and the metric. The question is what the *texts* add.",
                ),
                "d": (
                    "The texts give more training examples per class.",
                    "Each class has one text: the number of images is what it was.",
                ),
            },
            "b",
            ("What would triplets say if all images were rotated by the same matrix? What would the texts say?",),
        ),
        Implement(
            """
Write the triplet loss.""",
            triplet,
            expected,
            cases,
            {
                clamped_after_the_mean: "You clamp the mean. Each *triplet* is clamped at 0, so that easy triplets "
                "cannot pay for hard ones.",
                exchanged: "Positive and negative are exchanged: your loss pushes the right photo away.",
                euclidean: "You use the Euclidean distance; here d is 1 - cosine, which ignores lengths.",
            },
            ("`F.cosine_similarity(a, b, dim=1)` compares two tables row by row.", "`.clamp(min=0)` before `.mean()`."),
            """
one = torch.multinomial(same.float(), 1, generator=random)[:, 0]
other = torch.multinomial((~same).float(), 1, generator=random)[:, 0]
hardest = (x @ y.T).masked_fill(same, -1).argmax(1)
print(f"frozen CLIP, margin 0.3: random negatives {triplet(x, y[one], y[other], 0.3):.3f}, "
      f"nearest {triplet(x, y[one], y[hardest], 0.3):.3f}")
""",
        ),
        Open(
            """
The nearest negative may be wrongly labelled, or show the same thing under another name. Design a choice of negatives
that is harder than random and safer than the nearest, and say how you would measure whether it is better.""",
            """A common answer is *semi-hard*: further than the positive, but within the margin; others are the
nearest in a random batch, or a weight that grows with the cosine. The measurement compares the choices on classes
that none of them was trained on, with several seeds, and reports the difference with an interval.""",
            ("Batch-hard mining takes the nearest negative *of the batch*. Why is that safer?",),
        ),
    ),
)
