"""The losses of the TKI paper (ICML 2024), as printed; notes state our interpretation of unclear parts.

    paper            here
    t_p^d            row p of `domain_emb` (P, D): the domain-only prompt of domain p
    t_pi             `text_emb[p, i]` (P, C, D): the full prompt of domain p and class i
    t_j^c            row j of `class_emb` (C, D): the class-only prompt of class j
    h(t_pi)          `projected[p, i]` (P, C, D)
    alpha, mu, tau   arguments

Equation 5, L_exp = L_min + lambda L_max, is the weighted sum in the first stage's training.
"""

import torch
import torch.nn.functional as F


def loss_max(domain_emb: torch.Tensor, alpha: float, mu: float) -> torch.Tensor:
    """Domain-wise diversity maximum loss of (P, D) domain features t_p^d; it is small if all domains are dissimilar.

    Equation 1:  1 / (P (P-1))  sum_p sum_{q != p}  log(1 + e^{alpha (s_pq - mu)})
    Equation 2:  s_pq = cosine of t_p and t_q.   The paper does not give alpha and mu: see `ExpansionSettings`.
    """
    s = cosine(domain_emb, domain_emb)
    p, q = torch.triu_indices(*s.shape, offset=1)  # the sum is the same for q < p
    return F.softplus(alpha * (s[p, q] - mu)).mean()


def loss_min(text_emb: torch.Tensor, class_emb: torch.Tensor, chosen: torch.Tensor, tau: float) -> torch.Tensor:
    """Category-wise correlation minimum loss; it is small if each text is nearest to the prototype of its class.

    Equation 3:  -1 / (P C)  sum_p sum_i  log( exp(s_pii / tau) / sum_j exp(s_pij / tau) )
    Equation 4:  s_pij = cosine of t_pi, "A [DOMAIN]_p style of [CLASS]_i.", and t_j^c, "[CLASS]_j"
    text_emb  (P, c, D): texts of the c classes `chosen` (c,). class_emb (C, D): prototypes of all classes, so that for
    c < C classes chosen at random the loss is an unbiased estimate of equation 3.
    """
    s = cosine(text_emb, class_emb)  # (P, c, C)
    return F.cross_entropy((s / tau).flatten(0, 1), chosen.repeat(len(s)))


def loss_agg(projected: torch.Tensor, tau: float) -> torch.Tensor:
    """Aggregation loss of (P, C, D) projected texts h(t_pi), a supervised contrastive loss.

    Equation 6:  -1 / (P C)  sum_p sum_i  log( sum_{q != p} exp(h(t_pi) . h(t_qi) / tau)
                                             / sum_{q, j}    exp(h(t_pi) . h(t_qj) / tau) )
    As printed, the sum over q != p is inside the logarithm, and the denominator covers all (q, j), including the text
    itself. Therefore the minimum is not 0, but slightly above log(P / (P-1)).
    """
    return agg_terms(projected, projected, tau).mean()


def agg_terms(anchors: torch.Tensor, projected: torch.Tensor, tau: float) -> torch.Tensor:
    """(P c,): the terms -log(...) of equation 6 for anchors (P, c, D), the texts of c classes of `projected`."""
    same_class = torch.einsum("pid,qid->piq", anchors, anchors) / tau  # h(t_pi) . h(t_qi)
    itself = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)[:, None, :]
    numerator = same_class.masked_fill(itself, -torch.inf).logsumexp(2).flatten()
    denominator = (anchors.flatten(0, 1) @ projected.flatten(0, 1).T / tau).logsumexp(1)
    return denominator - numerator


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(..., n, D) and (m, D) -> (..., n, m) cosines."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T


def between(domain_emb: torch.Tensor) -> dict[str, float]:
    """Smallest, mean and largest cosine between any two of (P, D) domain features."""
    s = cosine(domain_emb, domain_emb)[tuple(torch.triu_indices(len(domain_emb), len(domain_emb), offset=1))]
    return {"least cosine": float(s.min()), "mean cosine": float(s.mean()), "greatest cosine": float(s.max())}
