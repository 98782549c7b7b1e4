"""UCDIR's four losses (ECCV 2022, section 3), one function each; all are means over the batch.

The paper uses sums, the released code means; a sum is the mean times the number of images. The setting `reduction`
selects one of them. Features, bank rows and centroids have unit length. Gradients reach `q` only.

paper       variable   shape    meaning
x_i         q          (B, D)   feature of one view of image i, from the trained encoder
x'_i        k          (B, D)   feature of another view, from the momentum encoder
m_a         bank       (N, D)   memory of a domain: one feature of the momentum encoder per image
i           ids        (B,)     rows of `bank` that belong to the images of the batch
P(i)        clusters   (N,)     cluster of each row of `bank`; the positives of i are the rows of its cluster
c_u         centroids  (K, D)   centroids of a domain's clusters
tau, phi    tau, phi            temperatures
p_i^u                  (B, K)   `clustering_probabilities`
d_ij                   (B, B)   `in_domain_distances`
"""

import torch
import torch.nn.functional as F

from cdir_nb.methods.memory import Bank


def instance_wise(q: torch.Tensor, k: torch.Tensor, bank: torch.Tensor, ids: torch.Tensor, tau: float) -> torch.Tensor:
    """Scalar L_IW of one domain (equation 1), small if an image's two views are alike and unlike all other images:

    -1/B sum_i log( exp(q_i . k_i / tau) / sum_{a in domain} exp(q_i . m_a / tau) ),   m_i = k_i
    """
    positives = (q * k).sum(dim=1, keepdim=True) / tau
    scores = (q @ bank.T / tau).scatter(1, ids[:, None], positives)
    return F.cross_entropy(scores, ids)


def cluster_wise(
    q: torch.Tensor,
    k: torch.Tensor,
    bank: torch.Tensor,
    clusters: torch.Tensor,
    ids: torch.Tensor,
    centroids: torch.Tensor,
    tau: float,
    least_confidence: float | None = None,
) -> torch.Tensor:
    """Scalar L_CW of one domain (equation 2); the positives P(i) are all images of i's cluster, i itself included:

    1/B sum_i -1/|P(i)| sum_{p in P(i)} log( exp(q_i . m_p / tau) / sum_{a in domain} exp(q_i . m_a / tau) )

    The sum over p is not computed: the mean of q_i . m_p over a cluster is q_i . (mean of m_p), so time and memory are
    linear in N. `cluster_wise_by_loops` computes equation 2 as printed.

    least_confidence  not in the paper: as in the released code, leave out images whose keys have at most this
                      probability of their own cluster (softmax over centroids, at tau). The mean is over the remaining
                      images; 0 if none remain
    """
    means, _ = Bank(bank, clusters, len(centroids)).class_means()
    own_cluster = clusters[ids]
    per_image = (q @ bank.T / tau).logsumexp(dim=1) - (q * means[own_cluster]).sum(dim=1) / tau
    counted = torch.ones_like(per_image)
    if least_confidence is not None:
        confidence = clustering_probabilities(k, centroids, tau).gather(1, own_cluster[:, None])[:, 0]
        counted = (confidence > least_confidence).to(per_image)
    return (per_image * counted).sum() / counted.sum().clamp(min=1)


def cluster_wise_by_loops(
    q: torch.Tensor, bank: torch.Tensor, clusters: torch.Tensor, ids: torch.Tensor, tau: float
) -> torch.Tensor:
    """Scalar L_CW as printed in equation 2, without the released code's filter; for illustration and for tests."""
    total = torch.zeros(())
    for q_i, i in zip(q, ids):
        log_fractions = (bank @ q_i / tau).log_softmax(dim=0)
        total = total - log_fractions[clusters == clusters[i]].mean()
    return total / len(q)


def clustering_probabilities(x: torch.Tensor, centroids: torch.Tensor, phi: float) -> torch.Tensor:
    """(B, K) p_i^u = exp(x_i . c_u / phi) / sum_k exp(x_i . c_k / phi)   (equation 5)"""
    return (x @ centroids.T / phi).softmax(dim=1)


def in_domain_distances(x: torch.Tensor, centroids: torch.Tensor, phi: float) -> torch.Tensor:
    """(B, B) d_ij, the cosine distance of the clustering probabilities of i and j (equation 6).

    The order of the centroids does not matter (proposition 1): both vectors are permuted alike.
    """
    p = F.normalize(clustering_probabilities(x, centroids, phi), dim=1)
    return 1 - p @ p.T


def distance_of_distance(
    q: torch.Tensor, own_centroids: torch.Tensor, other_centroids: torch.Tensor, phi: float
) -> torch.Tensor:
    """Scalar L_DD of one domain's images (equations 7 and 8), small if both domains' centroids yield equal distances:

    1/B sum_i sum_j (d_ij^A - d_ij^B)^2

    As in the released code, the paper's "L2 distance" between two numbers is the squared difference.
    """
    difference = in_domain_distances(q, own_centroids, phi) - in_domain_distances(q, other_centroids, phi)
    return difference.square().sum(dim=1).mean()


def self_entropy(q: torch.Tensor, centroids: torch.Tensor, phi: float) -> torch.Tensor:
    """Scalar L_SE (equation 9): the mean entropy H(p_i), for the images of a domain and the centroids of either domain.

    It prevents the trivial minimum of L_DD, in which all clustering probabilities are uniform.
    """
    return mean_entropy(q @ centroids.T / phi)


def mean_entropy(scores: torch.Tensor) -> torch.Tensor:
    """Scalar: -1/B sum_i sum_j p_ij log p_ij, the mean entropy of the softmax p of each row of `scores` (B, M)."""
    log_p = scores.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()
