"""PCS (Yue et al., "Prototypical cross-domain self-supervised learning for few-shot unsupervised domain adaptation",
CVPR 2021): in-domain prototypes, and cross-domain matching of instances with prototypes.

Its released code is for domain adaptation with a few labels and has no retrieval evaluation. Without labels there is
no classifier, so its classification loss, its mutual-information loss and its pseudo-labels are left out. Also other
than there: both domains have the same weight (Office-Home's settings halve one), one clustering per number of clusters
instead of several, and the memory holds the momentum encoder's features instead of a running mean of the encoder's own.
"""

from cdir_nb.methods.method import PAIR, Method
from cdir_nb.methods.settings import setting
from cdir_nb.methods.ucdir.baselines.protonce import prototype_losses
from cdir_nb.methods.ucdir.harness import (
    BOTH,
    BY_ENCODER,
    SOURCES,
    MomentumSettings,
    Step,
    Terms,
    TwoDomainTraining,
    named_settings,
)
from cdir_nb.methods.ucdir.losses import self_entropy


class PcsSettings(MomentumSettings):
    """Settings of PCS in UCDIR's harness."""

    method = "PCS"
    sources = SOURCES

    tau: float = setting(0.1, "released code, temp", gt=0)
    granularity: tuple[int, ...] = setting((1, 2), "released code: clusters in multiples of K", strict=False)


class PcsTraining(TwoDomainTraining):
    """L_PC: in-domain prototypes. L_cross: the entropy of an image's softmax over the other domain's prototypes."""

    settings: PcsSettings
    clustered = "each domain"

    def cluster_counts(self, classes: int) -> tuple[int, ...]:
        return tuple(classes * factor for factor in self.settings.granularity)

    def terms(self, step: Step) -> Terms:
        if not step.clusters:
            return {}
        tau = self.settings.tau
        return {
            "L_PC": [prototype_losses(step.q[d], step.ids[d], step.clusters[d], tau) for d in BOTH],
            "L_cross": [self_entropy(step.q[d], of.centroids, tau) for d in BOTH for of in step.clusters[1 - d]],
        }


PCS = Method(
    name="PCS",
    paper="Yue et al., CVPR 2021",
    build=PcsTraining,
    settings=PcsSettings,
    learns_from=("images",),
    fitted_for=PAIR,
    named=named_settings(PcsSettings, head_rate=0.1),  # P@10 at 0.01, 0.03, 0.1 and 0.3: 36.5, 37.3, 38.9, 38.1 %
    for_encoder=BY_ENCODER,
)
