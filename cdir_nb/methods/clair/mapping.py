"""The cross-domain mapping Q of one domain's features to another domain, fitted to texts (CLAIR, section 4.4).

"A photo of a kettle" and "a sketch of a kettle" form a pair, for which no image is needed. Q is the
orthogonal matrix that best maps the first texts to the second (orthogonal Procrustes, equations 8 and 9); it is then
applied to images.

    paper                       here
    W_A, W_B (D, n), columns    `source`, `target` (n, D), rows: W_A = source.T, W_B = target.T
    W_B W_A^T = U S V^T         target.T @ source = u @ diag(singular) @ vt
    Q = U V^T                   q = u @ vt
    Q x, x a column             emb @ q.T, each row of `emb` an x
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import Literal, get_args

import scipy.linalg
import torch

from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.zero_shot import TEMPLATE, prompt_embeddings, require_words
from cdir_nb.errors import CdirError

NullSpace = Literal["identity", "svd"]
NULL_SPACE = get_args(NullSpace)
BLOCK = 1e-9  # smaller entries below the diagonal of the Schur form are rounding errors, not rotations


def procrustes(source: torch.Tensor, target: torch.Tensor, null_space: NullSpace = "identity") -> torch.Tensor:
    """(D, D) orthogonal Q that minimises ||Q w_source - w_target||^2, summed over pairs (equations 8 and 9).

    source, target  (n, D) embeddings; row i of both belongs to the same object
    null_space      Q is not determined where there are fewer independent pairs than dimensions (n < D):
                    "identity"  the optimal Q that is nearest to the identity (our addition)
                    "svd"       the result of the SVD, as in the paper's formula; it depends on rounding errors

    Embeddings are not centred, as in the paper, which has 3,000 pairs and does not discuss the null space. The
    computation is in double precision; Q has the dtype of `source`. Raises CdirError if the two shapes differ.
    """
    if source.shape != target.shape or source.ndim != 2:
        raise CdirError(
            f"pairs of texts have shapes {tuple(source.shape)} and {tuple(target.shape)}: "
            "expected two tables (n, D) with one row per object, in the same order"
        )
    u, singular, vt = torch.linalg.svd(target.double().T @ source.double())
    if null_space == "identity":
        rank = known_directions(singular)
        u[:, rank:] = u[:, rank:] @ _nearest_orthogonal(u[:, rank:].T @ vt[rank:].T)
    return (u @ vt).to(source.dtype)


def known_directions(singular: torch.Tensor) -> int:
    """Number of directions that the pairs determine: those with singular values (D,) above rounding error."""
    return int((singular > singular[0] * len(singular) * 1e-7).sum())  # embeddings have single precision


def pair_error(q: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> float:
    """The fraction of the pairs' squared distances that remains after Q, over all pairs:

    ||Q w_source - w_target||^2 / ||w_source - w_target||^2
    """
    before = (source - target).square().sum()
    return float((apply_map(q, source) - target).square().sum() / before) if before else 0.0


def apply_map(q: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
    """(N, D) Q x for each row x of `emb`. Mapping queries by Q gives the same ranking as mapping the gallery by Q^T."""
    return emb @ q.T.to(emb)


def apply_by_domain(maps: Mapping[str, torch.Tensor], emb: torch.Tensor, domains: Sequence[str]) -> torch.Tensor:
    """(N, D): a copy of `emb` with rows of domain d mapped by maps[d]; rows of other domains are unchanged."""
    mapped = emb.clone()
    for domain, q in maps.items():
        rows = torch.tensor([name == domain for name in domains], dtype=torch.bool)
        mapped[rows] = apply_map(q, emb[rows])
    return mapped


def text_pairs(
    encoder: ClipEncoder, names: Sequence[str], words: Mapping[str, str], template: str = TEMPLATE
) -> dict[str, torch.Tensor]:
    """{domain: (n, D)} unit text embeddings of the same n names in each domain; equal rows of two domains are pairs.

    words  {domain: its word in a prompt}, such as {"real": "photo"}
    Raises CdirError for fewer than two domains, two domains with the same word (their Q would be the identity), an
    empty word, or no names.
    """
    if not names:
        raise CdirError("a mapping needs names of objects, got none: use object_names() or the seen classes")
    require_words(words)
    distinct = {word.strip().lower() for word in words.values()}
    if len(distinct) < max(2, len(words)):
        pairs = ", ".join(f"{domain}: {word}" for domain, word in words.items())
        raise CdirError(
            f"a mapping needs at least two domains, each with its own word in prompts, got {pairs or 'none'}: "
            "give another word or domain"
        )
    return {domain: prompt_embeddings(encoder, names, word, (template,)) for domain, word in words.items()}


def all_maps(
    texts: Mapping[str, torch.Tensor], null_space: NullSpace = "identity"
) -> dict[tuple[str, str], torch.Tensor]:
    """{(from domain, to domain): Q} for every ordered pair of `text_pairs`' domains."""
    return {(a, b): procrustes(texts[a], texts[b], null_space) for a, b in permutations(texts, 2)}


def geodesic(q: torch.Tensor) -> Callable[[float], torch.Tensor]:
    """t -> (D, D): the shortest path of rotations from the identity (t = 0) to Q (t = 1).

    In the real Schur form Q = Z T Z^T, T rotates planes, each by an angle in (-pi, pi]; at t, each plane is rotated by
    t times its angle. Directions with eigenvalue -1 are paired into planes that rotate by pi.
    If det Q = -1, Q also reflects one direction, and no path of rotations leads to it. Then the path leads to Q without
    the reflection, and that direction flips only at t = 1: the matrix is orthogonal for every t.
    """
    basis, planes, mirror = _planes(q)

    def at(t: float) -> torch.Tensor:
        rotation = torch.eye(len(q), dtype=torch.float64)
        for i, j, angle in planes:
            c, s = torch.cos(t * angle), torch.sin(t * angle)
            rotation[i, i], rotation[i, j], rotation[j, i], rotation[j, j] = c, -s, s, c
        if mirror is not None and t >= 1:
            rotation[mirror, mirror] = -1
        return (basis @ rotation @ basis.T).to(q.dtype)

    return at


def rotation_angles(q: torch.Tensor) -> torch.Tensor:
    """(P,) angles in degrees, 0 to 180, by which Q rotates planes, largest first; fixed directions are left out."""
    angles = torch.tensor([float(angle) for _, _, angle in _planes(q)[1]])
    return torch.rad2deg(angles.abs()).sort(descending=True).values


def _planes(q: torch.Tensor) -> tuple[torch.Tensor, list[tuple[int, int, torch.Tensor]], int | None]:
    """Basis Z (D, D) of the real Schur form of Q; planes as pairs of its columns, with the angle of each; and the
    reflected column, if there is one. Raises CdirError if Q is not orthogonal.
    """
    square = q.ndim == 2 and q.shape[0] == q.shape[1]
    if not square or not torch.allclose(q.double() @ q.double().T, torch.eye(len(q), dtype=torch.float64), atol=1e-4):
        raise CdirError(f"Q {tuple(q.shape)} is not orthogonal: compute it with procrustes")
    schur, basis = (torch.from_numpy(x) for x in scipy.linalg.schur(_nearest_orthogonal(q.double()).numpy()))
    planes, negative, i = [], [], 0
    while i < len(schur):
        if i + 1 < len(schur) and schur[i + 1, i].abs() > BLOCK:
            planes.append((i, i + 1, torch.atan2(schur[i + 1, i], schur[i, i])))
            i += 2
            continue
        if schur[i, i] < 0:
            negative.append(i)
        i += 1
    mirror = negative.pop() if len(negative) % 2 else None
    half_turn = torch.tensor(torch.pi, dtype=torch.float64)
    planes += [(i, j, half_turn) for i, j in zip(negative[::2], negative[1::2])]
    return basis, planes, mirror


def _nearest_orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The orthogonal matrix nearest to a square matrix: its polar factor."""
    u, _, vt = torch.linalg.svd(matrix)
    return u @ vt
