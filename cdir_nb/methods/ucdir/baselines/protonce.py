"""ProtoNCE, the loss of PCL (Li et al., "Prototypical contrastive learning of unsupervised representations", ICLR
2021). It was designed for one domain: here both domains form one set of images, which is clustered as a whole.

Differences from the released code: all prototypes are compared, instead of 16,384 random negatives; the instance-wise
part uses the memory of all images, not a queue; fewer clusterings (`granularity`).
"""

import torch
import torch.nn.functional as F

from cdir_nb.methods.settings import setting
from cdir_nb.methods.ucdir.baselines.instance_discrimination import instance_discrimination
from cdir_nb.methods.ucdir.clusters import Clusters
from cdir_nb.methods.ucdir.harness import Step, Terms, TwoDomainTraining, method_row
from cdir_nb.methods.ucdir.settings import MomentumSettings, named_settings

SMOOTHING = 10  # PCL, section 3.3: alpha
QUANTILES = (0.1, 0.9)  # the range to which concentrations are clamped (released code)


class ProtoNceSettings(MomentumSettings):
    """Settings of ProtoNCE in UCDIR's trainer."""

    method = "ProtoNCE"

    tau: float = setting(0.2, "released code of PCL, temperature", gt=0)
    granularity: tuple[int, ...] = setting(
        (1, 2), "our default, as in PCS's released code: clusters in multiples of K (PCL: 1, 2, 4)", strict=False
    )
    cluster_from: int = setting(20, "our default, as UCDIR: epochs before the first k-means", ge=0)


def prototype_loss(q: torch.Tensor, assigned: torch.Tensor, centroids: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    """Scalar (PCL, equation 11, second part): the prototypes classify each image; its class is its cluster.

    -1/B sum_i log( exp(q_i . c_s / phi_s) / sum_j exp(q_i . c_j / phi_j) ),   s = assigned[i]
    q (B, D), assigned (B,), centroids (K, D), phi (K,)
    """
    return F.cross_entropy(q @ centroids.T / phi, assigned)


def concentrations(clusters: Clusters, tau: float) -> torch.Tensor:
    """(K,) phi of each cluster (PCL, equation 12), small for a dense cluster:

    phi = sum_z |v_z - c| / (Z log(Z + alpha)),   then scaled so that their mean is tau
    As in the released code, a cluster of at most one image gets the largest phi, and the lowest and the highest 10 % of
    the values are clamped.
    """
    sizes = clusters.sizes
    sums = clusters.distances.new_zeros(len(sizes)).index_add(0, clusters.labels, clusters.distances)
    phi = sums / (sizes.clamp(min=1) * torch.log(sizes + SMOOTHING))
    phi = torch.where(sizes > 1, phi, phi[sizes > 1].amax() if bool((sizes > 1).any()) else phi.new_zeros(()))
    low, high = (torch.quantile(phi, quantile) for quantile in QUANTILES)
    phi = phi.clamp(low, high)
    mean = phi.mean()
    return tau * phi / mean if mean > 0 else torch.full_like(phi, tau)


def prototype_losses(q: torch.Tensor, ids: torch.Tensor, clusterings: list[Clusters], tau: float) -> torch.Tensor:
    """Scalar: the mean of `prototype_loss` over several clusterings of the same images."""
    losses = [prototype_loss(q, c.labels[ids], c.centroids, concentrations(c, tau)) for c in clusterings]
    return torch.stack(losses).mean()


class ProtoNceTraining(TwoDomainTraining):
    """ProtoNCE on the images of both domains together."""

    settings: ProtoNceSettings
    clustered = "both together"

    def terms(self, step: Step) -> Terms:
        q, bank, ids = step.together()
        terms = {"L_NCE": [instance_discrimination(q, bank, ids, self.settings.tau)]}
        if step.clusters:
            (clusters,) = step.clusters
            terms["L_proto"] = [prototype_losses(q, ids, clusters, self.settings.tau)]
        return terms


# P@10 at head rates 0.01, 0.03, 0.1 and 0.3: 38.2, 39.7, 41.6, 42.3 %
_NAMED = {
    name: settings.changed(cluster_from=settings.epochs // 10)  # as in UCDIR
    for name, settings in named_settings(ProtoNceSettings, head_rate=0.3).items()
}
PROTO_NCE = method_row("ProtoNCE", "Li et al., ICLR 2021", ProtoNceTraining, ProtoNceSettings, _NAMED)
