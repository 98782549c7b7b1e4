"""K-means on a domain's features, once per epoch, by scikit-learn."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans

from cdir_nb.errors import CdirError


@dataclass(frozen=True)
class Clusters:
    """The clusters of N features.

    labels     (N,) int64, the cluster of each feature
    centroids  (K, D) unit vectors (section 4.1)
    distances  (N,) Euclidean distance of each feature to the mean of its cluster, before that was normalised
    """

    labels: torch.Tensor
    centroids: torch.Tensor
    distances: torch.Tensor

    @property
    def sizes(self) -> torch.Tensor:
        """(K,) number of features in each cluster; an empty cluster has a centroid, but no image is assigned to it."""
        return torch.bincount(self.labels, minlength=len(self.centroids))


def kmeans(features: torch.Tensor, count: int, *, iterations: int, restarts: int, seed: int) -> Clusters:
    """`count` clusters of (N, D) features by Euclidean k-means, the best of several starts (k-means++).

    As in the released code, centroids are normalised afterwards. If fewer than `count` features differ, some clusters
    stay empty. Raises CdirError for more clusters than features.
    """
    if count > len(features):
        raise CdirError(f"{count} clusters were asked for, but there are {len(features)} images: lower `clusters`")
    points = features.float().cpu().numpy()
    found = KMeans(count, n_init=restarts, max_iter=iterations, random_state=seed).fit(points)
    labels, means = (torch.from_numpy(x).to(features.device) for x in (found.labels_, found.cluster_centers_))
    labels = labels.long()
    distances = (features - means[labels].to(features)).norm(dim=1)
    return Clusters(labels, F.normalize(means.to(features), dim=1), distances)
