"""Chapter 04: the mapping Q, by orthogonal Procrustes."""

import torch

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.course.figures import rotated
from cdir_nb.methods.clair import mapping


def procrustes(source, target):
    """(D, D) the orthogonal Q that minimises the sum of ||Q s - t||² over pairs of rows (s, t).

    source, target  (n, D) tensors; row i of both belongs to the same object, and n ≥ D
    """
    u, _, vt = torch.linalg.svd(target.T @ source)
    return u @ vt


def expected(source, target):
    return mapping.procrustes(source, target)


def least_squares(source, target):
    return torch.linalg.lstsq(source, target).solution.T


def from_target_to_source(source, target):
    return procrustes(target, source)


def with_singular_values(source, target):
    return target.T @ source


def cases():
    random = torch.Generator().manual_seed(0)
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    toy = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    source = torch.randn(12, 4, generator=random)
    target = source @ torch.linalg.qr(torch.randn(4, 4, generator=random))[0].T
    return [(toy, toy @ turn.T + 0.1), (source, target + 0.2 * torch.randn(12, 4, generator=random))]


CHAPTER = Chapter(
    "04_domain_mapping",
    "the mapping Q",
    50,
    """
import torch
import torch.nn.functional as F

from cdir_nb import data, encoders, retrieval
from cdir_nb.course import check, figure
from cdir_nb.methods.clair import mapping

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
query, gallery = task.query("clipart"), task.gallery("sketch")
x, y = (F.normalize(clip.embed_images(part), dim=1) for part in (query, gallery))
words = {domain: card.domain_word(domain) for domain in ("clipart", "sketch")}
texts = mapping.text_pairs(clip, data.object_names(exclude=task.classes), words)

def p_at_10(query_vectors, gallery_vectors):
    ranking = retrieval.rank(query_vectors, gallery_vectors, k=10)
    return 100 * retrieval.precision_at_k(ranking, query.labels, gallery.labels, 10, "hits_over_k").mean
""",
    (
        Choice(
            "predict",
            """
In clipart → sketch, P@10 is 49.6 % for CLIP as it is, 60.0 % with Q (+10.4), and 66.3 % centred (+16.7). What is it
with both, Q after centring?""",
            {
                "a": (
                    "About 77 %: the gains add up.",
                    "They would if Q and centring removed different things. Both "
                    "remove mainly the offset between the domains, and it can be removed only once.",
                ),
                "b": (
                    "About 66 %, as with centring alone.",
                    "Once the offset is gone, nothing is left that Q could repair.",
                ),
                "c": ("About 60 %, as with Q alone.", "Q does not undo centring: the offset stays removed."),
                "d": (
                    "Below 50 %: Q was made for vectors that are not centred.",
                    "Q is a rotation, so the centred "
                    "queries keep their angles to each other, and the rotation is a small one for what is left.",
                ),
            },
            "b",
            ("What does each of the two remove?",),
            """
q = mapping.procrustes(texts["clipart"], texts["sketch"])
a, b = x - x.mean(0), y - y.mean(0)
values = {"CLIP": p_at_10(x, y), "Q": p_at_10(x @ q.T, y), "centred": p_at_10(a, b), "both": p_at_10(a @ q.T, b)}
print({name: round(float(value), 1) for name, value in values.items()})
""",
            'assert abs(values["both"] - values["centred"]) < 2 and values["centred"] > values["Q"] + 3',
        ),
        Choice(
            "explain",
            """
Instead of mapping the queries by Q, map the gallery by Qᵀ. The ranking does not change. Why?""",
            {
                "a": (
                    "Q is close to the identity.",
                    "It is not: many planes are turned by large angles, and P@10 changes by ten points.",
                ),
                "b": (
                    "(Q x) · y = x · (Qᵀ y), and Qᵀ does not change lengths because Q is orthogonal.",
                    "All cosines are equal, so all rankings are. Without orthogonality the dot products would "
                    "still be equal, but the lengths of the vectors, and so the cosines, would not.",
                ),
                "c": (
                    "Qᵀ is the Q of the opposite direction, which is fitted to the same texts.",
                    "It is, but this explains only where Qᵀ comes from, not why rankings stay.",
                ),
                "d": (
                    "A ranking depends only on distances within the gallery, and Qᵀ keeps these.",
                    "A ranking "
                    "depends on the similarity of the query and each gallery image; distances within the gallery "
                    "do not enter.",
                ),
            },
            "b",
            ("Write the cosine of Q x and y as a formula, and move Q to the other side.",),
        ),
        Implement(
            """
Write orthogonal Procrustes. Left in the figure: eight pairs of texts, joined by lines; right: after your Q, the
discs lie on their crosses.""",
            procrustes,
            expected,
            cases,
            {
                least_squares: "This is the least-squares map: it may also stretch. Q must be orthogonal, Q Qᵀ = 1.",
                from_target_to_source: "This Q maps `target` to `source`; the task is the opposite direction. "
                "Exchange the two in the product, or return the transpose.",
                with_singular_values: "You kept the singular values: `target.T @ source` is U S Vᵀ, which stretches. "
                "Leave S out, and the result is orthogonal.",
            },
            (
                "The sum is least where the trace of Qᵀ (targetᵀ source) is largest.",
                "Take the SVD of `target.T @ source`, a (D, D) matrix.",
                "`u, s, vt = torch.linalg.svd(target.T @ source)`; Q = U Vᵀ.",
            ),
            """
q = procrustes(texts["clipart"].double(), texts["sketch"].double()).float()
print(f"clipart → sketch, P@10: CLIP {p_at_10(x, y):.1f} %, with your Q {p_at_10(x @ q.T, y):.1f} %")
""",
            figure=rotated,
        ),
        Open(
            """
Which names does Q need? Choose 30 of the 1,600 object names by a rule of your own (random, short, furniture, ...), and
compare P@10 with all names. Can you choose 30 names that are better than all of them? How do you know that this is not
chance?""",
            """It compares several random sets of 30 names, so that the spread between sets is known, and then its own
rule with the same number of names. A set that is best of many tried is no evidence: it should be tested on another
direction, chosen before.""",
            ("`names = data.object_names(exclude=task.classes)`; rows of `texts[domain]` are in the same order.",),
        ),
    ),
)
