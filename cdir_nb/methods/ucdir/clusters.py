"""K-means on a domain's features, by scikit-learn."""

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
    distances  (N,) Euclidean distance of each feature to the mean of its cluster, which is not normalised
    """

    labels: torch.Tensor
    centroids: torch.Tensor
    distances: torch.Tensor

    @property
    def sizes(self) -> torch.Tensor:
        """(K,) number of features in each cluster; 0 for an empty cluster, which has a centroid nevertheless."""
        return torch.bincount(self.labels, minlength=len(self.centroids))


def kmeans(features: torch.Tensor, count: int, *, iterations: int, restarts: int, seed: int) -> Clusters:
    """`count` clusters of (N, D) features by Euclidean k-means, the best of several starts (k-means++).

    As in the released code, centroids are normalised afterwards. With fewer than `count` distinct features, some
    clusters stay empty. Raises CdirError for more clusters than features.
    """
    if count > len(features):
        raise CdirError(f"{count} clusters are more than {len(features)} images: lower `clusters`")
    model = KMeans(count, n_init=restarts, max_iter=iterations, random_state=seed)  # pyright: ignore[reportArgumentType]
    result = model.fit(features.float().cpu().numpy())
    labels = torch.from_numpy(result.labels_).long().to(features.device)
    means = torch.from_numpy(result.cluster_centers_).to(features)
    return Clusters(labels, F.normalize(means, dim=1), (features - means[labels]).norm(dim=1))
