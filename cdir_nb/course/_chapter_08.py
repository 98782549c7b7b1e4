"""Chapter 08: clusters without labels, and UCDIR's loss between their distances."""

import torch
import torch.nn.functional as F

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.methods.ucdir import losses


def distance_of_distance(x, own, other, phi):
    """UCDIR's L_DD (equations 5 to 8) of one domain's images: small if both domains' centroids see them alike.

    1. p_i = softmax over centroids of x_i · c / phi, once with `own` and once with `other` centroids
    2. d_ij = 1 - cosine(p_i, p_j), again for both
    3. the mean over i of the sum over j of (d_ij by own - d_ij by other)²

    x           (B, D) tensor of unit vectors
    own, other  (K, D) tensors of unit vectors, the centroids of both domains
    """
    distances = []
    for centroids in (own, other):
        p = F.normalize((x @ centroids.T / phi).softmax(dim=1), dim=1)
        distances.append(1 - p @ p.T)
    return (distances[0] - distances[1]).square().sum(dim=1).mean()


def expected(x, own, other, phi):
    return losses.distance_of_distance(x, own, other, phi)


def of_probabilities(x, own, other, phi):
    p, q = ((x @ centroids.T / phi).softmax(dim=1) for centroids in (own, other))
    return (p - q).square().sum(dim=1).mean()


def without_cosine(x, own, other, phi):
    p, q = ((x @ centroids.T / phi).softmax(dim=1) for centroids in (own, other))
    return (p @ p.T - q @ q.T).square().sum(dim=1).mean()


def absolute(x, own, other, phi):
    p, q = (F.normalize((x @ c.T / phi).softmax(dim=1), dim=1) for c in (own, other))
    return (p @ p.T - q @ q.T).abs().sum(dim=1).mean()


def cases():
    random = torch.Generator().manual_seed(0)
    toy = torch.eye(2), torch.eye(2), torch.tensor([[0.6, 0.8], [0.8, -0.6]])
    x, own, other = (F.normalize(torch.randn(n, 6, generator=random), dim=1) for n in (9, 4, 4))
    return [(*toy, 0.5), (x, own, other, 0.3)]


CHAPTER = Chapter(
    "08_unsupervised_ucdir",
    "UCDIR",
    50,
    """
import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb import analysis, data, encoders
from cdir_nb.course import check
from cdir_nb.methods.ucdir.clusters import kmeans

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
clipart, sketch = task.query("clipart"), task.query("sketch")
x, y = (F.normalize(clip.embed_images(part), dim=1) for part in (clipart, sketch))
""",
    (
        Choice(
            "predict",
            """
300 cliparts and 300 sketches of the same ten classes, all in one set: k-means makes ten clusters of CLIP's vectors.
What do the clusters follow?""",
            {
                "a": (
                    "The classes: each cluster has the cliparts and sketches of one thing.",
                    "That is what one "
                    "would like. But in CLIP's vectors style outweighs class, and k-means follows what varies "
                    "most.",
                ),
                "b": (
                    "The domains: hardly any cluster has images of both.",
                    "99 % of the images lie in a cluster of "
                    "their own domain. UCDIR therefore clusters each domain by itself, and needs a further loss to "
                    "match the clusters.",
                ),
                "c": (
                    "Both at once: some clusters follow classes, others domains.",
                    "Practically every cluster belongs to one domain.",
                ),
                "d": (
                    "Neither: unlabelled clusters are random.",
                    "They are far from random: their purity by domain is 99 %, where chance is 50 %.",
                ),
            },
            "b",
            ("Which two images are nearer: two things in one style, or one thing in two styles? (Chapter 01.)",),
            """
clusters = kmeans(torch.cat([x, y]), 10, iterations=20, restarts=3, seed=0).labels.numpy()
domains, classes = np.repeat(["clipart", "sketch"], 300), np.concatenate([clipart.labels, sketch.labels])
by_domain, by_class = analysis.purity(clusters, domains), analysis.purity(clusters, classes)
print(f"images in the most frequent domain of their cluster: {100 * by_domain:.0f} %, class: {100 * by_class:.0f} %")
""",
            "assert by_domain > 0.95 and by_class < 0.6",
        ),
        Choice(
            "explain",
            """
UCDIR adds a self-entropy loss to L_DD, which makes clustering probabilities sharp. What would go wrong without it?""",
            {
                "a": ("L_DD would become negative.", "It is a mean of squares and cannot."),
                "b": (
                    "The centroids of both domains would become equal.",
                    "The centroids come from k-means, and no gradient of L_DD reaches them.",
                ),
                "c": (
                    "If all probabilities are uniform, all distances d_ij are 0 in both domains, and L_DD is 0: a "
                    "minimum that says nothing.",
                    "Every image would be equally near to every cluster, and no "
                    "class could be told from another. The entropy loss forbids that minimum.",
                ),
                "d": ("Training would be slower.", "The speed is not the problem: the minimum itself is."),
            },
            "c",
            ("Compute L_DD for images whose clustering probabilities are all equal.",),
        ),
        Implement(
            """
Write UCDIR's distance-of-distance loss L_DD.""",
            distance_of_distance,
            expected,
            cases,
            {
                of_probabilities: "You compare the probabilities themselves. Cluster 1 of one domain need not be "
                "cluster 1 of the other, so the paper compares *distances between images*, which do not depend on "
                "the order of the clusters.",
                without_cosine: "The cosine distance divides by the lengths of both probability vectors: normalise "
                "them before the product.",
                absolute: "You sum absolute differences; equation 8 squares them.",
            },
            (
                "Write a helper that gives the (B, B) distances for one set of centroids, and call it twice.",
                "`F.normalize(p, dim=1)`; then `1 - p @ p.T` is the cosine distance of all pairs.",
            ),
            """
groups = [kmeans(v, 10, iterations=20, restarts=3, seed=0).centroids for v in (x, y)]
print(f"L_DD of 64 cliparts with CLIP's vectors: {distance_of_distance(x[:64], *groups, 0.1):.2f}")
shuffled = groups[1][torch.randperm(10)]
print(f"with sketch's clusters in another order: {distance_of_distance(x[:64], groups[0], shuffled, 0.1):.2f}")
""",
        ),
        Open(
            """
UCDIR is told the number of clusters K. You do not know the number of classes. Cluster one domain with several K and
suggest a way to choose K without labels; then look at the labels and say whether it worked.""",
            """It uses a criterion without labels (stability over seeds, silhouette, an elbow) over a range of K, and
reports purity only afterwards. It notes that purity rises with K by itself, so that purity alone must not choose K, and
that too few clusters join classes while too many only split them.""",
            ("`sklearn.metrics.silhouette_score`, or the agreement of two runs with different seeds.",),
        ),
    ),
)
