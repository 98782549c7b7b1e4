"""UCDIR's loss as a whole (equations 3, 4, 10 and 11)."""

from cdir_nb.methods.ucdir.losses import cluster_wise, distance_of_distance, instance_wise, self_entropy
from cdir_nb.methods.ucdir.settings import UcdirConfig
from cdir_nb.methods.ucdir.step import BOTH, Objective, Step, Terms


def terms(step: Step, config: UcdirConfig) -> Terms:
    """The four losses, or those of `config.losses`; L_SE for each domain's images and each domain's centroids."""
    found: Terms = {}
    if "IW" in config.losses:
        found["L_IW"] = [instance_wise(step.q[d], step.k[d], step.banks[d], step.ids[d], config.tau) for d in BOTH]
    if not step.clusters:
        return found
    labels, centroids = zip(*((of[0].labels, of[0].centroids) for of in step.clusters))
    if "CW" in config.losses:
        found["L_CW"] = [
            cluster_wise(
                *(step.q[d], step.k[d], step.banks[d], labels[d], step.ids[d], centroids[d]),
                config.tau,
                config.least_confidence,
            )
            for d in BOTH
        ]
    if "SE" in config.losses:
        found["L_SE"] = [self_entropy(step.q[d], centroids[c], config.phi_entropy) for d in BOTH for c in BOTH]
    if "DD" in config.losses:
        found["L_DD"] = [distance_of_distance(step.q[d], *centroids, config.phi_distance) for d in BOTH]
    return found


def weights(config: UcdirConfig, epoch: int) -> dict[str, float]:
    """The weight of each loss in an epoch (from 0): lambda of equation 4, then gamma and beta from `align_from` on."""
    aligned = epoch >= config.align_from
    return {
        "L_IW": 1.0,
        "L_CW": config.weight_of_clusters(epoch),
        "L_SE": config.gamma * aligned,
        "L_DD": config.beta * aligned,
    }


UCDIR = Objective(terms, weights, clusters="each domain")
INSTANCES_ONLY = Objective(terms, weights)  # v1 needs no clusters
