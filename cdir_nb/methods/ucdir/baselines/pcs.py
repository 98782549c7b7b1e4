"""PCS (Yue et al., "Prototypical cross-domain self-supervised learning for few-shot unsupervised domain adaptation",
CVPR 2021): in-domain prototypes, and cross-domain matching of instances with prototypes.

Its released code is for domain adaptation with a few labels and has no retrieval evaluation. Without labels there is
no classifier, so its classification loss, its mutual-information loss and its pseudo-labels are left out. Further
differences: both domains have the same weight (Office-Home's settings halve one), one clustering per number of clusters
instead of several, and the memory contains the momentum encoder's features instead of a running mean of the encoder's.
"""

from cdir_nb.methods.settings import setting
from cdir_nb.methods.ucdir.baselines.protonce import prototype_losses
from cdir_nb.methods.ucdir.harness import BOTH, Step, Terms, TwoDomainTraining, method_row
from cdir_nb.methods.ucdir.losses import self_entropy
from cdir_nb.methods.ucdir.settings import MomentumSettings, named_settings


class PcsSettings(MomentumSettings):
    """Settings of PCS in UCDIR's trainer."""

    method = "PCS"

    tau: float = setting(0.1, "released code, temp", gt=0)
    granularity: tuple[int, ...] = setting((1, 2), "released code: clusters in multiples of K", strict=False)


class PcsTraining(TwoDomainTraining):
    """The training of PCS.

    L_PC uses in-domain prototypes; L_cross is the entropy of a softmax over the other domain's prototypes.
    """

    settings: PcsSettings
    clustered = "each domain"

    def terms(self, step: Step) -> Terms:
        if not step.clusters:
            return {}
        q, ids, clusters, tau = step.q, step.ids, step.clusters, self.settings.tau
        return {
            "L_PC": [prototype_losses(q[d], ids[d], clusters[d], tau) for d in BOTH],
            "L_cross": [self_entropy(q[d], level.centroids, tau) for d in BOTH for level in clusters[1 - d]],
        }


# P@10 at head rates 0.01, 0.03, 0.1 and 0.3: 36.5, 37.3, 38.9, 38.1 %
PCS = method_row("PCS", "Yue et al., CVPR 2021", PcsTraining, PcsSettings, named_settings(PcsSettings, head_rate=0.1))
