"""Chapter 03: centring frozen vectors."""

import torch
import torch.nn.functional as F

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.course.figures import before_and_after
from cdir_nb.retrieval import postprocess


def centre(query, gallery):
    """Both sets without the mean of their own domain: unit length, minus the mean, unit length again.

    query    (Q, D) tensor of vectors, of any length
    gallery  (G, D) tensor
    Returns the two new tensors, (Q, D) and (G, D).
    """
    query, gallery = F.normalize(query, dim=1), F.normalize(gallery, dim=1)
    return F.normalize(query - query.mean(0), dim=1), F.normalize(gallery - gallery.mean(0), dim=1)


def expected(query, gallery):
    query, gallery = F.normalize(query, dim=1), F.normalize(gallery, dim=1)
    return postprocess.centre(query, gallery, query.mean(0), gallery.mean(0))


def joint_mean(query, gallery):
    query, gallery = F.normalize(query, dim=1), F.normalize(gallery, dim=1)
    mean = torch.cat([query, gallery]).mean(0)
    return F.normalize(query - mean, dim=1), F.normalize(gallery - mean, dim=1)


def mean_of_gallery(query, gallery):
    query, gallery = F.normalize(query, dim=1), F.normalize(gallery, dim=1)
    return F.normalize(query - gallery.mean(0), dim=1), F.normalize(gallery - gallery.mean(0), dim=1)


def raw_mean(query, gallery):
    return F.normalize(query - query.mean(0), dim=1), F.normalize(gallery - gallery.mean(0), dim=1)


def cases():
    random = torch.Generator().manual_seed(0)
    toy = torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([[2.0, 0.0], [0.6, 0.8], [0.0, -1.0]])
    large = torch.randn(6, 5, generator=random) + 1, 3 * torch.rand(8, 5, generator=random)
    return [toy, large]


CHAPTER = Chapter(
    "03_frozen_vectors",
    "failures, hubs and frozen vectors",
    50,
    """
import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb import analysis, data, encoders, retrieval
from cdir_nb.course import check, figure

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
vectors = {domain: F.normalize(clip.embed_images(part), dim=1) for domain, part in task.queries.items()}
labels = {domain: part.labels for domain, part in task.queries.items()}

def p_at_10(query, gallery, pair):
    ranking = retrieval.rank(query, gallery, k=10)
    return 100 * retrieval.precision_at_k(ranking, labels[pair[0]], labels[pair[1]], 10, "hits_over_k").mean
""",
    (
        Choice(
            "predict",
            """
Subtract from queries and gallery the mean vector of *their own* domain: P@10 rises by 8 points, from 43.9 to 51.9 %
(mean of 30 directions). What if you subtract *one joint mean* of both domains instead?""",
            {
                "a": (
                    "It rises as much: a mean is a mean.",
                    "The joint mean lies between the two domains. Subtracting "
                    "it moves both by the same vector, so the shift from one to the other stays.",
                ),
                "b": (
                    "It rises by 2 points.",
                    "The shift between the domains stays. A little is gained, because "
                    "what all images of both domains have in common no longer adds to every cosine.",
                ),
                "c": (
                    "It does not change at all: cosines do not depend on a shift of all vectors.",
                    "Euclidean distances do not change if all vectors move by the same vector, but cosines do: they "
                    "are angles as seen from the origin.",
                ),
                "d": ("It falls far below CLIP.", "Nothing that tells classes apart is removed: P@10 does not fall."),
            },
            "b",
            ("Draw two clouds of points, the mean of each, and the mean of all.", "What stays between the clouds?"),
            """
def mean_p(change):
    return np.mean([p_at_10(*change(vectors[a], vectors[b]), (a, b)) for a, b in task.directions])

def own_means(x, y):
    return x - x.mean(0), y - y.mean(0)

def one_mean(x, y):
    mean = torch.cat([x, y]).mean(0)
    return x - mean, y - mean

plain, own, joint = mean_p(lambda x, y: (x, y)), mean_p(own_means), mean_p(one_mean)
print(f"P@10, mean of 30 directions: as they are {plain:.1f} %, own means {own:.1f} %, one mean {joint:.1f} %")
""",
            "assert own - plain > 7 and 0 < joint - plain < 3",
        ),
        Choice(
            "explain",
            """
In sketch → real one photo is among the first 10 results of 192 of the 300 queries: a hub. After centring, the most
popular image is found by 33. Why does centring remove hubs?""",
            {
                "a": (
                    "It deletes images that are found too often.",
                    "No image is removed, and no count is looked at. Only two mean vectors are subtracted.",
                ),
                "b": ("It makes all vectors equally long.", "Cosines ignore lengths anyway, with or without centring."),
                "c": (
                    "All queries share the offset of their domain; the gallery images that point along this offset "
                    "are near to every query. Without the offset no image is near to all.",
                    "The inner product with "
                    "the mean query is the same for all queries, and so it says nothing about a query's class. "
                    "Centring removes just this part.",
                ),
                "d": ("It makes the classes equally large.", "The classes have 30 images each, before and after."),
            },
            "c",
            ("Write a query as the mean of all queries plus a remainder. Which part of the cosine do all share?",),
        ),
        Implement(
            """
Write centring. Left in the figure: two domains (discs and crosses) with three classes (colours), as they are; right:
after `centre`.""",
            centre,
            expected,
            cases,
            {
                joint_mean: "You subtract one joint mean of both sets. It lies between them, and their shift stays: "
                "each set has a mean of its own.",
                mean_of_gallery: "You subtract the gallery's mean from the queries, too. Each set has a mean of its "
                "own.",
                raw_mean: "The vectors were not brought to unit length before their mean was taken, so that long "
                "vectors count more than short ones.",
            },
            (
                "The steps are: unit length, subtract the mean over rows, unit length.",
                "`F.normalize(x, dim=1)`, `x.mean(0)`.",
            ),
            """
pair = ("sketch", "real")
x, y = vectors["sketch"], vectors["real"]
for name, (a, b) in {"as they are": (x, y), "centred": centre(x, y)}.items():
    found = retrieval.rank(a, b, k=10).indices
    most = analysis.k_occurrence(np.asarray(found), len(y), 10).max()
    print(f"{name}: P@10 {p_at_10(a, b, pair):.1f} %, the most popular photo is found by {most} of 300 queries")
""",
            figure=before_and_after,
        ),
        Open(
            """
The chapter shows how many queries a mean needs if they come from all classes. In practice one user asks for guitars
all day. Estimate the queries' mean from 30 queries of two classes, centre with it, and measure P@10 of *all* queries,
and of these two classes. What goes wrong, and what would you do in a search engine?""",
            """It compares three means: of all queries, of 30 random queries, and of 30 queries of two classes. It
sees that a mean of few classes holds what these classes have in common, so that subtracting it removes part of what
tells them from others, and it repeats this for several pairs of classes. Remedies are a mean of training images or of
past queries of many users, and each remedy is measured.""",
            ("`retrieval.postprocess.centre` takes the means as arguments.",),
        ),
    ),
)
