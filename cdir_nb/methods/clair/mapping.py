"""The cross-domain mapping Q, fitted to texts alone: it maps one domain's features to another's (CLAIR, section 4.4).

"A photo of a kettle" and "a sketch of a kettle" are a pair that costs nothing. Q is the orthogonal matrix that best
maps the first texts to the second (orthogonal Procrustes, equations 8 and 9); it is then applied to images.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

import scipy.linalg
import torch

from cdir_nb.encoders import ClipEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.frozen.zero_shot import TEMPLATE, prompt_embeddings

NULL_SPACE = ("svd", "identity")
BLOCK = 1e-9  # smaller entries below the diagonal of the Schur form are rounding errors, not rotations


def procrustes(source: torch.Tensor, target: torch.Tensor, null_space: str = "svd") -> torch.Tensor:
    """(D, D) orthogonal Q that minimises ||Q w_source - w_target||^2, summed over pairs (equations 8 and 9).

    source, target  (n, D) embeddings; row i of both belongs to the same object (in the paper: column i)

        U S V^T = W_target^T W_source        (D, D)
        Q = U V^T

    No centring, as in the paper. Computed in double precision; Q is returned in the dtype of `source`.
    With fewer independent pairs than dimensions (n < D) many Q are equally good: the pairs do not determine Q in their
    null space. The paper has 3,000 pairs and does not discuss this. `null_space` says what Q does there:
        "svd"       whatever the SVD returns, as in the paper's formula
        "identity"  of all optimal Q, take the one nearest to the identity (our addition)
    Raises CdirError for different shapes, no pairs, numbers that are not finite, or an unknown `null_space`.
    """
    _check_pairs(source, target)
    if null_space not in NULL_SPACE:
        raise CdirError(f'unknown null_space "{null_space}": use {" or ".join(NULL_SPACE)}')
    u, singular, vt = torch.linalg.svd(target.double().T @ source.double())
    if null_space == "identity":
        rank = known_directions(singular)
        u[:, rank:] = u[:, rank:] @ _nearest_rotation(u[:, rank:].T @ vt[rank:].T)
    return (u @ vt).to(source.dtype)


def known_directions(singular: torch.Tensor) -> int:
    """Number of directions that the pairs determine: singular values (D,), largest first, above rounding error."""
    return int((singular > singular[0] * len(singular) * 1e-7).sum())  # embeddings have single precision


def pair_error(q: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> float:
    """What Q leaves of the pairs' distances: ||Q w_source - w_target||^2 / ||w_source - w_target||^2 over all pairs."""
    before = (source - target).square().sum()
    return float((apply_map(q, source) - target).square().sum() / before) if before else 0.0


def apply_map(q: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
    """(N, D) Q x for each row x of `emb`. Mapping queries by Q gives the same ranking as mapping the gallery by Q^T."""
    if emb.ndim != 2 or emb.shape[1] != len(q):
        raise CdirError(
            f"Q maps vectors of {len(q)} numbers, but the embeddings have shape {tuple(emb.shape)}: "
            "use the same encoder for both"
        )
    return emb @ q.T.to(emb)


def apply_by_domain(maps: Mapping[str, torch.Tensor], emb: torch.Tensor, domains: Sequence[str]) -> torch.Tensor:
    """(N, D) a copy of `emb` with rows of domain d mapped by maps[d]; rows of other domains stay as they are."""
    if len(domains) != len(emb):
        raise CdirError(f"{len(domains)} domains for {len(emb)} embeddings: expected one domain per row")
    mapped = emb.clone()
    for domain, q in maps.items():
        rows = torch.tensor([name == domain for name in domains], dtype=torch.bool)
        mapped[rows] = apply_map(q, emb[rows])
    return mapped


def text_pairs(
    encoder: ClipEncoder, names: Sequence[str], words: Mapping[str, str], template: str = TEMPLATE
) -> dict[str, torch.Tensor]:
    """{domain: (n, D)} unit text embeddings of the same n names in each domain; any two of them are pairs.

    words  {domain: its word in a prompt}, such as {"real": "photo"}. Raises CdirError for fewer than two
    domains, two domains with the same word (their Q would be the identity), an empty word, or no names.
    """
    if len(words) < 2:
        raise CdirError(
            f"a mapping needs two domains, got {len(words)} ({', '.join(words) or 'none'}): give at least two"
        )
    if not names:
        raise CdirError("a mapping needs names of objects, got none: use object_names() or the seen classes")
    owners: dict[str, str] = {}
    for domain, word in words.items():
        if not word.strip():
            raise CdirError(f"domain {domain} has no word for prompts: give one, such as photo or sketch")
        if (other := owners.setdefault(word.strip().lower(), domain)) != domain:
            raise CdirError(
                f'domains {other} and {domain} have the same word "{word}": give each domain a different word'
            )
    return {domain: prompt_embeddings(encoder, names, word, (template,)) for domain, word in words.items()}


def all_maps(texts: Mapping[str, torch.Tensor], null_space: str = "svd") -> dict[tuple[str, str], torch.Tensor]:
    """{(from domain, to domain): Q} for every ordered pair of `text_pairs`' domains."""
    return {(a, b): procrustes(texts[a], texts[b], null_space) for a, b in permutations(texts, 2)}


def geodesic(q: torch.Tensor) -> Callable[[float], torch.Tensor]:
    """t -> (D, D): the shortest path of rotations from the identity (t = 0) to Q (t = 1).

    Real Schur form: Q = Z T Z^T, where T rotates planes, each by an angle in (-pi, pi]. The matrix logarithm of Q has
    these angles, so exp(t log Q) rotates each plane by t times its angle. Directions with eigenvalue -1 are paired up
    into planes that rotate by pi.
    If det Q = -1, Q also reflects one direction, and no path of rotations leads to it. Then the path leads to Q without
    the reflection, and that direction flips only at t = 1: the matrix is orthogonal for every t.
    """
    _check_orthogonal(q)
    schur, basis = (torch.from_numpy(x) for x in scipy.linalg.schur(_nearest_rotation(q.double()).numpy()))
    planes, angles, mirror = _planes(schur)

    def at(t: float) -> torch.Tensor:
        turned = torch.eye(len(q), dtype=torch.float64)
        for (i, j), angle in zip(planes, angles):
            c, s = torch.cos(t * angle), torch.sin(t * angle)
            turned[i, i], turned[i, j], turned[j, i], turned[j, j] = c, -s, s, c
        if mirror is not None and t >= 1:
            turned[mirror, mirror] = -1
        return (basis @ turned @ basis.T).to(q.dtype)

    return at


def rotation_angles(q: torch.Tensor) -> torch.Tensor:
    """(P,) angles in degrees, 0 to 180, by which Q rotates its planes, largest first (without fixed directions)."""
    _check_orthogonal(q)
    schur = torch.from_numpy(scipy.linalg.schur(_nearest_rotation(q.double()).numpy())[0])
    angles = torch.rad2deg(torch.tensor([float(x) for x in _planes(schur)[1]]).abs())
    return angles.sort(descending=True).values


def _planes(schur: torch.Tensor) -> tuple[list[tuple[int, int]], list[torch.Tensor], int | None]:
    """Planes of the Schur form as pairs of columns, the angle of each, and the reflected column if there is one."""
    planes, angles, negative, i = [], [], [], 0
    while i < len(schur):
        if i + 1 < len(schur) and schur[i + 1, i].abs() > BLOCK:
            planes.append((i, i + 1))
            angles.append(torch.atan2(schur[i + 1, i], schur[i, i]))
            i += 2
            continue
        if schur[i, i] < 0:
            negative.append(i)
        i += 1
    mirror = negative.pop() if len(negative) % 2 else None
    planes += list(zip(negative[::2], negative[1::2]))
    angles += [torch.tensor(torch.pi, dtype=torch.float64)] * (len(negative) // 2)
    return planes, angles, mirror


def _nearest_rotation(matrix: torch.Tensor) -> torch.Tensor:
    """The orthogonal matrix (reflections included) nearest to a square matrix: its polar factor."""
    u, _, vt = torch.linalg.svd(matrix)
    return u @ vt


def _check_pairs(source: torch.Tensor, target: torch.Tensor) -> None:
    if source.shape != target.shape or source.ndim != 2:
        raise CdirError(
            f"pairs of texts have shapes {tuple(source.shape)} and {tuple(target.shape)}: "
            "expected two tables (n, D) with one row per object, in the same order"
        )
    if len(source) == 0:
        raise CdirError("a mapping needs at least one pair of texts, got none: give names of objects")
    if not (source.isfinite().all() and target.isfinite().all()):
        raise CdirError("text embeddings contain numbers that are not finite: check the encoder's weights")


def _check_orthogonal(q: torch.Tensor) -> None:
    square = q.ndim == 2 and q.shape[0] == q.shape[1]
    if not square or not torch.allclose(q.double() @ q.double().T, torch.eye(len(q), dtype=torch.float64), atol=1e-4):
        raise CdirError(f"Q {tuple(q.shape)} is not orthogonal: compute it with procrustes")
