"""PCS (Yue et al., "Prototypical cross-domain self-supervised learning for few-shot unsupervised domain adaptation",
CVPR 2021): in-domain prototypes, and cross-domain matching of instances with prototypes.

Its released code is for domain adaptation with a few labels and has no retrieval evaluation. Without labels there is
no classifier, so its classification loss, its mutual-information loss and its pseudo-labels are left out. Also other
than there: both domains have the same weight (Office-Home's settings halve one), one clustering per number of clusters
instead of several, and the memory holds the momentum encoder's features instead of a running mean of the encoder's own.
"""

from cdir_nb.methods.ucdir.baselines.protonce import prototype_losses
from cdir_nb.methods.ucdir.losses import self_entropy
from cdir_nb.methods.ucdir.settings import UcdirConfig
from cdir_nb.methods.ucdir.step import BOTH, Objective, Step, Terms, multiples


def _terms(step: Step, config: UcdirConfig) -> Terms:
    """L_PC: in-domain prototypes. L_cross: the entropy of an image's softmax over the other domain's prototypes."""
    if not step.clusters:
        return {}
    tau = config.tau_pcs

    def cross(d: int) -> list:
        return [self_entropy(step.q[d], of.centroids, tau) for of in step.clusters[1 - d]]

    return {
        "L_PC": [prototype_losses(step.q[d], step.ids[d], step.clusters[d], tau) for d in BOTH],
        "L_cross": [value for d in BOTH for value in cross(d)],
    }


PCS = Objective(
    _terms,
    lambda config, epoch: {"L_PC": 1.0, "L_cross": 1.0},
    clusters="each domain",
    counts=multiples,
    begins=lambda config: 0,
)
