"""ProtoNCE, the loss of PCL (Li et al., "Prototypical contrastive learning of unsupervised representations", ICLR
2021). Made for one domain: both domains are one set of images here, and are clustered together.

Other than in its released code: all prototypes are compared, where the code draws 16,384 negatives; the instance-wise
part uses the memory of all images, not a queue; fewer clusterings (`granularity`).
"""

import torch
import torch.nn.functional as F

from cdir_nb.methods.method import PAIR, Method
from cdir_nb.methods.settings import setting
from cdir_nb.methods.ucdir.baselines.instance_discrimination import instance_discrimination
from cdir_nb.methods.ucdir.clusters import Clusters
from cdir_nb.methods.ucdir.harness import (
    BY_ENCODER,
    HEAD,
    SHORT,
    SOURCES,
    MomentumSettings,
    Step,
    Terms,
    TwoDomainTraining,
    named_settings,
)

SMOOTHING = 10  # PCL, section 3.3: alpha
RANGE = (0.1, 0.9)  # quantiles that concentrations are clamped to (released code)


class ProtoNceSettings(MomentumSettings):
    """Settings of ProtoNCE in UCDIR's harness."""

    method = "ProtoNCE"
    sources = SOURCES

    tau: float = setting(0.2, "released code of PCL, temperature", gt=0)
    granularity: tuple[int, ...] = setting(
        (1, 2), "our default, as in PCS's released code: clusters in multiples of K (PCL: 1, 2, 4)", strict=False
    )
    cluster_from: int = setting(20, "our default, as UCDIR: epochs before the first k-means", ge=0)


def prototype_loss(q: torch.Tensor, assigned: torch.Tensor, centroids: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    """Scalar (PCL, equation 11, second part): each image finds the prototype of its cluster.

    -1/B sum_i log( exp(q_i . c_s / phi_s) / sum_j exp(q_i . c_j / phi_j) ),   s = assigned[i]
    q (B, D), assigned (B,), centroids (K, D), phi (K,)
    """
    return F.cross_entropy(q @ centroids.T / phi, assigned)


def concentrations(clusters: Clusters, tau: float) -> torch.Tensor:
    """(K,) phi of each cluster (PCL, equation 12), small if it is dense:

    phi = sum_z |v_z - c| / (Z log(Z + alpha)),   then scaled so that their mean is tau
    As in the released code: a cluster of one image or none gets the largest phi, and the lowest and highest tenth are
    clamped.
    """
    sizes = clusters.sizes
    sums = clusters.distances.new_zeros(len(sizes)).index_add(0, clusters.labels, clusters.distances)
    phi = sums / (sizes.clamp(min=1) * torch.log(sizes + SMOOTHING))
    phi = torch.where(sizes > 1, phi, phi[sizes > 1].amax() if bool((sizes > 1).any()) else phi.new_zeros(()))
    low, high = (torch.quantile(phi, share) for share in RANGE)
    phi = phi.clamp(low, high)
    mean = phi.mean()
    return tau * phi / mean if mean > 0 else torch.full_like(phi, tau)


def prototype_losses(q: torch.Tensor, ids: torch.Tensor, clusterings: list[Clusters], tau: float) -> torch.Tensor:
    """Scalar: the mean of `prototype_loss` over several clusterings of the same images."""
    return torch.stack(
        [prototype_loss(q, c.labels[ids], c.centroids, concentrations(c, tau)) for c in clusterings]
    ).mean()


class ProtoNceTraining(TwoDomainTraining):
    """ProtoNCE on the images of both domains together."""

    settings: ProtoNceSettings
    clustered = "both together"

    def cluster_counts(self, classes: int) -> tuple[int, ...]:
        return tuple(classes * factor for factor in self.settings.granularity)

    def clusters_begin(self) -> int:
        return self.settings.cluster_from

    def terms(self, step: Step) -> Terms:
        q, bank, ids = step.together()
        terms = {"L_NCE": [instance_discrimination(q, bank, ids, self.settings.tau)]}
        if step.clusters:
            terms["L_proto"] = [prototype_losses(q, ids, step.clusters[0], self.settings.tau)]
        return terms


def _named() -> dict[str, ProtoNceSettings]:
    """The harness's named settings, in which k-means begins after a tenth of the epochs."""
    named = named_settings(ProtoNceSettings, head_rate=0.3)  # P@10 at 0.01 to 0.3: 38.2, 39.7, 41.6, 42.3 %
    begins = {HEAD["epochs"]: 4, SHORT["epochs"]: 2}
    return {name: s.changed(cluster_from=begins.get(s.epochs, s.cluster_from)) for name, s in named.items()}


PROTO_NCE = Method(
    name="ProtoNCE",
    paper="Li et al., ICLR 2021",
    build=ProtoNceTraining,
    settings=ProtoNceSettings,
    learns_from=("images",),
    fitted_for=PAIR,
    named=_named(),
    for_encoder=BY_ENCODER,
)
