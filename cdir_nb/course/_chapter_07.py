"""Chapter 07: TKI's expansion loss, and what training on names keeps."""

import torch
import torch.nn.functional as F

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.methods.tki import losses


def loss_max(domains, alpha, mu):
    """TKI's L_max (equations 1 and 2): the mean over all pairs p ≠ q of log(1 + exp(alpha (s_pq - mu))).

    s_pq is the cosine of domain features p and q. The loss is small if all imagined domains are dissimilar.

    domains  (P, D) tensor, one feature per imagined domain, of any length
    """
    unit = F.normalize(domains, dim=1)
    s = unit @ unit.T
    terms = F.softplus(alpha * (s - mu))
    different = ~torch.eye(len(domains), dtype=torch.bool)
    return terms[different].mean()


def expected(domains, alpha, mu):
    return losses.loss_max(domains, alpha, mu)


def with_itself(domains, alpha, mu):
    unit = F.normalize(domains, dim=1)
    return F.softplus(alpha * (unit @ unit.T - mu)).mean()


def without_unit_length(domains, alpha, mu):
    terms = F.softplus(alpha * (domains @ domains.T - mu))
    return terms[~torch.eye(len(domains), dtype=torch.bool)].mean()


def rewards_similarity(domains, alpha, mu):
    return loss_max(domains, -alpha, mu)


def cases():
    random = torch.Generator().manual_seed(0)
    toy = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    return [(toy, 2.0, 0.1), (torch.randn(7, 16, generator=random) + 0.5, 8.0, 0.2)]


CHAPTER = Chapter(
    "07_data_free_tki",
    "TKI",
    50,
    """
import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb import data, encoders, retrieval
from cdir_nb.course import check
from cdir_nb.encoders.zero_shot import prompt_embeddings

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
vectors = {domain: F.normalize(clip.embed_images(part), dim=1) for domain, part in task.queries.items()}
labels = {domain: part.labels for domain, part in task.queries.items()}

def mean_p(change):
    values = []
    for a, b in task.directions:
        ranking = retrieval.rank(change(vectors[a]), change(vectors[b]), k=10)
        values.append(retrieval.precision_at_k(ranking, labels[a], labels[b], 10, "hits_over_k").mean)
    return 100 * np.mean(values)
""",
    (
        Choice(
            "predict",
            """
A crude TKI without training: keep of each image vector only what separates ten class names (the span of their centred
texts, 9 of 128 dimensions). Do this once with the names of the ten *query* classes, and once with ten *other* names.
What happens to P@10?""",
            {
                "a": (
                    "It rises with both: fewer dimensions mean less noise.",
                    "Fewer dimensions remove noise only if "
                    "the right ones stay. Other names keep what separates *other* things.",
                ),
                "b": (
                    "It rises with the query classes' names, and falls with other names.",
                    "What separates the given "
                    "names is kept, all else is dropped: also what would have separated the classes that were not "
                    "named. So it is with TKI.",
                ),
                "c": (
                    "It rises with the query classes' names, and stays the same with other names.",
                    "119 of 128 dimensions are dropped, and with them most of what separates the query classes.",
                ),
                "d": (
                    "It falls with both: 9 of 128 dimensions cannot be enough.",
                    "To separate ten classes 9 directions are enough, if they are the right ones.",
                ),
            },
            "b",
            ("Which differences between images survive in the span of ten names?",),
            """
def keep(names):
    texts = prompt_embeddings(clip, [card.display(name) for name in names], "picture")
    basis = torch.linalg.svd(texts - texts.mean(0), full_matrices=False)[2][: len(names) - 1]
    return lambda x: x @ basis.T

plain, own, other = mean_p(lambda x: x), mean_p(keep(task.classes)), mean_p(keep(task.seen[:10]))
print(f"P@10, mean of 30 directions: CLIP {plain:.1f} %, own names {own:.1f} %, ten other names {other:.1f} %")
""",
            "assert own > plain + 1 and other < plain - 1",
        ),
        Choice(
            "explain",
            """
With the ten query classes in the gallery, TKI is above CLIP. With 30 more classes in the gallery, which it was not
given, its advantage is gone. Why?""",
            {
                "a": (
                    "P@10 falls with every method when the gallery grows.",
                    "It does, also for CLIP. The question is why TKI falls *more*.",
                ),
                "b": (
                    "TKI has dropped what would separate the ten classes from the 30 others, so these can no longer "
                    "be told from them.",
                    "It was trained to separate ten names and to treat all else as style. A "
                    "number of TKI means little without the number of classes in its gallery.",
                ),
                "c": ("The 30 other classes have more images.", "All classes have 30 images per domain."),
                "d": (
                    "TKI was trained for too few steps.",
                    "More steps separate the ten given names better; they "
                    "teach nothing about names that were not given.",
                ),
            },
            "b",
            ("Think of the crude TKI above: what do images of a class that was not named look like in its span?",),
        ),
        Implement(
            """
Write L_max, the part of TKI's expansion loss that makes imagined domains dissimilar.""",
            loss_max,
            expected,
            cases,
            {
                with_itself: "Your mean includes the pairs p = q, whose cosine is always 1. Leave the diagonal out.",
                without_unit_length: "You use dot products. Equation 2 has cosines: normalise the features first, or "
                "the loss can be lowered by making them short.",
                rewards_similarity: "The sign is reversed: your loss is small if the domains are *alike*.",
            },
            (
                "log(1 + exp(z)) is `F.softplus(z)`, which does not overflow.",
                "`~torch.eye(P, dtype=torch.bool)` selects all pairs p ≠ q.",
            ),
            """
words = ("photo", "painting", "sketch", "clipart", "infograph", "quickdraw")
features = torch.stack([prompt_embeddings(clip, ["thing", "object"], word).mean(0) for word in words])
print(f"L_max of the six real domain words: {loss_max(features, 8, 0.2):.2f}")
free = torch.nn.Parameter(features.clone())
optimiser = torch.optim.Adam([free], lr=0.02)
for step in range(100):
    optimiser.zero_grad()
    loss_max(free, 8, 0.2).backward()
    optimiser.step()
print(f"after 100 steps: {loss_max(free, 8, 0.2).item():.2f}")
""",
        ),
        Open(
            """
You are given a folder of photos and sketches of kitchen tools, and CLIP. TKI needs names. Which names would you give
it, and how would you find out, without labels, whether they help or harm?""",
            """It says that names of all classes in the gallery are needed, and what happens to classes that were
forgotten. A check without labels: how often do CLIP's guesses for an image stay the same, or a handful of queries
judged by eye, chosen before looking. It names the case in which TKI should not be used: names that CLIP does not
know.""",
            ("What can be counted without labels? CLIP's zero-shot guesses are one such thing.",),
        ),
    ),
)
