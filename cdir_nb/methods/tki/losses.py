"""The losses of TKI's paper (ICML 2024), each as printed; where the print is unclear, we say how we read it."""

import torch
import torch.nn.functional as F

from cdir_nb.methods.tki.settings import TkiConfig


def loss_max(domain_emb: torch.Tensor, alpha: float, mu: float) -> torch.Tensor:
    """Domain-wise diversity maximum loss of (P, D) domain features t_p^d; small if no two are similar.

    Equation 1:  1 / (P (P-1))  sum_p sum_{q != p}  log(1 + e^{alpha (s_pq - mu)})
    Equation 2:  s_pq = cosine of t_p and t_q.   The paper does not give alpha and mu: see `TkiConfig`.
    """
    s = cosine(domain_emb, domain_emb)
    p, q = torch.triu_indices(*s.shape, offset=1)  # the sum is the same for q < p
    return F.softplus(alpha * (s[p, q] - mu)).mean()


def loss_min(text_emb: torch.Tensor, class_emb: torch.Tensor, chosen: torch.Tensor, tau: float) -> torch.Tensor:
    """Category-wise correlation minimum loss; small if each text is nearest to the prototype of its own class.

    Equation 3:  -1 / (P C)  sum_p sum_i  log( exp(s_pii / tau) / sum_j exp(s_pij / tau) )
    Equation 4:  s_pij = cosine of t_pi, "A [DOMAIN]_p style of [CLASS]_i.", and t_j^c, "[CLASS]_j"
    text_emb  (P, c, D): texts of the c classes `chosen` (c,). class_emb (C, D): prototypes of all classes, so that for
    c < C classes chosen at random the loss is an unbiased estimate of equation 3.
    """
    s = cosine(text_emb, class_emb)  # (P, c, C)
    return F.cross_entropy((s / tau).flatten(0, 1), chosen.repeat(len(s)))


def loss_agg(projected: torch.Tensor, tau: float, classes: torch.Tensor | None = None) -> torch.Tensor:
    """Aggregation loss of (P, C, D) projected texts h(t_pi), a supervised contrastive loss.

    Equation 6:  -1 / (P C)  sum_p sum_i  log( sum_{q != p} exp(h(t_pi) . h(t_qi) / tau)
                                             / sum_{q, j}    exp(h(t_pi) . h(t_qj) / tau) )
    As printed: the sum over q != p is inside the logarithm, and the denominator runs over all (q, j), including the
    text itself; so the minimum is not 0 but log(P / (P-1)) or slightly more.
    classes  the classes i to average over, None: all; the denominator always runs over all classes
    """
    anchors = projected if classes is None else projected[:, classes]
    own = torch.einsum("pid,qid->piq", anchors, anchors) / tau  # h(t_pi) . h(t_qi)
    itself = torch.eye(len(projected), dtype=torch.bool, device=projected.device)[:, None, :]
    everyone = projected.flatten(0, 1)
    scores = (everyone if classes is None else anchors.flatten(0, 1)) @ everyone.T / tau
    return (scores.logsumexp(1) - own.masked_fill(itself, -torch.inf).logsumexp(2).flatten()).mean()


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(..., n, D) and (m, D) -> (..., n, m) cosines."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T


def loss_exp(
    domain_emb: torch.Tensor, text_emb: torch.Tensor, class_emb: torch.Tensor, chosen: torch.Tensor, config: TkiConfig
) -> tuple[torch.Tensor, dict[str, float]]:
    """Equation 5, L_exp = L_min + lambda L_max, with the losses in `config.losses`; also numbers for the history."""
    terms = {}
    if "min" in config.losses:
        terms["L_min"] = loss_min(text_emb, class_emb, chosen, config.temperature)
    if "max" in config.losses:
        terms["L_max"] = config.trade_off * loss_max(domain_emb, config.alpha, config.mu)
    numbers = {name: float(term.detach()) for name, term in terms.items()}
    return sum(terms.values()), {**numbers, **between(domain_emb.detach())}


def between(domain_emb: torch.Tensor) -> dict[str, float]:
    """Smallest, mean and largest cosine between any two of (P, D) domain features."""
    s = cosine(domain_emb, domain_emb)[tuple(torch.triu_indices(len(domain_emb), len(domain_emb), offset=1))]
    return {"least cosine": float(s.min()), "mean cosine": float(s.mean()), "greatest cosine": float(s.max())}
