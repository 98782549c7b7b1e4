"""CoDA's training (Wang et al., AAAI 2023): unsupervised alignment of two domains by classifiers that must agree.

    memory of every image  ->  k-means, once: the classifiers' first rows  ->  steps: self-matching in each domain,
                                                                             agreement of the two domains' classifiers

The paper's text could not be obtained: the method and its settings are those of the released code (wangxu-scu/CoDA,
commit 67735cd, Office-Home), which was read but not run. Differences from the released code: the trainer of
`ucdir.harness` is used (a step uses one random view of an image, and an epoch is as long as the larger domain), and
k-means does not use faiss.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.methods.coda.losses import agreement, self_matching
from cdir_nb.methods.coda.start import Start, classifier_rows
from cdir_nb.methods.settings import setting
from cdir_nb.methods.ucdir.clusters import Clusters
from cdir_nb.methods.ucdir.harness import BOTH, Clustered, Step, Terms, TwoDomainTraining
from cdir_nb.methods.ucdir.network import Network
from cdir_nb.methods.ucdir.settings import TwoDomainSettings
from cdir_nb.methods.ucdir.views import Inputs

CODE = "released code (read, not run)"


class CodaSettings(TwoDomainSettings):
    """Settings of CoDA. The defaults are those of its released code, except the number of clusters."""

    method = "CoDA"
    sources = {
        ("trains", "head"): "our default on CPUs; NOT the released code's training of the whole network",
        ("learning_rate", "0.03"): "our default for training the head only",
        ("learning_rate", "0.001"): "our default for the whole of a small encoder",
        ("clusters", "100"): f"{CODE}: Office-Home",
        ("views", "4"): "our default on CPUs",
        ("score_at", "10"): "our default on CPUs",
        ("snapshot_every", "2"): "our default on CPUs",
        ("image_size", "64"): "our default on CPUs",
    }

    clusters: int | None = setting(
        None, f"our default: K is the number of classes (None); {CODE}: 100 for Office-Home's 65 classes", ge=2
    )
    levels: tuple[int, ...] = setting((1, 2, 3, 4), f"{CODE}: clusters in multiples of K, a level each", strict=False)
    start: Start = setting("joint", f"{CODE}: the classifiers' first rows")
    kmeans_iterations: int = setting(40, f"{CODE} (faiss, spherical)", ge=1)
    temperature: float = setting(0.01, f"{CODE}: of self-matching's target", gt=0)
    agreement_weight: float = setting(0.01, f"{CODE}: lambda", ge=0)
    memory_momentum: float = setting(0.95, f"{CODE}: m <- unit(0.95 m + 0.05 f), after each step", ge=0, lt=1)
    epochs: int = setting(20, CODE, ge=1)
    batch_size: int = setting(16, f"{CODE}: images per domain", ge=2)
    learning_rate: float = setting(3e-3, f"{CODE}: of the network (SGD, constant)", gt=0)
    classifier_rate: float = setting(1e-4, f"{CODE}: learning rate of the classifiers (SGD, constant)", gt=0)
    momentum: float = setting(0.9, CODE, ge=0, lt=1)
    weight_decay: float = setting(1e-5, f"{CODE}: of the network; the classifiers have none", ge=0)
    trains: Literal["all", "head"] = setting("all", f"{CODE}; 'head': frozen trunk, features of views drawn beforehand")
    dim: int = setting(512, CODE, ge=2)
    hidden: int | None = setting(0, f"{CODE}: one linear layer (0); None: as wide as the trunk", ge=0)
    score_at: int = setting(1, "our default, as in UCDIR: cut-off of the score by labels; the code has mAP", ge=1)


class CodaTraining(TwoDomainTraining):
    """CoDA's training, without a momentum encoder; the network has a linear classifier for each domain and level."""

    settings: CodaSettings
    model: Any  # a `Network` with classifiers

    @property
    def clustered(self) -> Clustered:
        """The images on which the initial k-means runs; it needs at least as many images as clusters."""
        return "each domain" if self.settings.start == "separate" else "both together"

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of clusters of each level."""
        return tuple((self.settings.clusters or self.classes) * multiple for multiple in self.settings.levels)

    def cluster(self) -> list[list[Clusters]]:
        """No clusters: k-means runs only once, in `start`."""
        return []

    def make_momentum(self) -> None:
        """None: the memory contains features of the trained network, which is also the network that is evaluated."""

    def make_network(self) -> Network:
        """The trainer's network, with `classifiers[domain][level]` (K_l, dim), which `start` fills."""
        network, dim = super().make_network(), self.settings.dim
        classifiers = [nn.ParameterList(torch.zeros(count, dim) for count in self.counts) for _ in BOTH]
        network.classifiers = nn.ModuleList(classifiers).to(self.encoder.device)
        return network

    def make_optimizer(self) -> torch.optim.Optimizer:
        """SGD with momentum; the classifiers have a different learning rate and no weight decay."""
        s = self.settings
        network = {"lr": s.learning_rate, "weight_decay": s.weight_decay}
        groups = self.parameter_groups({"network": network, "classifiers": {"lr": s.classifier_rate}})
        return torch.optim.SGD(groups, momentum=s.momentum)

    def make_schedule(self) -> None:
        """None: a constant learning rate (the released code builds a schedule and never advances it)."""

    def group_of(self, name: str) -> str:
        """ "classifiers" or "network", which have different learning rates."""
        return "classifiers" if name.startswith("classifiers.") else "network"

    @torch.no_grad()
    def start(self) -> None:
        """Fill the memory with the features of all images, and the classifiers with the centroids of their clusters."""
        super().start()
        s = self.settings
        for level, count in enumerate(self.counts):
            generator = torch.Generator().manual_seed(1000 * self.seed + level)
            rows = classifier_rows(self.banks, count, s.start, iterations=s.kmeans_iterations, generator=generator)
            for d in BOTH:
                self.model.classifiers[d][level].copy_(rows[d])

    def see(self, inputs: Inputs) -> Step:
        """Features q of one view, and the memory entries k as they were before this step; the memory is then updated.

        As in the released code, each domain passes through the network separately, so batch norm normalises it alone.
        """
        ids, m = inputs.ids, self.settings.memory_momentum
        views = inputs.queries.split([len(rows) for rows in ids])
        q = [self.model(view) for view in views]
        k = [self.banks[d][ids[d]] for d in BOTH]
        for d in BOTH:
            self.banks[d][ids[d]] = F.normalize(m * k[d] + (1 - m) * q[d].detach(), dim=1)
        return Step(q, k, ids, self.banks, [])

    def terms(self, step: Step) -> Terms:
        """For each loss, one value per level, summed over both domains; their mean is the released code's loss."""
        q, k, temperature = step.q, step.k, self.settings.temperature
        terms: Terms = {"L_ISS": [], "L_CCA": []}
        for w in self.levels():
            matching = [self_matching(q[d] @ w[d].T, k[d] @ w[d].T, temperature) for d in BOTH]
            agreeing = [agreement(q[d] @ w[0].T, q[d] @ w[1].T) for d in BOTH]
            terms["L_ISS"].append(matching[0] + matching[1])
            terms["L_CCA"].append(agreeing[0] + agreeing[1])
        return terms

    def levels(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """For each level, the weights (K_l, dim) of the first and of the second domain's classifier."""
        classifiers_a, classifiers_b = self.model.classifiers
        return list(zip(classifiers_a, classifiers_b))

    def weights(self) -> dict[str, float]:
        """The weight lambda of the agreement loss."""
        return {"L_ISS": 1.0, "L_CCA": self.settings.agreement_weight}


# The head's learning rate was chosen as for the other methods of this trainer: P@10, last epoch, one seed, clipart and
# sketch of ten classes of the drawn world that are in no test of UCDIR (the first ten that world-unseen trains on), at
# 0.003, 0.01, 0.03, 0.1 and 0.3: 38.6, 40.1, 40.4, 39.1, 37.8 %; features of the frozen trunk 38.2 %. The classifiers'
# rate is that of the released code. The whole tower has the rate of UCDIR's "as_released, short, slow", not searched.
SMALL: dict[str, Any] = {"views": 4, "score_at": 10, "snapshot_every": 2, "image_size": 64}
HEAD: dict[str, Any] = {**SMALL, "trains": "head", "learning_rate": 0.03}
SHORT: dict[str, Any] = {**SMALL, "trains": "all", "learning_rate": 1e-3}


def coda_settings() -> dict[str, CodaSettings]:
    """CoDA's named settings; `as_released, short` is for training a whole small encoder on a CPU."""
    return {
        "as_released": CodaSettings(),
        "as_released, Office-Home": CodaSettings(clusters=100),
        "as_released, head": CodaSettings(**HEAD),
        "as_released, short": CodaSettings(**SHORT),
    }
