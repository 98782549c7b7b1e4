"""UCDIR's four losses (ECCV 2022, section 3), one function each; all of them are means over the batch.

The paper prints sums, its released code takes means: a sum is the mean times the number of images. The setting
`reduction` chooses between them. Features, banks and centroids have unit length. Gradients reach `q` only.
"""

import torch
import torch.nn.functional as F


def instance_wise(q: torch.Tensor, k: torch.Tensor, bank: torch.Tensor, ids: torch.Tensor, tau: float) -> torch.Tensor:
    """Scalar L_IW of one domain (equation 1), small if an image's two views are alike and unlike all other images:

    -1/B sum_i log( exp(q_i . k_i / tau) / sum_{a in domain} exp(q_i . m_a / tau) ),   m_i = k_i

    q, k  (B, D) features of two views, from the trained and the momentum encoder; bank (N, D); ids (B,) rows of it
    """
    positive = (q * k).sum(dim=1, keepdim=True) / tau
    scores = (q @ bank.T / tau).scatter(1, ids[:, None], positive)
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

    clusters   (N,) cluster of each row of the bank; centroids (K, D)
    least_confidence  released code, not in the paper: leave out images whose key is assigned to its own cluster with a
                      softmax (over centroids, at tau) of at most this; the mean is over the others, and 0 without any
    Time and memory are linear in N: the mean of q . m_p over a cluster is q . (mean of m_p).
    """
    own = clusters[ids]
    sizes = torch.bincount(clusters, minlength=len(centroids)).clamp(min=1)
    means = bank.new_zeros(len(sizes), bank.shape[1]).index_add(0, clusters, bank) / sizes[:, None]
    each = (q @ bank.T / tau).logsumexp(dim=1) - (q * means[own]).sum(dim=1) / tau
    kept = torch.ones_like(each)
    if least_confidence is not None:
        confidence = clustering_probabilities(k, centroids, tau).gather(1, own[:, None])[:, 0]
        kept = (confidence > least_confidence).to(each)
    return (each * kept).sum() / kept.sum().clamp(min=1)


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
    """Scalar L_DD of one domain's images (equations 7 and 8), small if both domains' centroids tell them apart alike:

    1/B sum_i sum_j (d_ij^A - d_ij^B)^2

    The paper's "L2 distance" between two numbers is read as in the released code: squared.
    """
    difference = in_domain_distances(q, own_centroids, phi) - in_domain_distances(q, other_centroids, phi)
    return difference.square().sum(dim=1).mean()


def self_entropy(q: torch.Tensor, centroids: torch.Tensor, phi: float) -> torch.Tensor:
    """Scalar L_SE for the images of one domain and the centroids of one (equation 9): the mean entropy H(p_i).

    It keeps L_DD from its trivial minimum, in which all clustering probabilities are uniform.
    """
    log_p = (q @ centroids.T / phi).log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()
