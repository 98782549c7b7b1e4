"""The images of a training epoch: batches with equally many of each domain, partners to mix with, and mixing ratios.

Row numbers refer to the training ImageSet. The images of a batch are ordered by domain.
"""

from dataclasses import dataclass

import numpy as np

from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet.settings import HarnessSettings


@dataclass(frozen=True)
class Epoch:
    """One epoch of S batches of B = domains x n rows; all arrays are (S, B).

    rows      the images; partners: the images that they are mixed with; ratio: fraction of the image in the mixture
    shuffles  index of one of the 31 orders of tiles in a jigsaw view (0: unchanged)
    """

    rows: np.ndarray
    partners: np.ndarray
    ratio: np.ndarray
    shuffles: np.ndarray


def rows_by_domain(images: ImageSet, batch_size: int) -> list[np.ndarray]:
    """The rows of each domain, in order of first appearance, checked to be enough for balanced batches.

    Raises CdirError for fewer than two domains, a batch size that is not a multiple of their number, and a domain with
    too few images for one batch.
    """
    domains = list(dict.fromkeys(images.domains.tolist()))
    if len(domains) < 2:
        raise CdirError(
            f"SnMpNet mixes images of several domains, got {', '.join(domains) or 'none'}: train on two or more"
        )
    if batch_size % len(domains):
        lower = max(1, batch_size // len(domains)) * len(domains)
        raise CdirError(
            f"a batch of {batch_size} cannot hold equally many images of {len(domains)} domains: "
            f"set batch_size to {lower} or {lower + len(domains)}"
        )
    rows = [np.flatnonzero(images.domains == domain) for domain in domains]
    required, (fewest, domain) = batch_size // len(domains), min(zip(map(len, rows), domains))
    if fewest < required:
        raise CdirError(
            f"{domain} has {fewest} training images, and a balanced batch of {batch_size} needs {required}: "
            f"set batch_size to {fewest * len(domains)} or less, or add images"
        )
    return rows


def draw_epoch(rows: list[np.ndarray], number: int, settings: HarnessSettings, rng: np.random.Generator) -> Epoch:
    """Draw epoch `number`: as many balanced batches as the smallest domain can fill without repeating an image."""
    per_domain = settings.batch_size // len(rows)
    steps = min(map(len, rows)) // per_domain
    columns = [rng.permutation(members)[: steps * per_domain].reshape(steps, per_domain) for members in rows]
    chosen = np.concatenate(columns, axis=1)
    beta, within = mixing_at(number, settings)
    positions = np.stack([partners(len(rows), per_domain, within, rng) for _ in range(steps)])
    ratio = rng.beta(beta, beta, chosen.shape) if settings.mix else np.ones(chosen.shape)
    return Epoch(chosen, np.take_along_axis(chosen, positions, 1), ratio, rng.integers(31, size=chosen.shape))


def mixing_at(epoch: int, settings: HarnessSettings) -> tuple[float, float]:
    """The parameter of the Beta distribution, and the probability of mixing within a domain, in an epoch (from 0).

    The released code's curriculum starts with weak mixtures within domains.
    """
    if not settings.curriculum:
        return settings.beta, settings.within_domain
    beta = {0: 0.1, 1: settings.beta / 2}.get(epoch, settings.beta)
    return beta, 1.0 if epoch < 3 else 0.5 if epoch == 3 else 0.0


def partners(n_domains: int, each: int, within: float, rng: np.random.Generator) -> np.ndarray:
    """(n_domains * each,) position of a partner for each image of a batch, in its domain with probability `within`.

    Otherwise the partner has another domain: the domains are permuted without a fixed point, and each position of a
    domain is used once (released code).
    """
    other = derangement(n_domains, rng)
    inside = np.concatenate([d * each + rng.permutation(each) for d in range(n_domains)])
    across = np.concatenate([other[d] * each + rng.permutation(each) for d in range(n_domains)])
    return np.where(rng.random(n_domains * each) < within, inside, across)


def derangement(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,): a random order of 0 .. count - 1 without a fixed point; count is at least 2."""
    while True:
        order = rng.permutation(count)
        if (order != np.arange(count)).all():
            return order


def pool_of(epoch: int, settings: HarnessSettings) -> int:
    """The pool of views for an epoch: pool `epoch` if it exists, else one of the last phase's pools in turn."""
    first = min(4, settings.pools - 1) if settings.curriculum else 0  # the curriculum ends with epoch 4
    return epoch if epoch < settings.pools else first + (epoch - first) % (settings.pools - first)


def reshuffled(epoch: Epoch, n_domains: int, rng: np.random.Generator) -> np.ndarray:
    """(S, B) positions in a flattened epoch: the same views in other batches, each batch balanced as before."""
    steps, size = epoch.rows.shape
    positions = np.arange(steps * size).reshape(steps, n_domains, size // n_domains)
    columns = [rng.permutation(positions[:, d].ravel()).reshape(steps, -1) for d in range(n_domains)]
    return np.concatenate(columns, axis=1)
