"""UCDIR's training (Hu and Lee, ECCV 2022): the trainer of `harness` with UCDIR's loss (equations 3, 4, 10 and 11)."""

from typing import Any, Literal

import torch

from cdir_nb.errors import CdirError
from cdir_nb.methods.settings import setting
from cdir_nb.methods.ucdir.harness import BOTH, Clustered, Step, Terms, TwoDomainTraining
from cdir_nb.methods.ucdir.losses import cluster_wise, distance_of_distance, instance_wise, self_entropy
from cdir_nb.methods.ucdir.settings import MAIN, MomentumSettings, named_settings

DOMAINNET = "released code, scripts/domainnet.sh; the paper does not give it"
OFFICE = "released code, scripts/office-home.sh; the paper does not give it"
OFFICE_HOME: dict[str, Any] = {"alpha": 0.5, "gamma": 1.0, "beta": 0.5, "phi_entropy": 0.01}
AS_WRITTEN: dict[str, Any] = {"reduction": "sum", "least_confidence": None, "align_from": 20, "key_norm": "plain"}
HEAD_RATE = 0.3  # P@10 at 0.01, 0.03, 0.1 and 0.3: UCDIR 41.9, 45.4, 44.1, 48.6 %, v3 42.8, 46.0, 50.5, 50.5


class UcdirSettings(MomentumSettings):
    """Settings of UCDIR. The defaults are those of the released code, with DomainNet's weights.

    Raises CdirError for an invalid value, or a schedule out of order.
    """

    sources = {
        **MomentumSettings.sources,
        **{(name, str(value)): OFFICE for name, value in OFFICE_HOME.items()},
        ("full_from", "20"): "our default for training the head only",
        ("full_from", "10"): "our default for a short training of a small network",
        ("align_from", "10"): "our default for a short training of a small network",
        ("reduction", "sum"): "paper, equations 1, 2, 8 and 9",
        ("least_confidence", "None"): "paper: no filter",
        ("align_from", "20"): "paper, equation 11: no later start than L_CW's (or our default for the head only)",
        ("align_from", "4"): "paper, equation 11: no later start than L_CW's",
        ("learning_rate", str(HEAD_RATE / 128)): "our default for the head; a sum over 2 x 64 images has 128 times the "
        "mean's gradient",
    }

    losses: tuple[Literal["IW", "CW", "SE", "DD"], ...] = setting(
        ("IW", "CW", "SE", "DD"), "paper, equation 11; Table 3 leaves some out", strict=False
    )
    reduction: Literal["mean", "sum"] = setting("mean", f"{MAIN}; the paper prints sums")
    alpha: float = setting(1.0, f"{DOMAINNET} (L_CW, equation 4)", ge=0)
    beta: float = setting(0.1, f"{DOMAINNET} (L_DD, equation 10)", ge=0)
    gamma: float = setting(0.5, f"{DOMAINNET} (L_SE, equation 10)", ge=0)
    tau: float = setting(0.2, f"{DOMAINNET} (equations 1 and 2)", gt=0)
    phi_entropy: float = setting(0.1, f"{DOMAINNET} (equation 5, inside L_SE)", gt=0)
    phi_distance: float = setting(0.01, "released code, builder.py: fixed (equation 5, inside L_DD)", gt=0)
    least_confidence: float | None = setting(0.2, f"{MAIN}: filter of L_CW; the paper has none", ge=0, lt=1)
    cluster_from: int = setting(20, "paper, section 4.1: T1, epochs before L_CW", ge=0)
    full_from: int = setting(100, "paper, section 4.1: T2, epoch from which L_CW has its full weight", ge=0)
    align_from: int = setting(100, "released code, scripts: epoch from which L_SE and L_DD count", ge=0)

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.full_from < self.cluster_from:
            raise CdirError(
                f"UCDIR: full_from ({self.full_from}) is before cluster_from ({self.cluster_from}): "
                "L_CW cannot have its full weight before it starts"
            )

    def weight_of_clusters(self, epoch: int) -> float:
        """lambda of equation 4 in an epoch (from 0): 0 up to T1, alpha from T2 on, and linear in between."""
        if epoch <= self.cluster_from:
            return 0.0
        if epoch >= self.full_from:
            return self.alpha
        return self.alpha * (epoch - self.cluster_from) / (self.full_from - self.cluster_from)


class UcdirTraining(TwoDomainTraining):
    """The training of UCDIR, with all or some of its losses."""

    settings: UcdirSettings

    @property
    def clustered(self) -> Clustered:
        """K-means runs in each domain, unless L_IW is the only loss (v1)."""
        return "each domain" if set(self.settings.losses) - {"IW"} else ""

    def terms(self, step: Step) -> Terms:
        """The losses in `settings.losses`; L_SE is computed for images and centroids of every pair of domains."""
        s, q, k, ids, banks = self.settings, step.q, step.k, step.ids, step.banks
        terms: Terms = {"L_IW": [instance_wise(q[d], k[d], banks[d], ids[d], s.tau) for d in BOTH]}
        if step.clusters:
            labels = [clusters.labels for (clusters,) in step.clusters]
            centroids = [clusters.centroids for (clusters,) in step.clusters]
            terms["L_CW"] = [
                cluster_wise(q[d], k[d], banks[d], labels[d], ids[d], centroids[d], s.tau, s.least_confidence)
                for d in BOTH
            ]
            terms["L_SE"] = [self_entropy(q[d], centroids[c], s.phi_entropy) for d in BOTH for c in BOTH]
            terms["L_DD"] = [distance_of_distance(q[d], centroids[0], centroids[1], s.phi_distance) for d in BOTH]
        return {name: values for name, values in terms.items() if name.removeprefix("L_") in s.losses}

    def reduce(self, values: list[torch.Tensor]) -> torch.Tensor:
        """The mean over domains or, as in the paper, the sum over domains and images of a batch."""
        mean = super().reduce(values)
        return mean if self.settings.reduction == "mean" else mean * len(values) * self.batch_size

    def weights(self) -> dict[str, float]:
        """The weights of the losses: lambda (equation 4) for L_CW, gamma for L_SE, and beta for L_DD.

        L_SE and L_DD have the weight 0 before epoch `align_from`.
        """
        aligned = self.epoch >= self.settings.align_from
        return {
            "L_IW": 1.0,
            "L_CW": self.settings.weight_of_clusters(self.epoch),
            "L_SE": self.settings.gamma * aligned,
            "L_DD": self.settings.beta * aligned,
        }


def ucdir_settings() -> dict[str, UcdirSettings]:
    """UCDIR's named settings: the trainer's named settings, with schedules and weights of UCDIR's losses."""
    head_schedule: dict[str, Any] = {"cluster_from": 4, "full_from": 20, "align_from": 20}
    short_schedule: dict[str, Any] = {"cluster_from": 2, "full_from": 10, "align_from": 10}
    overrides: dict[str, dict[str, Any]] = {
        "as_released, Office-Home": OFFICE_HOME,
        "as_written": AS_WRITTEN,
        "as_written, Office-Home": OFFICE_HOME | AS_WRITTEN,
        "as_released, head": head_schedule,
        "as_released, short": short_schedule,
        "as_released, short, slow": short_schedule,
        "as_written, head": head_schedule | AS_WRITTEN | {"align_from": 4, "learning_rate": HEAD_RATE / 128},
    }
    named = named_settings(UcdirSettings, head_rate=HEAD_RATE)
    return {name: settings.changed(**overrides.get(name, {})) for name, settings in named.items()}
