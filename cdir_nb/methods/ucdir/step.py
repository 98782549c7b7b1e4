"""What a loss sees of one training step, and what a method says of its loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from cdir_nb.methods.ucdir.clusters import Clusters
from cdir_nb.methods.ucdir.settings import UcdirConfig

Terms = dict[str, list[torch.Tensor]]  # name of a loss: its value for each domain (or each pair of domains)
BOTH = (0, 1)  # the two domains


@dataclass(frozen=True)
class Step:
    """One batch of each of two domains; lists have one entry per domain.

    q, k      (B, D) unit features of two views, from the trained encoder and the momentum encoder
    ids       (B,) rows of the bank; banks  (N, D) memory of the momentum encoder, which already holds the keys k
    clusters  per domain, Clusters of increasing K; where both domains are clustered together, one entry for both;
              empty before the first k-means
    """

    q: list[torch.Tensor]
    k: list[torch.Tensor]
    ids: list[torch.Tensor]
    banks: list[torch.Tensor]
    clusters: list[list[Clusters]]

    def together(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """q (2B, D), bank (N_A + N_B, D) and ids (2B,) of both domains as if they were one."""
        first, second = self.ids
        ids = torch.cat([first, second + len(self.banks[0])])
        return torch.cat(self.q), torch.cat(self.banks), ids


@dataclass(frozen=True)
class Objective:
    """A method's loss: sum over its terms of weight x mean over domains.

    terms     from a step and the settings to the value of each term; terms that need clusters are left out without them
    weights   from the settings and the epoch (from 0) to the weight of each term
    clusters  what k-means runs on: each domain, both domains together, or nothing
    counts    the numbers of clusters, from the settings and K
    begins    the first epoch with clusters, from the settings
    """

    terms: Callable[[Step, UcdirConfig], Terms]
    weights: Callable[[UcdirConfig, int], dict[str, float]]
    clusters: Literal["each domain", "both together", ""] = ""
    counts: Callable[[UcdirConfig, int], tuple[int, ...]] = lambda config, k: (k,)
    begins: Callable[[UcdirConfig], int] = lambda config: config.cluster_from


def multiples(config: UcdirConfig, k: int) -> tuple[int, ...]:
    """K times each of `granularity`."""
    return tuple(k * factor for factor in config.granularity)
