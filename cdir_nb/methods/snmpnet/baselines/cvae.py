"""CVAE (after Yelamarthi et al., ECCV 2018): a conditional variational autoencoder of pooled features.

The original generates features of photos from features of sketches, for one pair of domains at a time. Here, a single
network accepts any domain and is conditioned on class vectors: a generator maps a latent code to pooled features, and
the mean of the code's prior is a linear function of the class vector. Retrieval uses the mean of the code, so queries
need no class vector. This design is our choice; the weight of the prior is 1.
"""

import torch
from torch import nn

from cdir_nb.methods.snmpnet.harness import HarnessTraining, method_row
from cdir_nb.methods.snmpnet.network import Batch, LinearHead, Setup
from cdir_nb.methods.snmpnet.views import PLAIN


class CvaeHead(LinearHead):
    """The variational head: the latent code has the mean `feature` and one variance per dimension."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        channels, m = setup.channels, setup.semantics.shape[1]
        self.log_variance, self.prior = nn.Linear(channels, m), nn.Linear(m, m)
        self.generator = nn.Sequential(nn.Linear(m, 2 * m), nn.ReLU(), nn.Linear(2 * m, channels))

    def losses(self, pooled: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        """The squared error of the generated feature, and the KL divergence of the code from its prior N(W a, 1).

        The error is in units of each channel's variance.
        """
        plain = pooled[PLAIN]
        mean, log_variance = self.feature(plain), self.log_variance(plain)
        noise = torch.from_numpy(batch.rng.standard_normal(mean.shape)).to(mean)
        code = mean + noise * (0.5 * log_variance).exp()
        shift = mean - self.prior(self.semantics[batch.labels])
        divergence = 0.5 * (shift.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
        error = (self.generator(code) - plain.detach()).square().sum(1).mean() / plain.detach().var(0).mean()
        return {"L_generated": error, "L_prior": divergence}


class CvaeTraining(HarnessTraining):
    head = CvaeHead


CVAE = method_row("CVAE", "Yelamarthi et al., ECCV 2018", CvaeTraining, "class names")
